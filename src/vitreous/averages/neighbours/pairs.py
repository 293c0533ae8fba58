"""In-plane rotations between neighbours.

With the mirror M (y -> -y) and the rotation R(psi) of :mod:`vitreous.conventions`, image i resembles
``R(psi_i) M^s_i a`` for a class a, and j likewise. Hence

    x_i = R(psi_i - psi_j) x_j            where s_i = s_j
    x_i = R(psi_i + psi_j) M x_j          where not

and every class that explains both images well has a vote, weighted by both features. The votes are rotations under
averages of many images, far better than the correlation of two noisy ones.
"""

from dataclasses import replace

import torch

from vitreous.averages.neighbours.candidates import NeighbourLists
from vitreous.averages.neighbours.profiles import Profiles

__all__ = ["into_frame", "relative_rotations"]

CHUNK = 2000  # images at a time


def relative_rotations(profiles: list[Profiles], features: torch.Tensor, lists: NeighbourLists) -> NeighbourLists:
    """The lists with the rotations psi that turn neighbour j, mirrored first where it says so, into image i.

    features: of :func:`profile_features`, for the weights. Pairs without a common class among the likeliest get 0;
    :func:`vitreous.averages.neighbours.averaging.refine_rotations` searches all rotations anyway.
    """
    n, k = lists.index.shape
    votes = torch.zeros(n, k, dtype=torch.complex64)
    width = profiles[0].log_likelihood.shape[1]
    for run, profile in enumerate(profiles):
        weight = features[:, run * width : (run + 1) * width].gather(1, profile.best)
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
            j, mirrored = lists.index[rows], lists.mirrored[rows].long()
            same = profile.best[rows][:, None, :, None] == (profile.best[j] ^ mirrored[:, :, None])[:, :, None, :]
            both = same * weight[rows][:, None, :, None] * weight[j][:, :, None, :]
            sign = (2 * mirrored - 1)[:, :, None, None]
            angle = profile.psi_rad[rows][:, None, :, None] + sign * profile.psi_rad[j][:, :, None, :]
            votes[rows] += torch.polar(both, angle).sum((2, 3))
    return replace(lists, psi_rad=votes.angle())


def into_frame(
    coefficients: torch.Tensor, orders: torch.Tensor, psi_rad: torch.Tensor, mirrored: torch.Tensor
) -> torch.Tensor:
    """Coefficients (p, M) of images in the frame of their partners: mirrored (p,) first, then turned by psi (p,)."""
    moved = coefficients.clone()
    torch.view_as_real(moved)[mirrored, :, 1] *= -1
    angle = psi_rad[:, None] * orders
    return moved * torch.polar(torch.ones_like(angle), angle).to(moved.dtype)
