"""What both halves start from: a low-pass map in the units of the images, and the noise that goes with it.

Halves that were given the same detail agree on it, whether the particles have it or not, and poses that followed it
carry it on to finer rings. So they are never given the same finer than :data:`SHARED_A`: of a finer map the second half
gets what is coarser than that.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import PreparedParticles, residual_noise, total
from vitreous.particles import Volume
from vitreous.processes import ALONE, Processes, by_process
from vitreous.rotations import random_rotations
from vitreous.structures.poses import Poses
from vitreous.structures.refine.images import PointImages, point_images, window_A
from vitreous.structures.refine.insertion import insert
from vitreous.structures.refine.search import best_of, prepare_search, starts
from vitreous.volumes import (
    PADDING,
    RingPoints,
    cross_power,
    density,
    masked,
    prepared,
    resample,
    slice_power,
    symmetrised,
    zero_volume_sums,
)

__all__ = ["SHARED_A", "Start", "for_halves", "from_poses", "from_reference", "initial_rings"]

SHARED_A = 20.0  # finest detail that both halves begin with: of cages of 13 A a wrong one was refined to 10 A
SAMPLE = 256  # particles that tell the scale of a reference
TILE = 256
ROUNDS = 2
SEED_PURPOSE = 7


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """volume: prepared, in the units of the images; noise_power: (G, R); scale: that a map was multiplied by."""

    volume: torch.Tensor
    noise_power: torch.Tensor
    scale: float = 1.0


def initial_rings(data: PreparedParticles, lowpass_A: float) -> int:
    """Rings up to a resolution: at least four."""
    return max(4, min(math.floor(window_A(data) / lowpass_A + 1e-6), data.basis.rings))


def for_halves(start: Start, data: PreparedParticles, lowpass_A: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The prepared volume that each half starts from; the second is cut where the halves would share too much."""
    if lowpass_A >= SHARED_A:
        return start.volume, start.volume
    return start.volume, _cut(start.volume, initial_rings(data, SHARED_A))


def _cut(volume_ft: torch.Tensor, rings: int) -> torch.Tensor:
    """A prepared volume without the samples beyond a ring: those that the ring itself does not touch."""
    h = volume_ft.shape[-1] - 2
    across = torch.arange(-h - 1, h + 2, device=volume_ft.device).square()
    along = torch.arange(h + 2, device=volume_ft.device).square()
    near = across[:, None, None] + across[:, None] + along <= (PADDING * rings + 1) ** 2
    return volume_ft * near


def from_poses(
    data: PreparedParticles,
    poses: Poses,
    index: np.ndarray,
    rings: int,
    *,
    group: torch.Tensor,
    processes: Processes = ALONE,
) -> Start:
    """The map of particles ``index`` at their poses, up to ``rings`` rings."""
    points = RingPoints(basis=data.basis.truncated(rings))
    noise = data.group_power.clone()
    halves = []
    for half in (index[0::2], index[1::2]):
        sums = zero_volume_sums(rings)
        mine = by_process(half, processes)[processes.rank]
        for i in range(0, len(mine), TILE):
            tile = mine[i : i + TILE]
            images = point_images(data, tile, points, noise)
            insert(sums, images, poses.rotation[tile][:, None], poses.origin_A[tile][:, None])
        halves.append(symmetrised(processes.add(sums), group))
    tau2 = cross_power(halves[0], halves[1], rings).clamp_min(0)
    every = total(halves)
    volume = prepared(density(every, points.basis, tau2))
    return Start(volume=volume, noise_power=residual_noise(noise, data, tau2, rings))


def from_reference(
    data: PreparedParticles,
    reference: Volume,
    poses: Poses | None,
    index: np.ndarray,
    rings: int,
    *,
    group: torch.Tensor,
    offset_range_A: float,
    seed: int,
    processes: Processes = ALONE,
) -> Start:
    """A map on any grid, cut to ``rings`` rings and to the particle's sphere, in the units of the images.

    Its scale is the one that explains the images best: of a sample at their poses where these are known; else first
    from the power of the images above white noise, then at the best views that the sample finds.
    """
    points = RingPoints(basis=data.basis.truncated(rings))
    side = points.side
    grid = resample(reference, side, window_A(data) / side)
    volume = prepared(masked(torch.from_numpy(grid.data), points.basis))
    power = slice_power(volume, points, random_rotations(100, seed=SEED_PURPOSE))
    sample = by_process(index[:: max(1, len(index) // SAMPLE)], processes)[processes.rank]
    scale = _scale_of_power(data, power, rings)
    for _ in range(1 if poses is not None else ROUNDS):
        noise = residual_noise(data.group_power, data, scale**2 * power, rings)
        images = point_images(data, sample, points, noise)
        if poses is not None:
            rotation, origin = poses.rotation[sample], poses.origin_A[sample]
        else:
            rotation, origin = _best_views(data, volume * scale, sample, images, noise, offset_range_A, group, seed)
        fit = processes.add(_fit(volume, images, rotation, origin))
        scale = max(float(fit.product / fit.power), 0.1 * scale)
    noise = residual_noise(data.group_power, data, scale**2 * power, rings)
    return Start(volume=volume * scale, noise_power=noise, scale=scale)


def _scale_of_power(data: PreparedParticles, power: torch.Tensor, rings: int) -> float:
    """Scale a for which ``a^2 C^2 |A|^2 + constant`` fits the power of the images on the rings, relative errors."""
    every = data.basis.rings
    total = data.group_power.mean(0)[:every].double()
    shape = torch.zeros(every, dtype=torch.float64)
    shape[:rings] = (data.mean_ctf_power(0, rings) * power).double()
    used = torch.ones(every, dtype=torch.bool)
    used[rings : max(rings, every - 3)] = False  # signal that the reference lacks; the last rings tell the noise
    design = torch.stack([shape, torch.ones(every, dtype=torch.float64)], 1)[used] / total[used, None]
    solution = torch.linalg.lstsq(design, torch.ones(len(design), 1, dtype=torch.float64)).solution
    floor = 1e-3 * float(total[:rings].mean() / shape[:rings].mean().clamp_min(1e-30))
    return math.sqrt(max(float(solution[0, 0]), floor))


def _best_views(
    data: PreparedParticles,
    volume: torch.Tensor,
    sample: np.ndarray,
    images: PointImages,
    noise: torch.Tensor,
    offset_range_A: float,
    group: torch.Tensor,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    search = prepare_search(
        data, volume, images.points.rings, offset_range_A=offset_range_A, offset_sd_A=offset_range_A / 2,
        group=group.numpy(), seed=seed, turn=0,
    )  # fmt: skip
    rotation, origin = starts(data, sample, search, noise)
    found = best_of(volume, images, rotation, origin, offset_range_A / 2)
    return found.rotation, found.origin_A


@dataclass(frozen=True)
class _Fit:
    product: torch.Tensor
    power: torch.Tensor


def _fit(volume: torch.Tensor, images: PointImages, rotation: np.ndarray, origin_A: np.ndarray) -> _Fit:
    """Least squares of the images on their slices: scale = product / power."""
    slices, x = images.slices(volume, rotation), images.centred(origin_A)
    return _Fit((slices.conj() * x).real.double().sum(), slices.abs().square().double().sum())
