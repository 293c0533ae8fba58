"""From a particle file to matched coefficients: read once, normalised, reduced, centred, weighted by CTF and noise."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.averages.covariance.groups import DefocusGroups, defocus_groups, information_blocks
from vitreous.averages.covariance.matched import matched_coefficients
from vitreous.averages.covariance.moments import Moments, add_moments, empty_moments
from vitreous.fourier import FourierBessel, centred_irfft2, centred_rfft2, fourier_crop, shift_phase
from vitreous.matching import ImagePreparation
from vitreous.optics import CTFParameters, add_noise_images, empty_noise_sums, noise_power
from vitreous.particles import ParticleSet
from vitreous.quality import soft_disc

__all__ = ["MatchedImages", "SteerablePlan", "prepare_matched", "steerable_plan", "working_images"]

DISC = 1.0  # radius of the basis over that of the particle
NOISE_IMAGES = 2000  # at most, that the noise spectrum is measured on
EDGE_PX = 3.0  # of the soft edge of the background mask
FEWEST_PX = 16  # across the working box


@dataclass(frozen=True, kw_only=True)
class SteerablePlan:
    """How raw images become coefficients: preparation of the raw images, working box, its pixel, the basis."""

    preparation: ImagePreparation
    box_px: int
    pixel_size_A: float
    basis: FourierBessel

    @property
    def radius_px(self) -> float:
        """Radius of the particle in working pixels."""
        return self.preparation.radius_px * self.box_px / self.preparation.box_px


@dataclass(frozen=True, kw_only=True)
class MatchedImages:
    """n particles as matched coefficients (:mod:`vitreous.averages.covariance`).

    matched: (n, M) complex64, in memory or mapped from a file; zeros where ``bad``; groups: defocus groups, None
    without CTF; group: (n,) int64; information: per order (G, k, k); moments: of the good images; noise_power: on the
    rings of the working box (L // 2 + 1,).
    """

    plan: SteerablePlan
    matched: np.ndarray
    group: np.ndarray
    groups: DefocusGroups | None
    information: tuple[torch.Tensor, ...]
    moments: Moments
    noise_power: torch.Tensor
    bad: np.ndarray

    def __len__(self) -> int:
        return len(self.matched)


def steerable_plan(
    preparation: ImagePreparation, *, resolution_limit_A: float | None = None, most_diameter_px: float = math.inf
) -> SteerablePlan:
    """Working box and basis for a particle.

    The box is reduced to where Nyquist is ``resolution_limit_A`` and the particle is at most ``most_diameter_px``
    pixels across. Raises ValueError for a limit that leaves fewer than 16 pixels.
    """
    raw, pixel = preparation.box_px, preparation.pixel_size_A
    wanted = max(pixel, (resolution_limit_A or 0.0) / 2, preparation.particle_diameter_A / most_diameter_px)
    box = min(raw, math.ceil(raw * pixel / wanted))
    if box < FEWEST_PX:
        raise ValueError(
            f"resolution_limit_A: {2 * wanted:g} A leaves {box} pixels across the box of {raw * pixel:.0f} A; "
            f"expected at most {2 * raw * pixel / FEWEST_PX:.0f} A"
        )
    return SteerablePlan(
        preparation=preparation,
        box_px=box,
        pixel_size_A=pixel * raw / box,
        basis=FourierBessel(box_px=box, radius_px=min(float(box // 2), DISC * preparation.radius_px * box / raw)),
    )


def prepare_matched(
    particles: ParticleSet,
    plan: SteerablePlan,
    *,
    ctf: CTFParameters | None,
    memory_bytes: int = 4 << 30,
    store: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> MatchedImages:
    """Read every particle once.

    ctf: of the particles, None to do without. Images are centred by their origin columns. Coefficients beyond a
    quarter of the memory go to the file ``store``. Progress receives (done, of, what). Raises ValueError when no
    image can be used.
    """
    n, basis = len(particles), plan.basis
    tell = progress or (lambda done, total, what: None)
    noise = _noise(particles, plan, tell)
    groups = None if ctf is None else defocus_groups(ctf, plan.pixel_size_A, basis.cutoff_per_px)
    group = np.zeros(n, np.int64) if groups is None else groups.index
    information = information_blocks(basis, None if groups is None else groups.ctf, plan.pixel_size_A, noise)
    shape = (n, basis.size)
    if store is None or 8 * n * basis.size < memory_bytes // 4:
        matched = np.zeros(shape, np.complex64)
    else:
        matched = np.memmap(store, np.complex64, "w+", shape=shape)
    moments = empty_moments(basis, 1 if groups is None else len(groups))
    bad = np.zeros(n, bool)
    for index in _batches(np.arange(n), plan):
        images, wrong = working_images(particles, plan, index)
        rows = matched_coefficients(basis, images, None if ctf is None else ctf.take(index), plan.pixel_size_A, noise)
        rows[wrong] = 0
        good = ~wrong
        moments = add_moments(moments, basis, rows[good], torch.from_numpy(group[index])[good])
        matched[index], bad[index] = rows.numpy(), wrong.numpy()
        tell(int(index[-1]) + 1, n, "reading particles")
    return MatchedImages(
        plan=plan,
        matched=matched,
        group=group,
        groups=groups,
        information=tuple(information),
        moments=moments,
        noise_power=noise,
        bad=bad,
    )


def _batches(index: np.ndarray, plan: SteerablePlan) -> list[np.ndarray]:
    step = plan.preparation.batch
    return [index[start : start + step] for start in range(0, len(index), step)]


def working_images(particles: ParticleSet, plan: SteerablePlan, index: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised, centred, reduced images (m, L, L), and which are bad (m,)."""
    raw = torch.from_numpy(np.ascontiguousarray(particles.read(index), dtype=np.float32))
    images, bad = plan.preparation.clean(raw)
    shift = torch.from_numpy(particles.origin_A[index] / plan.pixel_size_A).float()
    ft = fourier_crop(centred_rfft2(images), plan.preparation.box_px, plan.box_px)
    if bool(shift.any()):
        ft = ft * shift_phase(shift, plan.box_px)
    return centred_irfft2(ft, plan.box_px), bad


def _noise(particles: ParticleSet, plan: SteerablePlan, tell: Callable[[int, int, str], None]) -> torch.Tensor:
    """Noise power on the rings of the working box (L // 2 + 1,), from the background around the particles."""
    chosen = np.arange(len(particles))[:: max(1, len(particles) // NOISE_IMAGES)]
    background = 1 - soft_disc(plan.box_px, plan.radius_px, EDGE_PX)
    sums = empty_noise_sums(1, plan.box_px)
    for done, index in enumerate(_batches(chosen, plan)):
        images, bad = working_images(particles, plan, index)
        good = images[~bad]
        sums = add_noise_images(sums, good, torch.zeros(len(good), dtype=torch.int64), background)
        tell(done * plan.preparation.batch + len(index), len(chosen), "measuring the noise")
    if float(sums.images.sum()) == 0:
        raise ValueError(f"{particles.path}: no usable image among the {len(chosen)} that were looked at")
    return _smooth(noise_power(sums)[0])


def _smooth(power: torch.Tensor) -> torch.Tensor:
    """Rings averaged with their neighbours: the background is a small area and its spectrum rough.

    The lowest ring, whose power the subtraction of the mean has taken, gets that of the next two.
    """
    rings = power.clone()
    rings[0] = power[1:3].mean()
    padded = torch.cat([rings[:1], rings, rings[-1:]])
    return ((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4).float()
