"""The score of images against references over all rotations and shifts, as matrix products.

Model (SCIENCE.md sections 1 and 12): ``X = C S(o) P(psi) A + N`` with noise power sigma^2(k). Up to a constant,

    log p(X | k, psi, u) = sum_q m_q Re( c_q e^{i q psi} ) + bias,
    c_q(n, k, u)         = sum_r conj(x_q(r)) a_q(r)  -  [ astigmatic part of the norm, below ]
    x                    = C X / sigma^2        (image rings, n of them)
    a                    = w A_k exp(2 pi i k . u)   (weighted shifted references, K x S of them)
    bias                 = log prior(k, u) - 1/2 sum_r w C^2 / sigma^2 |A_k|^2

For every harmonic q the sum over rings is a product (images x rings) @ (rings x references); the sum over q is a
product with the fixed matrix ``PoseGrid.synthesis``. Both are done in tiles that never hold more than a budgeted
number of scores; only the maximum over psi leaves a tile. Rows (image, reference, shift) within a margin of the best
row of their image are then evaluated for all psi.

Astigmatism: C is a function of (r, theta). ``x`` takes it exactly; in the norm, C^2 = sum_p D_p(r) e^{i p theta} with
few even p, and ``1/2 sum w D_p^* (|A|^2)_p e^{i p psi}`` is subtracted from c_p.

Half of the rotations come free: with U(psi) the sum over even q and V(psi) that over odd q, the scores at psi and
psi + pi are U + V and U - V, so the maximum of both is U + |V|.
"""

from dataclasses import dataclass

import torch

from vitreous.matching.grid import PoseGrid

__all__ = ["ImageTile", "References", "Rows", "make_references", "row_maxima", "row_scores"]


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
        return ImageTile(
            data=self.data[:, : grid.rings, : grid.harmonics], ctf_power=self.ctf_power[:, : grid.rings]
        )


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
    on_angles = torch.fft.irfft(harmonics, n=2 * grid.n_psi, norm="forward")
    # |X|^2 has even harmonics only and those of Re^2 + Im^2; G^2 = |X|^2 + 2 Re Im adds others, hence both parts.
    flipped = on_angles.roll(grid.n_psi, -1)
    even, odd = (on_angles + flipped) / 2, (on_angles - flipped) / 2
    spectrum = torch.fft.rfft(even.square() + odd.square(), norm="forward")[..., : 2 * ctf_harmonics : 2]
    prior = -grid.shifts_px.square().sum(1) / (2 * offset_sd_px**2)
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


def row_maxima(tile: ImageTile, refs: References, *, tile_scores: int = 1 << 20) -> torch.Tensor:
    """Highest log posterior over psi for every (image, reference, shift): (n, K, S).

    Work is done for some references and some images at a time, so that at most about ``tile_scores`` scores
    exist at once.
    """
    grid, n, n_refs, n_shifts = refs.grid, len(tile), refs.count, refs.shifts
    out = torch.empty(n, n_refs, n_shifts, device=tile.data.device)
    norm = _norm_harmonics(tile, refs)
    half = grid.n_psi // 2
    synthesis = grid.synthesis[:half]
    parities = []
    for parity in (0, 1):
        q = torch.arange(parity, grid.harmonics, 2, device=synthesis.device)
        parities.append((_bands(grid, parity), torch.cat([synthesis[:, q], synthesis[:, grid.harmonics + q]], 1).contiguous()))
    images = [[_real_blocks(tile, band) for band in bands] for bands, _ in parities]
    per_step = max(1, min(n_refs, tile_scores // max(1, 64 * n_shifts * half)))
    rows = max(8, tile_scores // max(1, per_step * n_shifts * half))
    for k in range(0, n_refs, per_step):
        step = slice(k, min(k + per_step, n_refs))
        columns = (step.stop - step.start) * n_shifts
        blocks = [[_reference_blocks(refs.shifted[step], band) for band in bands] for bands, _ in parities]
        for i in range(0, n, rows):
            part = slice(i, min(i + rows, n))
            m = part.stop - part.start
            waves = []
            for parity, (bands, matrix) in enumerate(parities):
                n_q = matrix.shape[1] // 2
                c = torch.empty(2, n_q, m, columns, device=out.device)
                at = 0
                for band, x, a in zip(bands, images[parity], blocks[parity], strict=True):
                    size = len(range(band.first, band.last + 1, 2))
                    for which in (0, 1):
                        torch.bmm(x[:, part], a[:, :, which], out=c[which, at : at + size])
                    at += size
                if parity == 0 and norm.shape[2] > 1:
                    extra = norm[part, step, 1:n_q].permute(2, 0, 1).repeat_interleave(n_shifts, 2)
                    c[0, 1 : 1 + len(extra)] -= extra.real
                    c[1, 1 : 1 + len(extra)] -= extra.imag
                waves.append(matrix @ c.reshape(2 * n_q, m * columns))
            best = waves[0].add_(waves[1].abs_()).amax(0).reshape(m, step.stop - step.start, n_shifts)
            out[part, step] = best - norm[part, step, :1].real + refs.log_prior[None, step]
    return out


def row_scores(
    tile: ImageTile, refs: References, image: torch.Tensor, reference: torch.Tensor, shift: torch.Tensor,
    *, chunk_bytes: int = 1 << 23,
) -> torch.Tensor:  # fmt: skip
    """Log posteriors over all rotations of chosen rows: (m, n_psi). image, reference, shift: (m,) indices."""
    grid = refs.grid
    out = torch.empty(len(image), grid.n_psi, device=tile.data.device)
    bands = [band for parity in (0, 1) for band in _bands(grid, parity)]
    chunk = max(64, chunk_bytes // (8 * grid.rings * grid.harmonics))
    flat = refs.shifted.flatten(0, 1)
    for i in range(0, len(image), chunk):
        n, k, s = image[i : i + chunk], reference[i : i + chunk], shift[i : i + chunk]
        x, a = tile.data[n], flat[k * refs.shifts + s]
        c = torch.empty(len(n), grid.harmonics, dtype=x.dtype, device=x.device)
        for band in bands:
            c[:, band.q] = (x[:, band.ring :, band.q].conj() * a[:, band.ring :, band.q]).sum(1)
        norm = _norm_harmonics(tile, refs, n, k)
        n_even = c[:, 2::2].shape[1]
        extra = norm[:, 1 : 1 + n_even]
        c[:, 2 : 2 + 2 * extra.shape[1] : 2] -= extra
        bias = refs.log_prior[k, s] - norm[:, 0].real
        out[i : i + chunk] = torch.addmm(bias[:, None], torch.cat([c.real, c.imag], 1), grid.synthesis.T)
    return out
