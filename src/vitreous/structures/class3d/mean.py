"""The mean map of all particles at their poses, the noise about it, and how far its halves agree."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import PreparedParticles, residual_noise, total
from vitreous.matching.expect import tiles_of
from vitreous.processes import Processes, by_process
from vitreous.structures.refine.images import point_images
from vitreous.structures.refine.insertion import insert
from vitreous.structures.refine.spectra import half_fsc, resolved_rings
from vitreous.volumes import RingPoints, VolumeSums, cross_power, density, symmetrised, zero_volume_sums

__all__ = ["MeanMap", "mean_map"]

ROUNDS = 2  # of noise from the map, and the map from that noise
TILE = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanMap:
    """density: (s, s, s), s = 2 (rings + 1); power, fsc: (rings,); noise_power: (G, room); resolved: rings."""

    density: torch.Tensor
    power: torch.Tensor
    noise_power: torch.Tensor
    fsc: torch.Tensor
    resolved: int

    @property
    def rings(self) -> int:
        """Rings that it holds."""
        return len(self.power)


def mean_map(
    data: PreparedParticles,
    rotation: np.ndarray,
    origin_A: np.ndarray,
    folds: tuple[np.ndarray, ...],
    rings: int,
    *,
    group: torch.Tensor,
    processes: Processes,
) -> MeanMap:
    """Of the particles of the folds, on ``rings`` rings. Halves are even and odd folds."""
    points = RingPoints(basis=data.basis.truncated(rings))
    noise = data.group_power.clone()
    for _ in range(ROUNDS):
        halves = []
        for half in (0, 1):
            sums = zero_volume_sums(rings)
            mine = by_process(np.concatenate(folds[half::2]), processes)[processes.rank]
            for tile in tiles_of(mine, TILE) if len(mine) else []:
                insert(sums, point_images(data, tile, points, noise), rotation[tile][:, None], origin_A[tile][:, None])
            halves.append(symmetrised(processes.add(sums), group))
        tau2 = cross_power(halves[0], halves[1], rings).clamp_min(0)
        noise = residual_noise(noise, data, tau2, rings)
    whole: VolumeSums = total(halves)
    fsc = half_fsc(halves[0], halves[1], points.basis)
    return MeanMap(
        density=density(whole, points.basis, tau2),
        power=tau2,
        noise_power=noise,
        fsc=fsc,
        resolved=resolved_rings(fsc),
    )
