"""Images as rows: cleaned, phases flipped, whitened, brought into one frame, and the pixels within the mask of them.

Everything that is linear is done in Fourier space at once, so an image is interpolated once, when it is turned; and not
at all where nothing turns it.

Normalisation subtracts the plane a + b x + c y that fits the background of an image best. The fit has an error, which
all pixels within the mask share. With noise of variance 1 in B background pixels, rows of the matrix X = (1, x, y), the
coefficients have the covariance (X^T X)^-1, so with M the same rows for the pixels of the mask, noise there has the
covariance

    I + M (X^T X)^-1 M^T.

Its eigenvalues along the three directions that M spans are 1 + p / B for the level (about 3, where a circle of 7/8 of
the box is compared) and about 1.5 for the ramps: a factor that any large number of images shows, and whose spread is
wide enough to be cut in two. Coordinates along these directions are divided by the roots of the eigenvalues
(:class:`SharedError`), and noise is the same in all directions again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from vitreous.fourier import centred_irfft2, centred_rfft2, shift_phase
from vitreous.matching import Alignments, ImagePreparation, mirrored, turn_images
from vitreous.matching.workers import ordered_map
from vitreous.optics import (
    CTFParameters,
    add_noise_images,
    ctf_2d,
    empty_noise_sums,
    noise_power,
    phase_flip,
    radial_to_plane,
)
from vitreous.particles.scratch import scratch_array
from vitreous.quality import soft_disc

__all__ = ["AlignedImages", "SharedError", "background_power", "keep_rows", "whitening_gain"]

SPECTRUM_IMAGES = 2048  # whose background is measured
FIRST_SHELL = 2  # of the noise spectrum that normalisation, which takes mean and ramp away, leaves as it is
LEAST_POWER = 1e-6  # of the noise of a normalised image: less is no noise but rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedError:
    """Noise that normalisation adds to all p pixels: directions (p, 3), orthonormal; variance (3,), with that of noise.

    In units of the variance of noise in a pixel.
    """

    directions: np.ndarray
    variance: np.ndarray

    @classmethod
    def of_mask(cls, mask: np.ndarray, radius_px: float) -> "SharedError":
        """For pixels within a mask (L, L), and a background that is farther than ``radius_px`` from the centre."""
        axis = (np.arange(len(mask)) - len(mask) // 2) / len(mask)
        plane = np.stack([np.ones(mask.shape), *np.meshgrid(axis, axis)], -1)
        background = plane[np.hypot(plane[..., 1], plane[..., 2]) * len(mask) > radius_px]
        basis, triangle = np.linalg.qr(plane[mask])
        added, turn = np.linalg.eigh(triangle @ np.linalg.inv(background.T @ background) @ triangle.T)
        return cls(directions=basis @ turn, variance=1 + added)

    def evened(self, rows: np.ndarray) -> np.ndarray:
        """Rows (b, p) with noise of variance 1 along these directions, too."""
        directions = self.directions.astype(np.float32)
        excess = (1 - self.variance**-0.5).astype(np.float32)
        found: np.ndarray = rows - (rows @ directions * excess) @ directions.T
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedImages:
    """m images of box L in one frame.

    alignments: of the m images, whose references do not matter; ctf: of all images of the set, or None; mask: (L, L)
    bool, pixels that are compared; gain: (L // 2 + 1,) what the Fourier rings are multiplied by; shared: the error of
    their normalisation, None where they are taken as they are.
    """

    read: Callable[[np.ndarray], np.ndarray]
    preparation: ImagePreparation
    alignments: Alignments
    ctf: CTFParameters | None
    mask: np.ndarray
    gain: torch.Tensor
    shared: SharedError | None = None

    def __len__(self) -> int:
        return len(self.alignments)

    @property
    def pixels(self) -> int:
        """Pixels within the mask, p."""
        return int(self.mask.sum())

    @property
    def batch(self) -> int:
        """Images worked on at a time, whatever the memory: products of other sizes round otherwise."""
        return max(8, self.preparation.batch // 4)

    @cached_property
    def turned(self) -> bool:
        """Whether any image is turned or reflected."""
        return bool(self.alignments.psi_rad.any() or self.alignments.mirror.any())

    def rows(self, threads: int, progress: Callable[[int], None]) -> Iterator[tuple[slice, np.ndarray]]:
        """(which images, their pixels within the mask (b, p) float32), in order, whatever the number of threads."""

        def made(start: int) -> tuple[slice, np.ndarray]:
            part = self.alignments.take(slice(start, start + self.batch))
            raw = torch.from_numpy(np.ascontiguousarray(self.read(part.particle), dtype=np.float32))
            images, _ = self.preparation.clean(raw)
            return slice(start, start + len(images)), self.aligned(images, part)

        for part, rows in ordered_map(made, range(0, len(self), self.batch), threads):
            progress(part.stop)
            yield part, rows

    def aligned(self, images: torch.Tensor, part: Alignments) -> np.ndarray:
        """Clean images (b, L, L) of these alignments -> their pixels within the mask (b, p)."""
        n = self.preparation.box_px
        ft = centred_rfft2(images)
        if self.ctf is not None:
            own = self.ctf.take(part.particle)
            transfer = ctf_2d(own, n, self.preparation.pixel_size_A)
            done = torch.from_numpy(own.premultiplied > 0)[:, None, None]
            ft = torch.where(done, ft, phase_flip(ft, transfer))
        ft = ft * radial_to_plane(self.gain, n)
        if part.origin_A.any():
            ft = ft * shift_phase(torch.from_numpy(part.origin_A / self.preparation.pixel_size_A).float(), n)
        if self.turned:
            images = turn_images(ft, n, torch.from_numpy(part.psi_rad).float())
            reflected = torch.from_numpy(part.mirror)[:, None, None]
            images = torch.where(reflected, mirrored(images), images) if part.mirror.any() else images
        else:
            images = centred_irfft2(ft, n)
        rows: np.ndarray = images.reshape(len(images), -1)[:, torch.from_numpy(self.mask.ravel())].numpy()
        return rows if self.shared is None else self.shared.evened(rows)


def background_power(
    read: Callable[[np.ndarray], np.ndarray], preparation: ImagePreparation, particle: np.ndarray
) -> torch.Tensor | None:
    """Noise power (L // 2 + 1,) outside the particle, from some of these particles; None where there is no noise."""
    n, radius = preparation.box_px, preparation.radius_px
    chosen = particle[np.linspace(0, len(particle) - 1, min(SPECTRUM_IMAGES, len(particle))).astype(int)]
    outside = 1.0 - soft_disc(n, radius, 0.05 * n)
    sums = empty_noise_sums(1, n)
    for start in range(0, len(chosen), preparation.batch):
        index = chosen[start : start + preparation.batch]
        images, bad = preparation.clean(torch.from_numpy(np.ascontiguousarray(read(index), dtype=np.float32)))
        good = images[~bad]
        sums = add_noise_images(sums, good, torch.zeros(len(good), dtype=torch.int64), outside)
    power = noise_power(sums)[0].float() if float(sums.images.sum()) else torch.zeros(n // 2 + 1)
    first = min(FIRST_SHELL, len(power) - 1)
    power[:first] = power[first]
    return power if float(power.mean()) > LEAST_POWER else None


def whitening_gain(power: torch.Tensor | None, preparation: ImagePreparation, finest_A: float | None) -> torch.Tensor:
    """(L // 2 + 1,) one over the root of the noise power (None: 1); 0 for what is finer than ``finest_A``."""
    n = preparation.box_px
    gain = torch.ones(n // 2 + 1) if power is None else power.clamp_min(1e-3 * float(power.max())).rsqrt()
    limits = [limit for limit in (finest_A, preparation.finest_A) if limit is not None]
    if limits:
        frequency = torch.arange(n // 2 + 1) / (n * preparation.pixel_size_A)
        gain = torch.where(frequency <= 1 / max(limits), gain, 0.0)
    return gain


def keep_rows(
    images: AlignedImages,
    store: Path | None,
    memory_bytes: int,
    threads: int,
    progress: Callable[[int], None],
) -> np.ndarray:
    """All rows (m, p) float32: in memory where they take less than a quarter of it, else in a file in ``store``."""
    shape = (len(images), images.pixels)
    if store is None or 4 * shape[0] * shape[1] <= memory_bytes / 4:
        kept = np.empty(shape, np.float32)
    else:
        kept = scratch_array(store / "msa_rows", np.float32, shape)
    for part, rows in images.rows(threads, progress):
        kept[part] = rows
    return kept
