"""The transposed product: sums of images, turned and shifted back, under their posterior weights.

    sum_k(r, q)  = sum_n sum_{psi, u} gamma_n(k, psi, u) [ x_n back-rotated by psi, shifted back by u ]
    power_k(r)   = sum_n sum_{psi, u} gamma_n(k, psi, u) C_n^2(r) / sigma_n^2(r)

so that ``sum / (power + 1 / tau^2)`` is the Wiener average of SCIENCE.md section 10. With an astigmatic CTF, power
is the mean of C^2 over the ring (the final averages in real space use the exact two-dimensional C^2).

A tile of images touches few of many references, and its sums name those alone. Where they are added is the matter of
an :class:`Accumulator`: :class:`DenseSums` keeps the sums of all references; a volume inserts each as a slice.
"""

from dataclasses import dataclass, fields
from typing import Protocol

import torch

from vitreous.matching.choice import Chosen
from vitreous.matching.grid import PoseGrid
from vitreous.matching.score import ImageTile, Rows

__all__ = ["Accumulator", "DenseSums", "Sums", "TileSums", "class_posteriors", "merge_sums", "tile_sums", "zero_sums"]

CHUNK_BYTES = 1 << 23
FEW_REFERENCES = 256  # of which a tile sums all: its arrays are small, and nothing has to be looked up


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


@dataclass(frozen=True, kw_only=True)
class TileSums:
    """What a tile of images adds: sums with t rows, each to the reference (t,) that it belongs to.

    After a search every reference that the tile touches has one row, in ascending order (of few references, all have);
    particles at known alignments come with a row each, so that a reference may have several.
    """

    reference: torch.Tensor
    sums: Sums


class Accumulator(Protocol):
    """Where the sums of the tiles go. A pass over the data adds them in the order of the tiles."""

    def add(self, tile: TileSums) -> None:
        """Add the sums of one tile."""


class DenseSums:
    """The sums of all references, added up in place; ``sums`` are those so far."""

    def __init__(self, n_references: int, rings: int, harmonics: int, device: str | torch.device = "cpu"):
        self.sums = zero_sums(n_references, rings, harmonics, device)

    def add(self, tile: TileSums) -> None:
        """Add the sums of one tile."""
        for f in fields(Sums):
            getattr(self.sums, f.name).index_add_(0, tile.reference, getattr(tile.sums, f.name))


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
    return Sums(**{f.name: getattr(a, f.name) + getattr(b, f.name) for f in fields(Sums)})


def class_posteriors(rows: Rows, chosen: Chosen, n_images: int, n_references: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Posterior probabilities of references: (which ones (t,) ascending, for every image (n, t)).

    They are all references where there are few, and else those that rows touch.
    """
    if n_references <= FEW_REFERENCES:
        reference, column = torch.arange(n_references, device=rows.reference.device), rows.reference
    else:
        reference, column = torch.unique(rows.reference, return_inverse=True)
    out = torch.zeros(n_images, len(reference), device=chosen.weight.device)
    return reference, out.index_put_((rows.image, column), chosen.weight.sum(1), accumulate=True)


def tile_sums(
    tile: ImageTile,
    grid: PoseGrid,
    rows: Rows,
    chosen: Chosen,
    n_references: int,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> TileSums:
    """The sums of a tile of images at the rings and harmonics of the grid."""
    part = tile.truncated(grid)
    reference, posterior = class_posteriors(rows, chosen, len(tile), n_references)
    distance = grid.shifts_px.square().sum(1)[rows.shift] * chosen.weight.sum(1)
    offset_square = torch.zeros(len(reference), device=distance.device)
    offset_square.index_add_(0, torch.searchsorted(reference, rows.reference), distance)
    sums = Sums(
        signal=_signal(part, grid, rows, chosen, reference, chunk_bytes),
        power=posterior.T @ part.ctf_power[:, :, 0].real,
        members=posterior.sum(0),
        square_members=posterior.square().sum(0),
        offset_square_px2=offset_square,
    )
    return TileSums(reference=reference, sums=sums)


def _signal(
    part: ImageTile, grid: PoseGrid, rows: Rows, chosen: Chosen, reference: torch.Tensor, chunk_bytes: int
) -> torch.Tensor:
    """(t, R, Q): images turned back are summed for every (reference, shift), then shifted back."""
    # The Fourier series of the weights along psi: sum_psi gamma e^{-i q psi}.
    series = chosen.weight @ grid.analysis
    series = torch.complex(series[:, : grid.harmonics], series[:, grid.harmonics :])
    n_shifts, chunk = len(grid.shifts_px), max(64, chunk_bytes // (8 * grid.rings * grid.harmonics))
    slots, slot = torch.unique(rows.reference * n_shifts + rows.shift, return_inverse=True)
    order = torch.argsort(slot, stable=True)
    per_piece = max(1, chunk // 4)
    edges = torch.searchsorted(slot[order], torch.arange(0, len(slots) + per_piece, per_piece, device=slot.device))
    signal = torch.zeros(len(reference), grid.rings, grid.harmonics, dtype=torch.complex64, device=slot.device)
    for i in range(0, len(slots), per_piece):
        mine = slots[i : i + per_piece]
        turned = torch.zeros(len(mine), grid.rings, grid.harmonics, dtype=torch.complex64, device=slot.device)
        start, stop = (int(edges[i // per_piece + j]) for j in (0, 1))
        for j in range(start, stop, chunk):
            some = order[j : min(j + chunk, stop)]
            turned.index_add_(0, slot[some] - i, series[some, None, :] * part.data[rows.image[some]])
        back = grid.unshift(turned, mine % n_shifts)
        signal.index_add_(0, torch.searchsorted(reference, mine // n_shifts), back)
    return signal
