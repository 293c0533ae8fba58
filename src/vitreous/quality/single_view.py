"""Whether views determine a structure: not where all of them are one direction, by their poses or by their pixels.

Poses alone do not say it: a sampler that gets the same view many times may spread its copies over many directions, each
of which explains its copy. So images are compared with each other too.
"""

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from vitreous.conventions import centre_index
from vitreous.fourier import resize_images
from vitreous.quality.mass import bright_part, centres_of_mass
from vitreous.rotations import symmetry_matrices

__all__ = ["along_one_axis", "doubt_about_views", "repeated_view"]

ALIKE_DEG = 25.0  # views that are all nearer than this to one axis do not determine a structure
BOX_PX = 32  # low resolution is enough to tell views apart, and has little noise
ANGLES = 120
SHIFTS_PX = np.arange(-2.0, 2.5, 0.5)  # what the centre of mass may be wrong by
REACH = 1.8  # of the disc that is compared, in root mean square radii of the particle
REFERENCES = 3  # the averages of highest contrast that are tried as the one view
SHARE = 0.9  # of the averages that have to be copies; the others may be junk
TOLERANCE = 0.02  # of correlation, that copies may lack beyond what noise explains; different views lack 0.1 or more


def doubt_about_views(images: np.ndarray, rotations: np.ndarray, symmetry: str) -> str | None:
    """What to say where averages (n, L, L) in poses (n, 3, 3) show one direction only; None where they show more."""
    if along_one_axis(rotations, symmetry):
        return (
            f"all averages are seen within {ALIKE_DEG:.0f}° of one direction: these views do not determine the "
            "structure; add averages of other views"
        )
    view = repeated_view(images)
    if view is None or not along_one_axis(rotations[[view]], symmetry):
        return None
    return (
        f"nearly all averages are average {view + 1} again, turned, shifted or mirrored: one view does not determine "
        "the structure, whatever their poses are now; add averages of other views"
    )


def along_one_axis(rotations: np.ndarray, symmetry: str) -> bool:
    """Whether some axis is within 25 degrees of the direction (or its opposite) of every view and its symmetric copies.

    Side views of a particle with a seven-fold axis are seven views each, and no such axis exists.
    """
    group = symmetry_matrices(symmetry).to(torch.float64).numpy()
    copies = np.einsum("gab,nb->gna", group, rotations[:, :, 2]).reshape(-1, 3)
    nearness = np.abs(copies @ copies[: len(rotations)].T)
    return bool((nearness.min(axis=0) > np.cos(np.deg2rad(ALIKE_DEG))).any())


def repeated_view(images: np.ndarray) -> int | None:
    """The average (from 0) that nearly all others repeat, turned, shifted or mirrored; None where there is none.

    An image repeats another when their best correlation, at low resolution, lacks no more of 1 than the noise that is
    found beside the particle explains, and two per cent.
    """
    small = resize_images(torch.from_numpy(images.astype(np.float32)), min(BOX_PX, images.shape[1])).numpy()
    centres, radius, noise = _discs(small)
    rings = np.stack([_rings(image, c, radius) for image, c in zip(small, centres, strict=True)])
    variance = np.square(rings).mean(axis=(1, 2))
    clean = np.sqrt((1.0 - noise / variance.clip(min=1e-300)).clip(min=0.0))  # correlation with itself without noise
    for reference in np.argsort(-clean, kind="stable")[:REFERENCES]:
        moved = [centres[reference] + (x, y) for x in SHIFTS_PX for y in SHIFTS_PX]
        shifted = np.stack([_rings(small[reference], centre, radius) for centre in moved])
        missing = 1.0 - _best_correlations(rings, shifted)
        if (missing <= 1.0 - clean * clean[reference] + TOLERANCE).mean() >= SHARE:
            return int(reference)
    return None


def _discs(images: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """(centres of mass x, y in pixels from the centre, radius that is compared, noise variance beyond it (n,))."""
    bright = bright_part(images).astype(np.float64)
    centres = centres_of_mass(bright, 1.0)
    length = images.shape[1]
    y, x = np.mgrid[:length, :length] - centre_index(length)
    distance = np.hypot(x - centres[:, 0, None, None], y - centres[:, 1, None, None])
    spread = np.sqrt((bright * distance**2).sum(axis=(1, 2)) / bright.sum(axis=(1, 2)))
    radius = max(2.0, min(REACH * float(np.median(spread)), length / 2 - 1.0))
    beyond = [image[d > radius + 1.0] for image, d in zip(images, distance, strict=True)]
    return centres, radius, np.array([float(values.var()) if values.size > 1 else 0.0 for values in beyond])


def _rings(image: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """The disc about a centre, less its mean, on rings weighted by the root of their length: (rings, angles)."""
    radii, angle = np.arange(0.5, radius, 1.0), np.arange(ANGLES) * (2 * np.pi / ANGLES)
    circles = np.stack([np.outer(radii, np.sin(angle)), np.outer(radii, np.cos(angle))])
    middle = centre_index(len(image)) + centre[::-1]
    values = map_coordinates(image, circles + middle[:, None, None], order=3, mode="nearest")
    weight = radii / radii.mean()
    return (values - np.average(values.mean(axis=1), weights=weight)) * np.sqrt(weight)[:, None]


def _best_correlations(rings: np.ndarray, shifted: np.ndarray) -> np.ndarray:
    """Of all images (n, rings, angles) with one (shifts, rings, angles), over rotations, shifts and mirror states."""
    one, others = np.fft.rfft(shifted, axis=-1), np.fft.rfft(rings, axis=-1)
    size = np.linalg.norm(shifted, axis=(1, 2))[:, None] * np.linalg.norm(rings, axis=(1, 2))
    best = np.full(len(rings), -np.inf)
    for turned in (others, others.conj()):
        overlap = np.fft.irfft(np.einsum("srk,nrk->snk", one.conj(), turned), n=ANGLES, axis=-1)
        best = np.maximum(best, (overlap.max(axis=-1) / size.clip(min=1e-300)).max(axis=0))
    return best
