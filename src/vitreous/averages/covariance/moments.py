"""Sums over a stream of matched coefficients: all that the mean and the covariance need, in one pass."""

from dataclasses import dataclass

import torch

from vitreous.fourier import FourierBessel

__all__ = ["Moments", "add_moments", "empty_moments", "merge_moments"]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """float64 sums per defocus group over matched coefficients z.

    count: (G,); first: (G, k_0) sum of z_0, zero for the other orders by symmetry; second: per order q (G, k_q, k_q)
    sum of Re z conj(z)^T. The imaginary part of a second moment is odd under the mirror y -> -y, and the mean of
    z_q, and products of different orders, turn with the image: for images seen in every in-plane rotation and from
    both sides they are zero, and dropping them is averaging over those copies of the data.
    """

    count: torch.Tensor
    first: torch.Tensor
    second: tuple[torch.Tensor, ...]


def empty_moments(basis: FourierBessel, groups: int) -> Moments:
    """Nothing seen yet."""
    sizes = [block.stop - block.start for block in basis.blocks]
    return Moments(
        count=torch.zeros(groups, dtype=torch.float64),
        first=torch.zeros(groups, sizes[0], dtype=torch.float64),
        second=tuple(torch.zeros(groups, k, k, dtype=torch.float64) for k in sizes),
    )


def add_moments(moments: Moments, basis: FourierBessel, matched: torch.Tensor, group: torch.Tensor) -> Moments:
    """Add matched coefficients (n, M) of groups (n,) int64; returns new sums. Raises ValueError for NaN."""
    if not bool(torch.isfinite(torch.view_as_real(matched)).all()):
        raise ValueError("matched coefficients with NaN or infinite values: leave out the images that they come from")
    count, first = moments.count.clone(), moments.first.clone()
    second = [s.clone() for s in moments.second]
    for g in torch.unique(group).tolist():
        mine = matched[group == g].cpu()
        count[g] += len(mine)
        first[g] += mine[:, basis.blocks[0]].real.sum(0, dtype=torch.float64)
        parts = torch.cat([mine.real, mine.imag])
        for sums, block in zip(second, basis.blocks, strict=True):
            part = parts[:, block]
            sums[g] += (part.T @ part).double()
    return Moments(count=count, first=first, second=tuple(second))


def merge_moments(a: Moments, b: Moments) -> Moments:
    """The sums over both sets of images."""
    return Moments(
        count=a.count + b.count,
        first=a.first + b.first,
        second=tuple(x + y for x, y in zip(a.second, b.second, strict=True)),
    )
