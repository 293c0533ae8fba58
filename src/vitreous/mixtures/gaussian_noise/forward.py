"""The forward model and its derivative: predicted images, residuals, and the force on every component.

A force is the derivative of the energy by the place of a component in an image. Means, rotations and offsets have
derivatives that are sums of forces, so that one pass over the images serves all three.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vitreous.conventions import centre_index
from vitreous.matching.workers import ordered_map
from vitreous.mixtures._kernels.render import pull, render, window_width
from vitreous.mixtures.gaussian_noise.model import NoisyImages, NoisyMixture
from vitreous.mixtures.gibbs_projections import PosedMixture
from vitreous.mixtures.model import image_centres

__all__ = ["Forces", "apply_ctf", "forces", "log_likelihood", "projections", "unit_copies"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Forces:
    """``squared`` (n,): sums over pixels of (prediction - image)^2; ``by_centre`` (n, g K, 2): half its derivative."""

    squared: np.ndarray
    by_centre: np.ndarray


def unit_copies(means_A: np.ndarray, group: np.ndarray) -> np.ndarray:
    """All copies of an asymmetric unit, copy by copy: (g K, 3)."""
    return np.einsum("gab,kb->gka", group, means_A).reshape(-1, 3)


def projections(data: NoisyImages, posed: PosedMixture, group: np.ndarray, *, threads: int = 1) -> np.ndarray:
    """C_i p_i for all images: float32 (n, L, L), per A^2 (scale 1, no background)."""
    centres, precision, amplitude = _in_pixels(data, posed, group)

    def part_of(part: slice) -> np.ndarray:
        return apply_ctf(_rendered(centres[part], precision, data.box_px)[0] * amplitude, _part(data.ctf, part))

    return np.concatenate(list(ordered_map(part_of, _parts(len(data), threads), threads)))


def forces(data: NoisyImages, model: NoisyMixture, group: np.ndarray, *, threads: int = 1) -> Forces:
    """Squared residuals of all images and half their derivatives by the centres of all components (per Angstrom)."""
    centres, precision, amplitude = _in_pixels(data, model.posed, group)
    scales = (model.scales * amplitude).astype(np.float32)[:, None, None]
    backgrounds = model.backgrounds.astype(np.float32)[:, None, None]
    to_A = model.scales * amplitude * precision / data.pixel_size_A  # of exp(-s/2 d^2), per Angstrom of the centre

    def part_of(part: slice) -> tuple[np.ndarray, np.ndarray]:
        ctf = _part(data.ctf, part)
        images, start, factors = _rendered(centres[part], precision, data.box_px)
        residuals = apply_ctf(images * scales[part], ctf) + backgrounds[part] - data.images[part]
        squared = np.square(residuals, dtype=np.float64).sum(axis=(1, 2))
        out = np.empty(centres[part].shape)
        pull(centres[part], apply_ctf(residuals, ctf), start, factors, out)  # the CTF is real and even: self-adjoint
        return squared, out * to_A[part, None, None]

    squared, by_centre = zip(*ordered_map(part_of, _parts(len(data), threads), threads), strict=True)
    return Forces(squared=np.concatenate(squared), by_centre=np.concatenate(by_centre))


def log_likelihood(data: NoisyImages, model: NoisyMixture, group: np.ndarray, *, threads: int = 1) -> np.ndarray:
    """log p(image | all parameters) of every image: (n,), normalised."""
    predicted = projections(data, model.posed, group, threads=threads) * model.scales[:, None, None]
    residuals = predicted + model.backgrounds[:, None, None] - data.images
    squared, beta = np.square(residuals, dtype=np.float64).sum(axis=(1, 2)), model.noise_precisions
    return 0.5 * data.box_px**2 * np.log(beta / (2 * np.pi)) - 0.5 * beta * squared


def apply_ctf(images: np.ndarray, ctf: np.ndarray | None) -> np.ndarray:
    """Images (n, L, L) filtered by their CTFs, with the period of the box; unchanged where there is none."""
    if ctf is None:
        return images
    length = images.shape[-1]
    return np.fft.irfft2(np.fft.rfft2(images) * ctf, s=(length, length)).astype(np.float32)


def _in_pixels(data: NoisyImages, posed: PosedMixture, group: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Centres (n, g K, 2) from index 0, the precision per pixel^2, and the height of one component."""
    means = unit_copies(posed.mixture.means_A, group)
    centres = image_centres(means, posed.rotations, posed.offsets_A) / data.pixel_size_A + centre_index(data.box_px)
    s = posed.mixture.precision_per_A2
    return centres, s * data.pixel_size_A**2, s / (2 * np.pi * len(means))


def _rendered(centres: np.ndarray, precision: float, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, k = centres.shape[:2]
    images = np.empty((n, length, length), np.float32)
    start = np.empty((n, k, 2), np.int32)
    factors = np.empty((n, k, 2, window_width(precision, length)), np.float32)
    render(centres, precision, length, images, start, factors)
    return images, start, factors


def _part(ctf: np.ndarray | None, part: slice) -> np.ndarray | None:
    return None if ctf is None else ctf[part]


def _parts(images: int, threads: int) -> Sequence[slice]:
    """One block of images for every thread."""
    edges = np.linspace(0, images, min(threads, images) + 1).astype(int)
    return [slice(a, b) for a, b in pairwise(edges)]
