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

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from vitreous.matching.grid import PoseGrid

__all__ = ["ImageTile", "References", "Rows", "best_rows", "make_references", "reference_norms", "row_maxima"]


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
class References:
    """K references prepared for a grid with S shifts.

    harmonics: (K, R, Q) the references themselves; shifted: (K, S, R, Q) weighted by the ring weights and shifted;
    power: (K, R, H) harmonics 0, 2, .. of |A|^2 times the ring weight; log_prior: (K, S).
    """

    grid: PoseGrid
    harmonics: torch.Tensor
    shifted: torch.Tensor
    power: torch.Tensor
    log_prior: torch.Tensor

    def take(self, index: torch.Tensor) -> "References":
        """Some of the references."""
        return References(
            grid=self.grid,
            harmonics=self.harmonics[index],
            shifted=self.shifted[index],
            power=self.power[index],
            log_prior=self.log_prior[index],
        )

    @property
    def count(self) -> int:
        """Number of references K."""
        return self.shifted.shape[0]

    @property
    def shifts(self) -> int:
        """Number of shifts S."""
        return self.shifted.shape[1]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """m (image, reference, shift) rows with their log posteriors (unnormalised) over all rotations.

    image, reference, shift: (m,) indices, sorted by image; log_weight: (m, n_psi).
    """

    image: torch.Tensor
    reference: torch.Tensor
    shift: torch.Tensor
    log_weight: torch.Tensor


def make_references(
    grid: PoseGrid, harmonics: torch.Tensor, *, ctf_harmonics: int, log_class_prior: torch.Tensor, offset_sd_px: float
) -> References:
    """Prepare references (K, R, Q) for matching on a grid.

    ctf_harmonics: H of the image tiles; log_class_prior: (K,); offset_sd_px: width of the Gaussian prior on the
    origin, per axis, in pixels (inf: flat).
    """
    weight = grid.basis.ring_weight.to(harmonics.device)
    shifted = grid.shift_references(harmonics * weight[:, None])
    # Strong astigmatism may ask for more harmonics of |A|^2 than the rotations of a small grid resolve.
    half = max(grid.n_psi, 2 * ctf_harmonics)
    on_angles = torch.fft.irfft(harmonics, n=2 * half, norm="forward")
    # |X|^2 has even harmonics only and those of Re^2 + Im^2; G^2 = |X|^2 + 2 Re Im adds others, hence both parts.
    flipped = on_angles.roll(half, -1)
    even, odd = (on_angles + flipped) / 2, (on_angles - flipped) / 2
    spectrum = torch.fft.rfft(even.square() + odd.square(), norm="forward")[..., : 2 * ctf_harmonics : 2]
    prior = torch.log_softmax(-grid.shifts_px.square().sum(1) / (2 * offset_sd_px**2), 0) - math.log(grid.n_psi)
    return References(
        grid=grid,
        harmonics=harmonics,
        shifted=shifted,
        power=spectrum * weight[:, None],
        log_prior=log_class_prior[:, None] + prior[None, :],
    )


def _norm_harmonics(tile: ImageTile, refs: References, image=slice(None), reference=slice(None)) -> torch.Tensor:
    """1/2 sum_r w D_p^* (|A|^2)_p for all pairs (n, K, H), or for paired index lists (m, H)."""
    if isinstance(image, slice):
        return 0.5 * torch.einsum("nrh,krh->nkh", tile.ctf_power.conj(), refs.power)
    return 0.5 * (tile.ctf_power[image].conj() * refs.power[reference]).sum(1)


def reference_norms(tile: ImageTile, refs: References, image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """1/2 sum_r w C^2 / sigma^2 |A|^2 of (image, reference) pairs, averaged over rotations: (m,)."""
    return _norm_harmonics(tile, refs, image, reference)[:, 0].real


@dataclass(frozen=True)
class _Band:
    """A run of harmonics of one parity, q = first, first + 2, .., that share their innermost ring."""

    first: int
    last: int
    ring: int

    @property
    def q(self) -> slice:
        return slice(self.first, self.last + 1, 2)


def _bands(grid: PoseGrid, parity: int, count: int = 3) -> list[_Band]:
    """Split the harmonics of one parity into a few bands; in each the empty inner rings are left out."""
    harmonics = list(range(parity, grid.harmonics, 2))
    size = -(-len(harmonics) // count)
    q_max = grid.basis.q_max
    chunks = [harmonics[i : i + size] for i in range(0, len(harmonics), size)]
    return [_Band(c[0], c[-1], int((q_max < c[0]).sum())) for c in chunks]


def _real_blocks(tile: ImageTile, band: _Band) -> torch.Tensor:
    """(q, n, 2 rings) real blocks (Re x, Im x) of the images."""
    x = tile.data[:, band.ring :, band.q].permute(2, 0, 1)
    return torch.cat([x.real, x.imag], 2)


def _reference_blocks(shifted: torch.Tensor, band: _Band) -> torch.Tensor:
    """(q, 2 rings, 2, K S) real blocks: the first of the 2 gives Re c, the second Im c, for conj(x) a."""
    a = shifted[:, :, band.ring :, band.q].flatten(0, 1).permute(2, 1, 0)
    return torch.stack([torch.cat([a.real, a.imag], 1), torch.cat([a.imag, -a.real], 1)], 2)


@dataclass(frozen=True)
class _Block:
    """Some images against some references: c of even and of odd harmonics (2, q, m, columns), maxima (m, columns)."""

    images: slice
    references: slice
    even: torch.Tensor
    odd: torch.Tensor
    maxima: torch.Tensor


def _sweep(tile: ImageTile, refs: References, tile_scores: int) -> Iterator[_Block]:
    """All images against all references in blocks of about ``tile_scores`` scores (images outer, references inner)."""
    grid, n, n_refs, n_shifts = refs.grid, len(tile), refs.count, refs.shifts
    norm = _norm_harmonics(tile, refs)
    half = grid.n_psi // 2
    # 48 images amortise the reading of a reference block; more references then widen the product.
    per_step = max(1, min(n_refs, tile_scores // (min(n, 48) * n_shifts * half)))
    rows = max(1, min(n, tile_scores // (per_step * n_shifts * half)))
    waves = [_Wave(grid, parity) for parity in (0, 1)]
    images = [[_real_blocks(tile, band) for band in wave.bands] for wave in waves]
    steps = [slice(k, min(k + per_step, n_refs)) for k in range(0, n_refs, per_step)]
    blocks = [[[_reference_blocks(refs.shifted[s], b) for b in wave.bands] for wave in waves] for s in steps]
    for i in range(0, n, rows):
        part = slice(i, min(i + rows, n))
        for step, block in zip(steps, blocks, strict=True):
            c = [w.products(x, a, part) for w, x, a in zip(waves, images, block, strict=True)]
            if norm.shape[2] > 1:
                extra = norm[part, step, 1 : c[0].shape[1]].permute(2, 0, 1).repeat_interleave(n_shifts, 2)
                c[0][0, 1 : 1 + len(extra)] -= extra.real
                c[0][1, 1 : 1 + len(extra)] -= extra.imag
            u, v = (w.matrix @ x.flatten(0, 1).flatten(1) for w, x in zip(waves, c, strict=True))
            bias = refs.log_prior[None, step] - norm[part, step, :1].real
            maxima = u.add_(v.abs_()).amax(0).reshape(bias.shape) + bias
            yield _Block(part, step, c[0], c[1], maxima.flatten(1))


def _half_synthesis(grid: PoseGrid, parity: int) -> torch.Tensor:
    """The first half of the rotations from the harmonics of one parity: (n_psi / 2, 2 q)."""
    q = torch.arange(parity, grid.harmonics, 2, device=grid.synthesis.device)
    return grid.synthesis[: grid.n_psi // 2, torch.cat([q, grid.harmonics + q])].contiguous()


class _Wave:
    """The harmonics of one parity: their bands and their half of the synthesis."""

    def __init__(self, grid: PoseGrid, parity: int):
        self.bands = _bands(grid, parity)
        self.matrix = _half_synthesis(grid, parity)

    def products(self, x: list[torch.Tensor], a: list[torch.Tensor], part: slice) -> torch.Tensor:
        """c of these harmonics: (2, q, m, columns)."""
        n_q = self.matrix.shape[1] // 2
        out = torch.empty(2, n_q, part.stop - part.start, a[0].shape[3], device=self.matrix.device)
        at = 0
        for images, references in zip(x, a, strict=True):
            for which in (0, 1):
                torch.bmm(images[:, part], references[:, :, which], out=out[which, at : at + len(images)])
            at += len(images)
        return out


def row_maxima(tile: ImageTile, refs: References, *, tile_scores: int = 1 << 19) -> torch.Tensor:
    """Highest log posterior over psi for every (image, reference, shift): (n, K, S).

    At most about ``tile_scores`` scores exist at once.
    """
    out = torch.empty(len(tile), refs.count, refs.shifts, device=tile.data.device)
    for block in _sweep(tile, refs, tile_scores):
        out[block.images, block.references] = block.maxima.reshape(len(block.maxima), -1, refs.shifts)
    return out


def best_rows(
    tile: ImageTile, refs: References, keep: float, *, known: torch.Tensor | None = None, tile_scores: int = 1 << 19
) -> Rows:
    """All rows of every image within ``keep`` nats of its best one, evaluated at all rotations, sorted by image.

    known: (n,) a log posterior that is known to be reached by some hypothesis of each image (among other references,
    say); it only spares work.
    """
    empty = torch.full((len(tile),), -torch.inf, device=tile.data.device)
    best = empty if known is None else known.clone()
    parts = []
    for block in _sweep(tile, refs, tile_scores):
        reached = torch.maximum(best[block.images], block.maxima.amax(1))
        best[block.images] = reached
        image, column = (block.maxima >= (reached - keep)[:, None]).nonzero(as_tuple=True)
        scores = _all_rotations(block, refs.grid, image, column)
        top = block.maxima[image, column]
        # The bias is what turns the maximum of the products into the maximum of the log posterior.
        scores += (top - scores.amax(1))[:, None]
        parts.append((image + block.images.start, column + block.references.start * refs.shifts, scores, top))
    image, column, scores, top = (torch.cat([p[i] for p in parts]) for i in range(4))
    kept = (top >= best[image] - keep).nonzero().ravel()
    kept = kept[torch.argsort(image[kept], stable=True)]
    return Rows(
        image=image[kept],
        reference=column[kept] // refs.shifts,
        shift=column[kept] % refs.shifts,
        log_weight=scores[kept],
    )


def _all_rotations(block: _Block, grid: PoseGrid, image: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """Products of chosen rows at all rotations, without the bias: (m, n_psi)."""
    parts = []
    for parity, c in enumerate((block.even, block.odd)):
        chosen = c.flatten(2)[:, :, image * c.shape[3] + column]
        parts.append(chosen.flatten(0, 1).T @ _half_synthesis(grid, parity).T)
    return torch.cat([parts[0] + parts[1], parts[0] - parts[1]], 1)
