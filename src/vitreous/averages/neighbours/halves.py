"""How far an average can be trusted: correlation of its two halves, ring by ring, before any prior has touched them.

The averages themselves are posterior means in few principal components. Both halves share these components, whose
tails reach beyond the resolution, so that their Fourier ring correlation stays high where nothing is known. Sums of
aligned matched coefficients share nothing but the signal.
"""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.averages.neighbours.averaging import PAIRS_AT_ONCE, half_of_neighbours
from vitreous.averages.neighbours.candidates import NeighbourLists
from vitreous.averages.neighbours.pairs import into_frame
from vitreous.fourier import FourierBessel
from vitreous.processes import ALONE, Processes

__all__ = ["half_correlation"]


def half_correlation(
    matched: np.ndarray,
    basis: FourierBessel,
    lists: NeighbourLists,
    which: torch.Tensor,
    rows: np.ndarray,
    processes: Processes = ALONE,
) -> torch.Tensor:
    """FRC (m, L // 2 + 1) of the halves of the averages of images ``which`` (m,) and their neighbours.

    matched: (N, M) matched coefficients, of which image i of the lists is row ``rows[i]``; of several processes each
    has zeros in the rows of others. Sums over a ring take in half of each of the rings beside it, as the members are
    few; the lowest ring, which the background took, gets at least the value of the next.
    """
    ring = (basis.frequencies * basis.box_px).round().long().clamp(max=basis.box_px // 2)
    parts = []
    for some in which.split(max(1, PAIRS_AT_ONCE // lists.index.shape[1])):
        halves = processes.add(_half_sums(matched, basis, lists, some, rows)).sums
        products = torch.stack([(halves[a] * halves[b].conj()).real for a, b in ((0, 1), (0, 0), (1, 1))])
        sums = torch.zeros(3, len(some), basis.box_px // 2 + 1, dtype=torch.float64)
        sums.index_add_(2, ring, (products * basis.multiplicity).double())
        padded = torch.cat([sums[..., :1], sums, sums[..., -1:]], 2)
        cross, first, second = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
        parts.append(cross / (first * second).sqrt().clamp_min(torch.finfo(torch.float64).tiny))
    frc = torch.cat(parts)
    frc[:, 1] = torch.maximum(frc[:, 1], frc[:, 2])
    return frc


def _half_sums(
    matched: np.ndarray,
    basis: FourierBessel,
    lists: NeighbourLists,
    which: torch.Tensor,
    rows: np.ndarray,
) -> "_Halves":
    def take(index: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.array(matched[rows[index.numpy()]]))

    k = lists.index.shape[1]
    moved = into_frame(
        take(lists.index[which].flatten()),
        basis.orders,
        lists.psi_rad[which].flatten(),
        lists.mirrored[which].flatten(),
    ).reshape(len(which), k, basis.size)
    half = half_of_neighbours(k)
    return _Halves(sums=(take(which) + moved[:, half == 0].sum(1), moved[:, half == 1].sum(1)))


@dataclass(frozen=True, kw_only=True)
class _Halves:
    """Sums of aligned coefficients, (m, M) for each half."""

    sums: tuple[torch.Tensor, torch.Tensor]
