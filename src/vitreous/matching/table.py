"""A table of scores: every image with every reference at its best pose. What a global assignment decides on."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching.alignments import Alignments
from vitreous.matching.expect import TILE, by_groups, tiles_of
from vitreous.matching.grid import PoseGrid
from vitreous.matching.prepare import SHIFTED_SHARE, PreparedParticles
from vitreous.matching.references import ReferenceBlock, References
from vitreous.matching.score import ImageTile, all_norms, best_poses
from vitreous.matching.search import SearchPlan
from vitreous.matching.similarity import Similarity, similarity_of
from vitreous.matching.workers import ordered_map

__all__ = ["ScoreTable", "score_table"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreTable:
    """m images x K references.

    log_posterior: (m, K) float32 of the best pose, up to a constant per image, or another similarity there; psi, shift:
    (m, K) int16, that pose as places in the grid.
    """

    log_posterior: np.ndarray
    psi: np.ndarray
    shift: np.ndarray
    grid: PoseGrid

    def alignments(self, particle: np.ndarray, reference: np.ndarray, pixel_size_A: float) -> Alignments:
        """The images as particles ``particle`` (m,), each at its best pose on a reference (m,).

        pixel_size_A: of the working images.
        """
        rows = np.arange(len(reference))
        psi = self.grid.psi.cpu().numpy()[self.psi[rows, reference]]
        shift = self.grid.shifts_px.cpu().numpy()[self.shift[rows, reference]]
        return Alignments.from_shifts(particle, reference, psi, shift * pixel_size_A)


def score_table(
    particles: PreparedParticles,
    index: np.ndarray,
    plan: SearchPlan,
    references: tuple[References | None, References],
    noise_power: torch.Tensor,
    *,
    similarity: Similarity | None = None,
    tile: int = TILE,
) -> ScoreTable:
    """The best pose of particles ``index`` (m,) on every reference, by the exhaustive pass of the plan.

    similarity: what the table has in place of the log posterior at the best poses; priors do not count in it.
    Memory: 8 bytes per image and reference, and what a pass over the data takes.
    """
    fine, places = references[1], tiles_of(np.arange(len(index)), tile)
    blocks = plan.blocks((None, fine), len(places[0]), int(SHIFTED_SHARE * particles.memory_bytes)).fine
    shape = (len(index), fine.count)
    table = ScoreTable(
        log_posterior=np.empty(shape, np.float32),
        psi=np.empty(shape, np.int16),
        shift=np.empty(shape, np.int16),
        grid=plan.fine,
    )

    def score(job: tuple[np.ndarray, ImageTile], block: ReferenceBlock) -> None:
        part, images = job
        here = slice(block.first, block.first + block.references.count)
        cut = images.truncated(plan.fine)
        value, psi, shift = best_poses(cut, block, tile_scores=plan.tile_scores)
        if similarity is not None:
            prior = block.references.log_prior.T.gather(0, shift)
            value = similarity_of(similarity, value - prior, all_norms(cut, block.references))
        found = value, psi, shift
        for out, values in zip((table.log_posterior, table.psi, table.shift), found, strict=True):
            out[part, here] = values.cpu().numpy()

    def match(group: list[np.ndarray], threads: int) -> None:
        jobs = [(part, particles.tile(index[part], plan.fine.rings, noise_power)) for part in group]
        for block in blocks:
            for _ in ordered_map(lambda job, block=block: score(job, block), jobs, threads):  # type: ignore[misc]
                pass
            del block

    for _ in by_groups(match, places, plan, particles, fine.count, resident=blocks.single):
        pass
    return table
