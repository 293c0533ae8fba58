"""References made ready for the score: what is kept of all of them, and the shifted copies, made block by block.

A reference has as many shifted copies as the grid has shifts, so the copies of thousands of references do not fit in
memory. They exist for a block of references at a time, as the real matrices that the products take; where one block
holds all references, it is made once and kept.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from vitreous.matching.grid import Band, PoseGrid

__all__ = [
    "TILE_SCORES",
    "ReferenceBlock",
    "ReferenceBlocks",
    "References",
    "bytes_per_reference",
    "in_blocks",
    "make_references",
]

TILE_SCORES = 1 << 18  # scores that exist at once: a few of this many floats stay in the processor's cache
LANES = 16  # floats of the widest vector unit: products run faster over columns in whole vectors
PADDED_FROM = 128  # columns: with fewer, empty ones would cost more than they save
FEW_IMAGES = 48  # as many amortise the reading of a step of references; more references then widen the product
SHIFT_BYTES = 64 << 20  # of shifted copies made at a time


@dataclass(frozen=True, kw_only=True)
class References:
    """K references for a grid with S shifts.

    harmonics: (K, R, Q) the references themselves; power: (K, R, H) harmonics 0, 2, .. of |A|^2 times the ring
    weight; log_prior: (K, S).
    """

    grid: PoseGrid
    harmonics: torch.Tensor
    power: torch.Tensor
    log_prior: torch.Tensor

    def take(self, index: slice | torch.Tensor) -> "References":
        """Some of the references."""
        return References(
            grid=self.grid,
            harmonics=self.harmonics[index],
            power=self.power[index],
            log_prior=self.log_prior[index],
        )

    @property
    def count(self) -> int:
        """Number of references K."""
        return self.log_prior.shape[0]

    @property
    def shifts(self) -> int:
        """Number of shifts S."""
        return self.log_prior.shape[1]


def make_references(
    grid: PoseGrid, harmonics: torch.Tensor, *, ctf_harmonics: int, log_class_prior: torch.Tensor, offset_sd_px: float
) -> References:
    """Prepare references (K, R, Q) for matching on a grid.

    ctf_harmonics: H of the image tiles; log_class_prior: (K,); offset_sd_px: width of the Gaussian prior on the
    origin, per axis, in pixels (inf: flat).
    """
    at_once = max(1, SHIFT_BYTES // (8 * grid.rings * max(grid.n_psi, 2 * ctf_harmonics)))
    prior = torch.log_softmax(-grid.shifts_px.square().sum(1) / (2 * offset_sd_px**2), 0) - math.log(grid.n_psi)
    return References(
        grid=grid,
        harmonics=harmonics,
        power=torch.cat([_power(grid, part, ctf_harmonics) for part in harmonics.split(at_once)]),
        log_prior=log_class_prior[:, None] + prior[None, :],
    )


def _power(grid: PoseGrid, harmonics: torch.Tensor, ctf_harmonics: int) -> torch.Tensor:
    """Harmonics 0, 2, .. of |A|^2 times the ring weight, (K, R, H)."""
    # Strong astigmatism may ask for more harmonics of |A|^2 than the rotations of a small grid resolve.
    half = max(grid.n_psi, 2 * ctf_harmonics)
    on_angles = torch.fft.irfft(harmonics, n=2 * half, norm="forward")
    # |X|^2 has even harmonics only and those of Re^2 + Im^2; G^2 = |X|^2 + 2 Re Im adds others, hence both parts.
    flipped = on_angles.roll(half, -1)
    even, odd = (on_angles + flipped) / 2, (on_angles - flipped) / 2
    spectrum = torch.fft.rfft(even.square() + odd.square(), norm="forward")[..., : 2 * ctf_harmonics : 2]
    return spectrum * grid.basis.ring_weight.to(harmonics.device)[:, None]


@dataclass(frozen=True)
class Step:
    """Shifted references whose products are made at once.

    references: which ones of the block; matrices: for even and odd harmonics, for every band (q, 2 rings, columns)
    real, Re a above Im a; columns are (reference, shift), then some that are empty.
    """

    references: slice
    matrices: tuple[list[torch.Tensor], list[torch.Tensor]]


@dataclass(frozen=True, kw_only=True)
class ReferenceBlock:
    """Some references with all their shifted copies; first: the number of the first of them."""

    first: int
    references: References
    steps: list[Step]

    def single(self, reference: int) -> "ReferenceBlock":
        """One reference of the block, by its place in it."""
        shifts = self.references.shifts
        step = next(s for s in self.steps if s.references.start <= reference < s.references.stop)
        at = (reference - step.references.start) * shifts
        even, odd = ([m[..., at : at + shifts].contiguous() for m in wave] for wave in step.matrices)
        return ReferenceBlock(
            first=self.first + reference,
            references=self.references.take(slice(reference, reference + 1)),
            steps=[Step(slice(0, 1), (even, odd))],
        )

    def some(self, references: np.ndarray) -> "ReferenceBlock":
        """References of the block by their places in it, ascending (k,), as one step; they are numbered from 0."""
        shifts, picked = self.references.shifts, []
        for step in self.steps:
            inside = references[(references >= step.references.start) & (references < step.references.stop)]
            place = torch.from_numpy(inside - step.references.start)[:, None] * shifts + torch.arange(shifts)
            picked.append(place.ravel().to(step.matrices[0][0].device))

        def matrices(wave: int) -> list[torch.Tensor]:
            bands = zip(*(step.matrices[wave] for step in self.steps), strict=True)
            return [torch.cat([m[..., p] for m, p in zip(band, picked, strict=True) if len(p)], -1) for band in bands]

        return ReferenceBlock(
            first=0,
            references=self.references.take(torch.from_numpy(references)),
            steps=[Step(slice(0, len(references)), (matrices(0), matrices(1)))],
        )


@dataclass(frozen=True, kw_only=True)
class ReferenceBlocks:
    """All references, as blocks of ``per_block`` that are shifted when they are asked for, in steps of ``per_step``.

    A single block is kept; of several, one exists at a time.
    """

    references: References
    per_block: int
    per_step: int

    @property
    def single(self) -> bool:
        """Whether one block holds all references."""
        return self.per_block >= self.references.count

    def __len__(self) -> int:
        return -(-self.references.count // self.per_block)  # noqa: PLE0303 (a quotient rounded up)

    def __iter__(self) -> Iterator[ReferenceBlock]:
        if self.single:
            yield self._everything
            return
        for first in range(0, self.references.count, self.per_block):
            yield self._block(first)

    @cached_property
    def _everything(self) -> ReferenceBlock:
        return self._block(0)

    def _block(self, first: int) -> ReferenceBlock:
        part = self.references.take(slice(first, first + self.per_block))
        places = range(0, part.count, self.per_step)
        steps = [self._step(part, slice(k, min(k + self.per_step, part.count))) for k in places]
        return ReferenceBlock(first=first, references=part, steps=steps)

    def _step(self, part: References, where: slice) -> Step:
        grid, shifts = part.grid, part.shifts
        weight = grid.basis.ring_weight.to(part.harmonics.device)
        columns = padded_columns((where.stop - where.start) * shifts)
        even, odd = ([_empty_matrix(grid, band, columns) for band in wave] for wave in grid.bands)
        at_once = max(1, SHIFT_BYTES // (8 * shifts * grid.rings * grid.n_psi))
        for k in range(where.start, where.stop, at_once):
            stop = min(k + at_once, where.stop)
            shifted = grid.shift_references(part.harmonics[k:stop] * weight[:, None])
            mine = slice((k - where.start) * shifts, (stop - where.start) * shifts)
            for wave, matrices in zip(grid.bands, (even, odd), strict=True):
                for band, matrix in zip(wave, matrices, strict=True):
                    _fill(matrix[..., mine], shifted, band)
        return Step(where, (even, odd))


def padded_columns(columns: int) -> int:
    """Columns of the matrices of a step for so many (reference, shift)."""
    return columns if columns < PADDED_FROM else -(-columns // LANES) * LANES


def _empty_matrix(grid: PoseGrid, band: Band, columns: int) -> torch.Tensor:
    harmonics = len(range(band.first, band.last + 1, 2))
    return torch.zeros(harmonics, 2 * (grid.rings - band.ring), columns, device=grid.shifts_px.device)


def _fill(matrix: torch.Tensor, shifted: torch.Tensor, band: Band) -> None:
    """Write shifted references (k, S, R, Q) into a matrix (q, 2 rings, k S)."""
    a = shifted[:, :, band.ring :, band.q].flatten(0, 1).permute(2, 1, 0)
    matrix[:, : a.shape[1]] = a.real
    matrix[:, a.shape[1] :] = a.imag


def in_blocks(
    references: References, images: int, *, tile_scores: int = TILE_SCORES, memory_bytes: int | None = None
) -> ReferenceBlocks:
    """Blocks for tiles of about ``images`` images: as large as ``memory_bytes`` allows (None: all in one).

    A step of a block makes about ``tile_scores`` scores with 48 images (with all images, where there are fewer).
    """
    half = references.grid.n_psi // 2
    per_step = tile_scores // (max(1, min(images, FEW_IMAGES)) * references.shifts * half)
    per_step = max(1, min(references.count, per_step))
    if memory_bytes is None:
        return ReferenceBlocks(references=references, per_block=references.count, per_step=per_step)
    fitting = max(1, min(references.count, memory_bytes // bytes_per_reference(references.grid)))
    whole = fitting == references.count or fitting < per_step
    per_block = fitting if whole else fitting - fitting % per_step
    return ReferenceBlocks(references=references, per_block=per_block, per_step=min(per_step, per_block))


def bytes_per_reference(grid: PoseGrid) -> int:
    """Memory that the shifted copies of one reference take in a block."""
    rows = sum((grid.rings - b.ring) * len(range(b.first, b.last + 1, 2)) for wave in grid.bands for b in wave)
    return 8 * rows * len(grid.shifts_px)
