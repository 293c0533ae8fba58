"""Averages of neighbours: the posterior mean of the clean image given the aligned members, in the principal basis.

With members j turned into the frame of image i, ``average_i = (1/variance + sum_j P_j)^-1 sum_j b_j``: the covariance
Wiener filter of all of them at once. Members are re-aligned against the average of the other half of the members, so
that nothing is aligned to its own noise.
"""

from dataclasses import dataclass, replace

import torch

from vitreous.averages.neighbours.candidates import NeighbourLists
from vitreous.averages.neighbours.pairs import into_frame
from vitreous.averages.neighbours.principal import PrincipalImages, posterior_references
from vitreous.matching import pair_scores

__all__ = ["NeighbourAverages", "average_neighbours", "half_of_neighbours", "refine_rotations"]

PAIRS_AT_ONCE = 20_000


@dataclass(frozen=True, kw_only=True)
class NeighbourAverages:
    """Components of averages, complex (m, M), and of the averages of their two halves of members, (2, m, M)."""

    components: torch.Tensor
    halves: torch.Tensor


def average_neighbours(images: PrincipalImages, lists: NeighbourLists, which: torch.Tensor) -> NeighbourAverages:
    """Averages of images ``which`` (m,) and their neighbours, in the frame of the image.

    The image itself and every second neighbour are one half of the members.
    """
    if len(which) == 0:
        nothing = images.natural[:0]
        return NeighbourAverages(components=nothing, halves=torch.stack([nothing, nothing]))
    step = max(1, PAIRS_AT_ONCE // lists.index.shape[1])
    parts = [_average(images, lists, rows) for rows in which.split(step)]
    return NeighbourAverages(
        components=torch.cat([part[0] for part in parts]), halves=torch.cat([part[1] for part in parts], 1)
    )


def refine_rotations(images: PrincipalImages, lists: NeighbourLists) -> NeighbourLists:
    """The lists with rotations against the average of the members' other half; parabolic between those of the grid."""
    n, k = lists.index.shape
    out = torch.empty(n, k)
    for rows in torch.arange(n).split(max(1, PAIRS_AT_ONCE // k)):
        _, halves = _average(images, lists, rows)
        for own in (0, 1):
            mine = torch.arange(k)[half_of_neighbours(k) == own]
            j, mirrored = lists.index[rows][:, mine].flatten(), lists.mirrored[rows][:, mine].flatten()
            against = halves[1 - own].repeat_interleave(len(mine), 0)
            out[rows[:, None], mine] = _turn_to(images, j, mirrored, against).reshape(len(rows), -1)
    return replace(lists, psi_rad=out)


def half_of_neighbours(k: int) -> torch.Tensor:
    """Which half of the members each of k neighbours is in: the image itself is in 0, its nearest neighbour in 1."""
    return (torch.arange(k) + 1) % 2


def _average(images: PrincipalImages, lists: NeighbourLists, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    m, k = len(rows), lists.index.shape[1]
    j = lists.index[rows].flatten()
    moved = into_frame(images.natural[j], images.orders, lists.psi_rad[rows].flatten(), lists.mirrored[rows].flatten())
    moved = moved.reshape(m, k, -1)
    half = half_of_neighbours(k)
    signal = torch.stack([images.natural[rows] + moved[:, half == 0].sum(1), moved[:, half == 1].sum(1)])
    weight = torch.zeros(2, m, images.groups)
    weight[0, torch.arange(m), images.group[rows]] = 1
    group = images.group[j].reshape(m, k)
    for h in (0, 1):
        weight[h].scatter_add_(1, group[:, half == h], torch.ones(m, int((half == h).sum())))
    whole = posterior_references(images, signal.sum(0), weight.sum(0))
    return whole, torch.stack([posterior_references(images, signal[h], weight[h]) for h in (0, 1)])


def _turn_to(images: PrincipalImages, j: torch.Tensor, mirrored: torch.Tensor, against: torch.Tensor) -> torch.Tensor:
    """psi that turns image j, mirrored first where asked for, into the frame of a reference: (p,).

    The score has the image as the turned one: ``b_j ~ R(phi) M^s a``, so ``a ~ R(-phi) b_j`` or ``R(phi) M b_j``.
    """
    scores = pair_scores(images.natural[j], against, images.grid)[torch.arange(len(j)), mirrored.long()]
    best = scores.argmax(1)
    around = [scores.gather(1, ((best + d) % scores.shape[1])[:, None])[:, 0] for d in (-1, 0, 1)]
    bend = (around[0] - 2 * around[1] + around[2]).clamp(max=-torch.finfo(scores.dtype).tiny)
    phi = (best + (0.5 * (around[0] - around[2]) / bend).clamp(-0.5, 0.5)) * images.grid.psi_rad[1]
    return torch.where(mirrored, phi, -phi)
