"""From a particle file to matched coefficients: a survey, then one pass; normalised, centred, weighted."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vitreous.averages.covariance.groups import DefocusGroups, defocus_groups, information_blocks
from vitreous.averages.covariance.matched import matched_coefficients
from vitreous.averages.covariance.moments import Moments, add_moments, empty_moments
from vitreous.averages.covariance.noise import background_response, smooth_spectrum, spectrum_error, unknown_plane
from vitreous.averages.covariance.survey import (
    Excess,
    bulk_level,
    choose_cutoff,
    excess_power,
    restricted_blocks,
    second_and_noise,
)
from vitreous.fourier import FourierBessel, centred_irfft2, centred_rfft2, fourier_crop, shift_phase
from vitreous.matching import ImagePreparation
from vitreous.matching.workers import ordered_map
from vitreous.optics import CTFParameters, add_noise_images, empty_noise_sums, noise_power
from vitreous.particles import ParticleSet
from vitreous.particles.scratch import scratch_array
from vitreous.processes import ALONE, Processes, by_process
from vitreous.quality import soft_disc

__all__ = ["MatchedImages", "SteerablePlan", "prepare_matched", "steerable_plan", "working_images"]

DISC = 1.0  # radius of the basis over that of the particle
HIGHEST_CUTOFF_PER_PX = 0.45  # beyond, a filter on the lattice of pixels is no longer isotropic
SURVEY_IMAGES = 10_000  # at most, that noise and cutoff are found from
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

    plan: with the basis that the survey has chosen; matched: (n, M) complex64, in memory or mapped from a file; zeros
    where ``bad``; scale: (n,) float32, raw grey values per unit of the normalised image; groups: defocus groups, None
    without CTF; group: (n,) int64; information: per order (G, k, k); moments: of the good images; noise_power: on the
    rings of the working box (L // 2 + 1,); background_power: as it was measured beside the particles; excess: what
    the cutoff was chosen from.
    """

    plan: SteerablePlan
    matched: np.ndarray
    scale: np.ndarray
    group: np.ndarray
    groups: DefocusGroups | None
    information: tuple[torch.Tensor, ...]
    moments: Moments
    noise_power: torch.Tensor
    background_power: torch.Tensor
    excess: Excess
    bad: np.ndarray

    def __len__(self) -> int:
        return len(self.matched)


def steerable_plan(
    preparation: ImagePreparation, *, resolution_limit_A: float | None = None, most_diameter_px: float = math.inf
) -> SteerablePlan:
    """Working box and basis for a particle.

    The box is reduced to where Nyquist is ``resolution_limit_A``, or the finest detail that the images hold, and the
    particle is at most ``most_diameter_px`` pixels across. The basis has all frequencies that the images hold, and the
    survey lowers its cutoff. Raises ValueError for a limit that leaves fewer than 16 pixels.
    """
    raw, pixel = preparation.box_px, preparation.pixel_size_A
    wanted = max(pixel, (resolution_limit_A or 0.0) / 2, preparation.particle_diameter_A / most_diameter_px)
    box = min(raw, math.ceil(raw * pixel / wanted))
    if box < FEWEST_PX:
        raise ValueError(
            f"resolution_limit_A: {2 * wanted:g} A leaves {box} pixels across the box of {raw * pixel:.0f} A; "
            f"expected at most {2 * raw * pixel / FEWEST_PX:.0f} A"
        )
    held = HIGHEST_CUTOFF_PER_PX
    if preparation.finest_A is not None:
        box = max(min(box, math.ceil(2 * raw * pixel / preparation.finest_A)), FEWEST_PX)
        held = min(held, pixel * raw / box / preparation.finest_A)
    return SteerablePlan(
        preparation=preparation,
        box_px=box,
        pixel_size_A=pixel * raw / box,
        basis=FourierBessel(
            box_px=box,
            radius_px=min(float(box // 2), DISC * preparation.radius_px * box / raw),
            cutoff_per_px=held,
        ),
    )


def prepare_matched(
    particles: ParticleSet,
    plan: SteerablePlan,
    *,
    ctf: CTFParameters | None,
    memory_bytes: int = 4 << 30,
    store: Path | None = None,
    threads: int = 1,
    processes: Processes = ALONE,
    progress: Callable[[int, int, str], None] | None = None,
) -> MatchedImages:
    """Survey up to 10,000 particles for noise and cutoff, then read every particle once.

    Of several processes each reads its own particles, and has zeros in the place of the coefficients of others.

    ctf: of the particles, None to do without. Images are centred by their origin columns. Coefficients beyond a
    quarter of the memory go to the file ``store``. Progress receives (done, of, what). Raises ValueError when no
    image can be used.
    """
    n = len(particles)
    tell = progress or (lambda done, total, what: None)
    survey = _survey(particles, plan, ctf, threads, processes, tell)
    plan = replace(plan, basis=survey.basis)
    basis, noise, plane = plan.basis, survey.noise_power, unknown_plane(survey.noise_power, plan.box_px)
    groups = None if ctf is None else defocus_groups(ctf, plan.pixel_size_A, basis.cutoff_per_px)
    group = np.zeros(n, np.int64) if groups is None else groups.index
    information = information_blocks(basis, None if groups is None else groups.ctf, plan.pixel_size_A, noise, plane)
    shape = (n, basis.size)
    if store is None or 8 * n * basis.size < memory_bytes // 4:
        matched = np.zeros(shape, np.complex64)
    else:
        matched = scratch_array(store, np.complex64, shape)
    moments = empty_moments(basis, 1 if groups is None else len(groups))
    bad, scale = np.zeros(n, bool), np.zeros(n, np.float32)
    shares = by_process(np.arange(n), processes)
    mine = shares[processes.rank]

    def match(index: np.ndarray) -> tuple[np.ndarray, torch.Tensor, torch.Tensor, np.ndarray]:
        images, wrong, raw_scale = working_images(particles, plan, index)
        own_ctf = None if ctf is None else ctf.take(index)
        rows = matched_coefficients(basis, images, own_ctf, plan.pixel_size_A, noise, plane)
        rows[wrong] = 0
        return index, rows, wrong, raw_scale

    for index, rows, wrong, raw_scale in ordered_map(match, _batches(mine, plan), threads):
        scale[index] = raw_scale
        good = ~wrong
        moments = add_moments(moments, basis, rows[good], torch.from_numpy(group[index])[good])
        matched[index], bad[index] = rows.numpy(), wrong.numpy()
        tell(int(index[-1]) + 1, n, "reading particles")
    every = processes.gather(_Read(bad=bad[mine], scale=scale[mine]))
    bad[np.concatenate(shares)], scale[np.concatenate(shares)] = every.bad, every.scale
    return MatchedImages(
        plan=plan,
        matched=matched,
        scale=scale,
        group=group,
        groups=groups,
        information=tuple(information),
        moments=processes.add(moments),
        noise_power=noise,
        background_power=survey.background_power,
        excess=survey.excess,
        bad=bad,
    )


def working_images(
    particles: ParticleSet, plan: SteerablePlan, index: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Normalised, centred, reduced images (m, L, L), which are bad (m,), and raw grey values per unit (m,)."""
    raw = torch.from_numpy(np.ascontiguousarray(particles.read(index), dtype=np.float32))
    images, bad = plan.preparation.clean(raw)
    scale = _raw_scale(raw, images, bad, plan)
    shift = torch.from_numpy(particles.origin_A[index] / plan.pixel_size_A).float()
    ft = fourier_crop(centred_rfft2(images), plan.preparation.box_px, plan.box_px)
    if bool(shift.any()):
        ft = ft * shift_phase(shift, plan.box_px)
    return centred_irfft2(ft, plan.box_px), bad, scale


@dataclass(frozen=True, kw_only=True)
class _Read:
    bad: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Survey:
    basis: FourierBessel
    noise_power: torch.Tensor
    background_power: torch.Tensor
    excess: Excess


def _survey(
    particles: ParticleSet,
    plan: SteerablePlan,
    ctf: CTFParameters | None,
    threads: int,
    processes: Processes,
    tell: Callable[[int, int, str], None],
) -> _Survey:
    """Background spectrum, and moments matched as if noise had power 1, of some images; noise and basis from both."""
    n, basis, pixel = len(particles), plan.basis, plan.pixel_size_A
    chosen = np.unique(np.linspace(0, n - 1, min(n, SURVEY_IMAGES)).astype(int))
    some = None if ctf is None else ctf.take(chosen)
    groups = None if some is None else defocus_groups(some, pixel, basis.cutoff_per_px)
    group = np.zeros(len(chosen), np.int64) if groups is None else groups.index
    mask = 1 - soft_disc(plan.box_px, plan.radius_px, EDGE_PX)
    sums, moments = empty_noise_sums(1, plan.box_px), empty_moments(basis, 1 if groups is None else len(groups))
    plane = unknown_plane(torch.ones(plan.box_px // 2 + 1), plan.box_px)

    def match(rows: np.ndarray) -> tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor]:
        images, bad, _ = working_images(particles, plan, chosen[rows])
        z = matched_coefficients(basis, images, None if some is None else some.take(rows), pixel, 1.0, plane)
        return rows, images, bad, z

    own = _batches(by_process(np.arange(len(chosen)), processes)[processes.rank], plan)
    for rows, images, bad, z in ordered_map(match, own, threads):
        if bad.all():
            continue
        sums = add_noise_images(sums, images[~bad], torch.zeros(int((~bad).sum()), dtype=torch.int64), mask)
        moments = add_moments(moments, basis, z[~bad], torch.from_numpy(group[rows])[~bad])
        tell(int(rows[-1]) + 1, len(chosen), "measuring the noise")
    sums, moments = processes.add(sums), processes.add(moments)
    count = float(sums.images.sum())
    if count == 0:
        raise ValueError(f"{particles.path}: no usable image among the {len(chosen)} that were looked at")
    outside = soft_disc(plan.box_px, plan.radius_px, 0.0) == 0
    response = background_response(plan.box_px, mask, outside, ramp=plan.preparation.normalise)
    background = noise_power(sums)[0] / response.clamp(min=1e-3)
    background[0] = background[1]  # nothing is left of the lowest ring once the mean is subtracted
    power, error = smooth_spectrum(background, spectrum_error(plan.box_px, mask, count))
    centres = None if groups is None else groups.ctf
    blocks = [
        information_blocks(basis, centres, pixel, 1 / p, plane * p[1].sqrt()) for p in (torch.ones_like(power), power)
    ]
    second, noise = second_and_noise(moments, *blocks)
    excess = excess_power(basis, second, noise, count)
    rings = np.arange(len(error)) / plan.box_px
    cutoff = choose_cutoff(excess, np.interp(excess.upper_per_px, rings, error.numpy()), basis.cutoff_per_px)
    narrow = replace(basis, cutoff_per_px=cutoff)
    level = bulk_level(restricted_blocks(second, narrow), restricted_blocks(noise, narrow), count)
    return _Survey(basis=narrow, noise_power=level * power, background_power=background.float(), excess=excess)


def _raw_scale(raw: torch.Tensor, images: torch.Tensor, bad: torch.Tensor, plan: SteerablePlan) -> np.ndarray:
    """Grey values of the raw image per unit of the normalised one, (m,); 0 where bad.

    What normalisation has subtracted is orthogonal to the residual in the background.
    """
    if not plan.preparation.normalise:
        return (~bad).float().numpy()
    outside = soft_disc(plan.preparation.box_px, plan.preparation.radius_px, 0.0) == 0
    x, y = (torch.where(bad[:, None], 0.0, v[:, outside]) for v in (raw, images))
    ratio = (x - x[:, :1]).mul(y).sum(1) / y.square().sum(1).clamp(min=1e-30)
    return ratio.abs().numpy()


def _batches(index: np.ndarray, plan: SteerablePlan) -> list[np.ndarray]:
    step = plan.preparation.batch
    return [index[start : start + step] for start in range(0, len(index), step)]
