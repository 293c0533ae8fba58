"""The transposed product: sums of images, turned and shifted back, under their posterior weights.

    sum_k(r, q)  = sum_n sum_{psi, u} gamma_n(k, psi, u) [ x_n back-rotated by psi, shifted back by u ]
    power_k(r)   = sum_n sum_{psi, u} gamma_n(k, psi, u) C_n^2(r) / sigma_n^2(r)

so that ``sum / (power + 1 / tau^2)`` is the Wiener average of SCIENCE.md section 10. With an astigmatic CTF, power
is the mean of C^2 over the ring (the final averages in real space use the exact two-dimensional C^2).
A pass over the data is zero / add / merge.
"""

from dataclasses import dataclass, replace

import torch

from vitreous.matching.choice import Chosen
from vitreous.matching.grid import PoseGrid
from vitreous.matching.score import ImageTile, Rows

__all__ = ["Sums", "accumulate", "merge_sums", "zero_sums"]


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Sufficient statistics of K references.

    signal: (K, R, Q) complex; power: (K, R); members: (K,) sum of posteriors; square_members: (K,) sum of squared
    class posteriors; offset_square_px2: (K,) posterior sum of |u|^2.
    """

    signal: torch.Tensor
    power: torch.Tensor
    members: torch.Tensor
    square_members: torch.Tensor
    offset_square_px2: torch.Tensor


def zero_sums(n_references: int, rings: int, harmonics: int, device: str | torch.device = "cpu") -> Sums:
    """Empty statistics."""
    k = torch.zeros(n_references, device=device)
    return Sums(
        signal=torch.zeros(n_references, rings, harmonics, dtype=torch.complex64, device=device),
        power=torch.zeros(n_references, rings, device=device),
        members=k,
        square_members=k.clone(),
        offset_square_px2=k.clone(),
    )


def merge_sums(a: Sums, b: Sums) -> Sums:
    """Statistics of the union of two sets of images."""
    return Sums(
        signal=a.signal + b.signal,
        power=a.power + b.power,
        members=a.members + b.members,
        square_members=a.square_members + b.square_members,
        offset_square_px2=a.offset_square_px2 + b.offset_square_px2,
    )


def class_posteriors(rows: Rows, chosen: Chosen, n_images: int, n_references: int) -> torch.Tensor:
    """Posterior probability of every class for every image, (n, K)."""
    out = torch.zeros(n_images, n_references, device=chosen.weight.device)
    return out.index_put_((rows.image, rows.reference), chosen.weight.sum(1), accumulate=True)


def accumulate(
    sums: Sums, tile: ImageTile, grid: PoseGrid, rows: Rows, chosen: Chosen, *, chunk_bytes: int = 1 << 23
) -> Sums:
    """Add a tile of images to the statistics (all of the rings of ``sums`` that the grid uses)."""
    n_references, n_shifts = sums.signal.shape[0], len(grid.shifts_px)
    part = tile.truncated(grid)
    # The Fourier series of the weights along psi: sum_psi gamma e^{-i q psi}.
    series = chosen.weight @ grid.analysis
    turned = torch.complex(series[:, : grid.harmonics], series[:, grid.harmonics :])
    slots, slot = torch.unique(rows.reference * n_shifts + rows.shift, return_inverse=True)
    shifted = torch.zeros(len(slots), grid.rings, grid.harmonics, dtype=torch.complex64, device=turned.device)
    chunk = max(64, chunk_bytes // (8 * grid.rings * grid.harmonics))
    for i in range(0, len(slot), chunk):
        piece = slice(i, i + chunk)
        shifted.index_add_(0, slot[piece], turned[piece, None, :] * part.data[rows.image[piece]])
    signal = sums.signal.clone()
    for i in range(0, len(slots), max(1, chunk // 4)):
        piece = slice(i, i + max(1, chunk // 4))
        back = grid.unshift(shifted[piece], slots[piece] % n_shifts)
        signal[:, : grid.rings, : grid.harmonics].index_add_(0, slots[piece] // n_shifts, back)
    posterior = class_posteriors(rows, chosen, len(tile), n_references)
    power = sums.power.clone()
    power[:, : grid.rings] += posterior.T @ part.ctf_power[:, :, 0].real
    distance = grid.shifts_px.square().sum(1)[rows.shift] * chosen.weight.sum(1)
    return replace(
        sums,
        signal=signal,
        power=power,
        members=sums.members + posterior.sum(0),
        square_members=sums.square_members + posterior.square().sum(0),
        offset_square_px2=sums.offset_square_px2.index_add(0, rows.reference, distance),
    )
