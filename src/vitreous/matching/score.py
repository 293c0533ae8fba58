"""The score of images against references over all rotations and shifts, as matrix products.

Model (SCIENCE.md sections 1 and 12): ``X = C S(o) P(psi) A + N`` with noise power sigma^2(k). Up to a constant,

    log p(X | k, psi, u) = sum_q m_q Re( c_q e^{i q psi} ) + bias,
    c_q(n, k, u)         = sum_r conj(x_q(r)) a_q(r)  -  [ astigmatic part of the norm, below ]
    x                    = C X / sigma^2        (image rings, n of them)
    a                    = w A_k exp(2 pi i k . u)   (weighted shifted references, K x S of them)
    bias                 = log prior(k, u) - 1/2 sum_r w C^2 / sigma^2 |A_k|^2

For every harmonic q the sum over rings is a product (images x rings) @ (rings x references); the sum over q is a
product with the fixed matrix ``PoseGrid.synthesis``. Both are done in blocks that never hold more than a budgeted
number of scores; what leaves a block is the maximum over psi, and the rows (image, reference, shift) within a margin
of the best row of their image.

Astigmatism: C is a function of (r, theta). ``x`` takes it exactly; in the norm, C^2 = sum_p D_p(r) e^{i p theta} with
few even p, and ``1/2 sum w D_p^* (|A|^2)_p e^{i p psi}`` is subtracted from c_p.

Half of the rotations come free: with U(psi) the sum over even q and V(psi) that over odd q, the scores at psi and
psi + pi are U + V and U - V, so the maximum of both is U + |V|.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from vitreous.matching.grid import PoseGrid
from vitreous.matching.references import TILE_SCORES, ReferenceBlock, References, padded_columns
from vitreous.matching.similarity import Similarity, similarity_of

__all__ = [
    "ImageTile",
    "Rows",
    "all_norms",
    "best_rotations",
    "best_rows",
    "best_shifts",
    "compared_rows",
    "reference_maxima",
    "reference_norms",
    "row_maxima",
]


@dataclass(frozen=True, kw_only=True)
class ImageTile:
    """n prepared images: CTF-weighted, noise-weighted rings and what the norm and the M-step need.

    data: (n, R, Q) complex, C X / sigma^2. ctf_power: (n, R, H) complex, harmonics 0, 2, .. 2(H-1) of C^2 / sigma^2
    along theta (H = 1 without astigmatism).
    """

    data: torch.Tensor
    ctf_power: torch.Tensor

    def __len__(self) -> int:
        return len(self.data)

    def take(self, index: slice | torch.Tensor) -> "ImageTile":
        """Some of the images."""
        return ImageTile(data=self.data[index], ctf_power=self.ctf_power[index])

    def truncated(self, grid: PoseGrid) -> "ImageTile":
        """The rings and harmonics that a grid uses."""
        return ImageTile(data=self.data[:, : grid.rings, : grid.harmonics], ctf_power=self.ctf_power[:, : grid.rings])


@dataclass(frozen=True, kw_only=True)
class Rows:
    """m (image, reference, shift) rows with their log posteriors (unnormalised) over all rotations.

    image, reference, shift: (m,) indices, sorted by image; log_weight: (m, n_psi).
    """

    image: torch.Tensor
    reference: torch.Tensor
    shift: torch.Tensor
    log_weight: torch.Tensor

    def take(self, index: torch.Tensor) -> "Rows":
        """Some of the rows."""
        return Rows(
            image=self.image[index],
            reference=self.reference[index],
            shift=self.shift[index],
            log_weight=self.log_weight[index],
        )


def _norm_harmonics(
    tile: ImageTile,
    refs: References,
    image: torch.Tensor | slice = slice(None),
    reference: torch.Tensor | slice = slice(None),
) -> torch.Tensor:
    """1/2 sum_r w D_p^* (|A|^2)_p for all pairs (n, K, H), or for paired lists of references (and images): (m, H)."""
    if isinstance(reference, slice):
        return 0.5 * torch.einsum("nrh,krh->nkh", tile.ctf_power.conj(), refs.power)
    return 0.5 * (tile.ctf_power[image].conj() * refs.power[reference]).sum(1)


def reference_norms(tile: ImageTile, refs: References, image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """1/2 sum_r w C^2 / sigma^2 |A|^2 of (image, reference) pairs, averaged over rotations: (m,)."""
    return _norm_harmonics(tile, refs, image, reference)[:, 0].real


def all_norms(tile: ImageTile, refs: References) -> torch.Tensor:
    """1/2 sum_r w C^2 / sigma^2 |A|^2 of all images and references, averaged over rotations: (n, K)."""
    return _norm_harmonics(tile, refs)[:, :, 0].real


def compared_rows(tile: ImageTile, refs: References, rows: Rows, similarity: Similarity) -> Rows:
    """Rows with another similarity in place of their log posteriors; priors do not count in it.

    refs: all that the rows count. For a round CTF; of an astigmatic one the norm takes its mean over rotations.
    """
    norm = reference_norms(tile, refs, rows.image, rows.reference)[:, None]
    difference = rows.log_weight - refs.log_prior[rows.reference, rows.shift][:, None]
    return replace(rows, log_weight=similarity_of(similarity, difference, norm))


@dataclass(frozen=True)
class _Piece:
    """Some images against some references: c of even and of odd harmonics (q, 2, m, columns), maxima (m, columns).

    references: their places in the block. c is overwritten by the next piece.
    """

    images: slice
    references: slice
    even: torch.Tensor
    odd: torch.Tensor
    maxima: torch.Tensor


def _sweep(tile: ImageTile, block: ReferenceBlock, tile_scores: int) -> Iterator[_Piece]:
    """All images against all references in pieces of about ``tile_scores`` scores (images outer, references inner)."""
    refs = block.references
    grid, n, n_shifts = refs.grid, len(tile), refs.shifts
    norm = _norm_harmonics(tile, refs)
    step_size = block.steps[0].references.stop
    most = max(1, min(n, tile_scores // (step_size * n_shifts * (grid.n_psi // 2))))
    rows = -(-n // -(-n // most))  # nearly equal parts: a last one of a few images would be slow
    waves = [_Wave(grid, parity, rows * padded_columns(step_size * n_shifts)) for parity in (0, 1)]
    for i in range(0, n, rows):
        part = slice(i, min(i + rows, n))
        images = [wave.images(tile.data[part]) for wave in waves]
        for step in block.steps:
            here = step.references
            # One parity after the other: its products are still in the cache when they are summed.
            even = waves[0].products(images[0], step.matrices[0])
            if norm.shape[2] > 1:
                _subtract(even, norm[part, here, 1:], n_shifts)
            u = waves[0].synthesis(even)
            odd = waves[1].products(images[1], step.matrices[1])
            v = waves[1].synthesis(odd)
            bias = refs.log_prior[None, here] - norm[part, here, :1].real
            top = u.add_(v.abs_()).amax(0).view(part.stop - i, -1)
            maxima = top[:, : bias[0].numel()].reshape(bias.shape) + bias
            yield _Piece(part, here, even, odd, maxima.flatten(1))


def _subtract(c: torch.Tensor, norm: torch.Tensor, n_shifts: int) -> None:
    """Take the norm's harmonics 2, 4, .. (m, K, H - 1) off those of the products, of all shifts alike."""
    extra = norm[:, :, : len(c) - 1].permute(2, 0, 1).repeat_interleave(n_shifts, 2)
    lowest = c[1 : 1 + len(extra), :, :, : extra.shape[2]]
    lowest[:, 0] -= extra.real
    lowest[:, 1] -= extra.imag


class _Wave:
    """The harmonics of one parity: their bands, their half of the synthesis, and room for what they make.

    columns: the largest number of (image, reference, shift) at a time. Memory that is used again stays in the
    processor's cache.
    """

    def __init__(self, grid: PoseGrid, parity: int, columns: int):
        self.bands, self.matrix = grid.bands[parity], grid.half_synthesis[parity]
        self._c, self._scores = (torch.empty(rows * columns, device=self.matrix.device) for rows in self.matrix.T.shape)

    def images(self, data: torch.Tensor) -> list[torch.Tensor]:
        """(q, 2 m, 2 rings) of every band: rows (Re x, Im x), which make Re c, then (-Im x, Re x), for Im c."""
        parts = []
        for band in self.bands:
            x = data[:, band.ring :, band.q].permute(2, 0, 1)
            parts.append(torch.cat([torch.cat([x.real, x.imag], 2), torch.cat([-x.imag, x.real], 2)], 1))
        return parts

    def products(self, images: list[torch.Tensor], references: list[torch.Tensor]) -> torch.Tensor:
        """c of these harmonics: (q, 2, m, columns)."""
        n_q, rows, columns = self.matrix.shape[1] // 2, images[0].shape[1], references[0].shape[2]
        out = self._c[: n_q * rows * columns].view(n_q, rows, columns)
        at = 0
        for x, a in zip(images, references, strict=True):
            torch.bmm(x, a, out=out[at : at + len(x)])
            at += len(x)
        return out.view(n_q, 2, rows // 2, columns)

    def synthesis(self, c: torch.Tensor) -> torch.Tensor:
        """The sum over these harmonics at half of the rotations: (n_psi / 2, m columns)."""
        columns = c.shape[2] * c.shape[3]
        out = self._scores[: len(self.matrix) * columns].view(len(self.matrix), columns)
        return torch.mm(self.matrix, c.view(-1, columns), out=out)


def row_maxima(tile: ImageTile, block: ReferenceBlock, *, tile_scores: int = TILE_SCORES) -> torch.Tensor:
    """Highest log posterior over psi for every (image, reference of the block, shift): (n, K, S).

    At most about ``tile_scores`` scores exist at once.
    """
    refs = block.references
    out = torch.empty(len(tile), refs.count, refs.shifts, device=tile.data.device)
    for piece in _sweep(tile, block, tile_scores):
        out[piece.images, piece.references] = piece.maxima.reshape(len(piece.maxima), -1, refs.shifts)
    return out


def reference_maxima(tile: ImageTile, block: ReferenceBlock, *, tile_scores: int = TILE_SCORES) -> torch.Tensor:
    """Highest log posterior over psi and shifts for every (image, reference of the block): (n, K)."""
    refs = block.references
    out = torch.empty(len(tile), refs.count, device=tile.data.device)
    for piece in _sweep(tile, block, tile_scores):
        out[piece.images, piece.references] = piece.maxima.reshape(len(piece.maxima), -1, refs.shifts).amax(2)
    return out


def best_shifts(
    tile: ImageTile, block: ReferenceBlock, *, tile_scores: int = TILE_SCORES
) -> tuple[torch.Tensor, torch.Tensor]:
    """Highest log posterior for every (image, reference of the block), and the shift that has it: (n, K) each.

    Shifts are places in the grid (the first of equals). :func:`best_rotations` finds rotations of chosen pairs.
    """
    refs = block.references
    shape = (len(tile), refs.count)
    value = torch.empty(shape, device=tile.data.device)
    shift = torch.empty(shape, dtype=torch.long, device=tile.data.device)
    for piece in _sweep(tile, block, tile_scores):
        where = piece.images, piece.references
        value[where], shift[where] = piece.maxima.reshape(len(piece.maxima), -1, refs.shifts).max(2)
    return value, shift


def best_rotations(tile: ImageTile, refs: References, reference: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """The best rotation of every image (n,) on its ``reference`` (n,) at its ``shift`` (n,): places in the grid."""
    grid = refs.grid
    weight = grid.basis.ring_weight.to(tile.data.device)
    shifted = grid.shift(refs.harmonics[reference] * weight[:, None], shift)
    c = (tile.data.conj() * shifted).sum(1)
    extra = _norm_harmonics(tile, refs, slice(None), reference)[:, 1:]
    lowest = c[:, 2 : 2 + 2 * extra.shape[1] : 2]
    lowest -= extra[:, : lowest.shape[1]]
    best: torch.Tensor = (torch.cat([c.real, c.imag], 1) @ grid.synthesis.T).argmax(1)
    return best


def best_rows(
    tile: ImageTile,
    block: ReferenceBlock,
    keep: float,
    *,
    known: torch.Tensor | None = None,
    allowed: torch.Tensor | None = None,
    highest: torch.Tensor | None = None,
    tile_scores: int = TILE_SCORES,
) -> Rows:
    """All rows of every image within ``keep`` nats of its best one, evaluated at all rotations, sorted by image.

    The references of the rows are counted over all blocks. known: (n,) a log posterior that is known to be reached
    by some hypothesis of each image (among other references, say); it only spares work. allowed: (n, K) bool, the
    references of the block that an image may show. highest: (n, K), is given the highest log posterior of every
    reference of the block.
    """
    empty = torch.full((len(tile),), -torch.inf, device=tile.data.device)
    best = empty if known is None else known.clone()
    shifts, parts = block.references.shifts, []
    for piece in _sweep(tile, block, tile_scores):
        if allowed is not None:
            other = ~allowed[piece.images, piece.references]
            piece.maxima.masked_fill_(other.repeat_interleave(shifts, 1), -torch.inf)
        if highest is not None:
            highest[piece.images, piece.references] = piece.maxima.reshape(len(piece.maxima), -1, shifts).amax(2)
        reached = torch.maximum(best[piece.images], piece.maxima.amax(1))
        best[piece.images] = reached
        near = piece.maxima >= (reached - keep)[:, None]
        image, column = (near if allowed is None else near & (piece.maxima > -torch.inf)).nonzero(as_tuple=True)
        scores = _all_rotations(piece, block.references.grid, image, column)
        top = piece.maxima[image, column]
        # The bias is what turns the maximum of the products into the maximum of the log posterior.
        scores += (top - scores.amax(1))[:, None]
        parts.append((image + piece.images.start, column + piece.references.start * shifts, scores, top))
    image, column, scores, top = (torch.cat([p[i] for p in parts]) for i in range(4))
    kept = (top >= best[image] - keep).nonzero().ravel()
    kept = kept[torch.argsort(image[kept], stable=True)]
    return Rows(
        image=image[kept],
        reference=column[kept] // shifts + block.first,
        shift=column[kept] % shifts,
        log_weight=scores[kept],
    )


def _all_rotations(piece: _Piece, grid: PoseGrid, image: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """Products of chosen rows at all rotations, without the bias: (m, n_psi)."""
    parts = []
    for parity, c in enumerate((piece.even, piece.odd)):
        chosen = c.flatten(2)[:, :, image * c.shape[3] + column]
        parts.append(chosen.flatten(0, 1).T @ grid.half_synthesis[parity].T)
    return torch.cat([parts[0] + parts[1], parts[0] - parts[1]], 1)
