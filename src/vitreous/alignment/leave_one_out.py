"""Continuous poses, each image against the average of exactly the others.

With S_g the sum of a group, P_g its power (:class:`vitreous.matching.Sums`), and s_i, p_i what image i has given to
them at its pose, the reference of image i is

    A_i = (S_g - s_i) / (P_g - p_i + 1 / tau^2),

so leaving one out costs a subtraction. Rotation and shift then climb the score by Newton's method
(:func:`vitreous.matching.refine_poses`); a few rounds settle, since each image moves by less than a step of the grid.
"""

from dataclasses import replace

import numpy as np
import torch

from vitreous.alignment.groups import Groups, Matching
from vitreous.matching import (
    Alignments,
    DenseSums,
    PreparedParticles,
    RingBasis,
    Sums,
    TileSums,
    refine_poses,
    reflected_rings,
    rows_at,
)

__all__ = ["refine_left_out"]

TILE = 512  # rows refined at a time
ROUNDS = 2


def refine_left_out(
    data: PreparedParticles,
    groups: Groups,
    alignments: Alignments,
    noise_power: torch.Tensor,
    tau2: torch.Tensor,
    matching: Matching,
    rings: int,
    *,
    rounds: int = ROUNDS,
) -> Alignments:
    """Alignments of all rows, refined below the steps of the grid; tau2: (>= rings,) power of the signal."""
    noise, found = matching.noise(noise_power), alignments
    for _ in range(rounds):
        found = _round(data, groups, found, noise, tau2[:rings], matching, rings)
    return found


def _round(
    data: PreparedParticles,
    groups: Groups,
    at: Alignments,
    noise: torch.Tensor,
    tau2: torch.Tensor,
    matching: Matching,
    rings: int,
) -> Alignments:
    basis, plan = data.basis.truncated(rings), data.search(rings, matching.offset_range_A)
    every = _sums(data, at, noise, basis, groups.count)
    sd_px = matching.offset_range_A / 2 / data.pixel_size_A
    psi, shift = np.empty(len(at)), np.empty((len(at), 2))
    for start in range(0, len(at), TILE):
        here = slice(start, start + TILE)
        part = at.take(here)
        tile, own = rows_at(data, part, noise, basis)
        label = torch.from_numpy(part.reference).to(data.device)
        others = replace(
            own.sums, signal=every.signal[label] - own.sums.signal, power=every.power[label] - own.sums.power
        )
        references = matching.averages(others, tau2)
        mirror = torch.from_numpy(part.mirror).to(data.device)[:, None, None]
        references = torch.where(mirror, reflected_rings(references), references)
        new_psi, new_shift = refine_poses(
            tile,
            references,
            plan.fine,
            torch.from_numpy(part.psi_rad).float().to(data.device),
            torch.from_numpy(part.shift_A / data.pixel_size_A).float().to(data.device),
            offset_sd_px=sd_px,
        )
        psi[here], shift[here] = new_psi.cpu().numpy(), new_shift.cpu().numpy()
    fresh = Alignments.from_shifts(at.particle, at.reference, psi, shift * data.pixel_size_A)
    return replace(fresh, mirror=at.mirror)


def _sums(data: PreparedParticles, at: Alignments, noise: torch.Tensor, basis: RingBasis, count: int) -> Sums:
    sums = DenseSums(count, basis.rings, basis.harmonics, data.device)
    for start in range(0, len(at), TILE):
        own: TileSums = rows_at(data, at.take(slice(start, start + TILE)), noise, basis)[1]
        sums.add(own)
    return sums.sums
