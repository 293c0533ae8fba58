"""A table of scores: every image with every reference at its best pose. What a global assignment decides on.

The table has scores and shifts; rotations are found for the pairs that are chosen (:func:`chosen_alignments`), as
finding them for all pairs takes half as long again.

Where there are many references, images may meet a few of them only: those of their *cell*. A row then has a column for
each of these, the work goes with their number, and a cell is a dense product.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching.alignments import Alignments
from vitreous.matching.expect import TILE, TILE_BYTES, by_groups, tiles_of
from vitreous.matching.grid import PoseGrid
from vitreous.matching.prepare import SHIFTED_SHARE, PreparedParticles
from vitreous.matching.references import ReferenceBlock, References
from vitreous.matching.score import ImageTile, all_norms, best_rotations, best_shifts
from vitreous.matching.search import SearchPlan
from vitreous.matching.similarity import Similarity, similarity_of
from vitreous.matching.workers import ordered_map

__all__ = ["Cell", "ScoreTable", "chosen_alignments", "score_table"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """Images (b,) that meet the same references (C,), ascending; column: where these begin in the rows of images."""

    images: np.ndarray
    references: np.ndarray
    column: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreTable:
    """m images x K references, or the C that every image meets.

    log_posterior: (m, K) float32 of the best pose, up to a constant per image, or another similarity there; shift:
    (m, K) int16, that of this pose as a place in the grid; among: (m, C) int32, the references of the columns of every
    image.
    """

    log_posterior: np.ndarray
    shift: np.ndarray
    grid: PoseGrid
    among: np.ndarray | None = None

    def reference(self, column: np.ndarray) -> np.ndarray:
        """The reference (m,) int64 of a column (m,) of every image."""
        found = column if self.among is None else self.among[np.arange(len(column)), column]
        return np.asarray(found, np.int64)


def score_table(
    particles: PreparedParticles,
    index: np.ndarray,
    plan: SearchPlan,
    references: tuple[References | None, References],
    noise_power: torch.Tensor,
    *,
    similarity: Similarity | None = None,
    cells: Sequence[Cell] | None = None,
    tile: int | None = None,
) -> ScoreTable:
    """The best pose of particles ``index`` (m,) on every reference, by the exhaustive pass of the plan.

    similarity: what the table has in place of the log posterior at the best poses; priors do not count in it. cells:
    the references that images meet, such that all rows are filled (None: all of them); a cell names images by their
    places in ``index``. tile: particles at a time (None: as many as are fast). Memory: 6 bytes per image and reference
    that it meets, and what a pass over the data takes.
    """
    fine = references[1]
    places = tiles_of(np.arange(len(index)), tile or (TILE if cells is None else _tile_of_cells(fine)))
    blocks = plan.blocks((None, fine), len(places[0]), int(SHIFTED_SHARE * particles.memory_bytes)).fine
    among = None if cells is None else _references_of(cells, len(index))
    shape = (len(index), fine.count if among is None else among.shape[1])
    table = ScoreTable(
        log_posterior=np.empty(shape, np.float32),
        shift=np.empty(shape, np.int16),
        grid=plan.fine,
        among=among,
    )
    columns = table.log_posterior, table.shift

    def score(job: tuple[np.ndarray, ImageTile], block: ReferenceBlock) -> None:
        part, cut = job[0], job[1].truncated(plan.fine)
        if cells is None:
            here = slice(block.first, block.first + block.references.count)
            for out, values in zip(columns, _scored(cut, block, plan, similarity), strict=True):
                out[part, here] = values.cpu().numpy()
            return
        for image, first, those in _within(cells, part, block):
            some = cut.take(torch.from_numpy(image - part[0]).to(particles.device))
            here = slice(first, first + those.references.count)
            for out, values in zip(columns, _scored(some, those, plan, similarity), strict=True):
                out[image, here] = values.cpu().numpy()

    def match(group: list[np.ndarray], threads: int) -> None:
        jobs = [(part, particles.tile(index[part], plan.fine.rings, noise_power)) for part in group]
        for block in blocks:
            for _ in ordered_map(lambda job, block=block: score(job, block), jobs, threads):  # type: ignore[misc]
                pass
            del block

    for _ in by_groups(match, places, plan, particles, fine.count, resident=blocks.single):
        pass
    return table


def chosen_alignments(
    particles: PreparedParticles,
    index: np.ndarray,
    references: References,
    noise_power: torch.Tensor,
    table: ScoreTable,
    columns: Sequence[np.ndarray],
) -> list[Alignments]:
    """Particles ``index`` (m,) at their best poses on the references of columns (m,): one set for each of these.

    references, noise_power: those of the table.
    """
    grid = table.grid
    rows = np.arange(len(index))
    reference = np.stack([table.reference(column) for column in columns], 1)
    shift = np.stack([table.shift[rows, column] for column in columns], 1).astype(np.int64)
    device = particles.device

    def rotations(part: np.ndarray) -> np.ndarray:
        tile = particles.tile(index[part], grid.rings, noise_power).truncated(grid)
        found = [
            best_rotations(tile, references, torch.from_numpy(k).to(device), torch.from_numpy(s).to(device))
            for k, s in zip(reference[part].T, shift[part].T, strict=True)
        ]
        return torch.stack(found, 1).cpu().numpy()

    tiles = tiles_of(rows, TILE)
    psi = grid.psi.cpu().numpy()[np.concatenate(list(ordered_map(rotations, tiles, particles.threads)))]
    shift_A = grid.shifts_px.cpu().numpy()[shift] * particles.pixel_size_A
    return [Alignments.from_shifts(index, reference[:, c], psi[:, c], shift_A[:, c]) for c in range(len(columns))]


def _scored(
    images: ImageTile, block: ReferenceBlock, plan: SearchPlan, similarity: Similarity | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Value and shift of the best pose of images on the references of a block, (n, K) each."""
    value, shift = best_shifts(images, block, tile_scores=plan.tile_scores)
    if similarity is not None:
        prior = block.references.log_prior.T.gather(0, shift)
        value = similarity_of(similarity, value - prior, all_norms(images, block.references))
    return value, shift


def _references_of(cells: Sequence[Cell], images: int) -> np.ndarray:
    """(images, C) int32, the references of the columns of every image."""
    among = np.full((images, max(cell.column + len(cell.references) for cell in cells)), -1, np.int32)
    for cell in cells:
        among[cell.images, cell.column : cell.column + len(cell.references)] = cell.references
    if (among < 0).any():
        raise ValueError(f"cells: image {int(np.argwhere(among < 0)[0, 0])} (from 0) lacks references in some columns")
    return among


def _within(
    cells: Sequence[Cell], part: np.ndarray, block: ReferenceBlock
) -> Iterator[tuple[np.ndarray, int, ReferenceBlock]]:
    """(images, first of their columns, references) of every cell, of the images ``part`` and of a block."""
    for cell in cells:
        image = cell.images[(cell.images >= part[0]) & (cell.images <= part[-1])]
        start, stop = np.searchsorted(cell.references, [block.first, block.first + block.references.count])
        if len(image) and start < stop:
            yield image, cell.column + int(start), block.some(cell.references[start:stop] - block.first)


def _tile_of_cells(references: References) -> int:
    """Images at a time: cells are worth most when they are whole."""
    return max(TILE, TILE_BYTES // (8 * references.grid.rings * references.grid.harmonics))
