"""The core: scores over (reference, rotation, shift), choices, accumulators."""

from vitreous.matching.accumulate import (
    Accumulator,
    DenseSums,
    Sums,
    TileSums,
    class_posteriors,
    merge_sums,
    tile_sums,
    zero_sums,
)
from vitreous.matching.alignments import Alignments, wrapped_deg
from vitreous.matching.candidates import Candidates
from vitreous.matching.choice import Choice, Chosen, best, soft, stochastic
from vitreous.matching.expect import Outcome, expect, expect_into
from vitreous.matching.fixed import accumulate_at, accumulate_into
from vitreous.matching.grid import PoseGrid, disc_grid
from vitreous.matching.prepare import ImagePreparation, PreparedParticles, prepare_particles
from vitreous.matching.references import ReferenceBlock, ReferenceBlocks, References, in_blocks, make_references
from vitreous.matching.refine import refine_poses
from vitreous.matching.rings import RingBasis, from_angles, to_angles
from vitreous.matching.score import ImageTile, Rows, best_poses, best_rows, row_maxima
from vitreous.matching.search import SearchBlocks, SearchPlan, find_rows, plan_search
from vitreous.matching.steerable import MIRROR_STATES, RotationGrid, fourier_weights, pair_scores, rotation_scores

__all__ = [
    "MIRROR_STATES",
    "Accumulator",
    "Alignments",
    "Candidates",
    "Choice",
    "Chosen",
    "DenseSums",
    "ImagePreparation",
    "ImageTile",
    "Outcome",
    "PoseGrid",
    "PreparedParticles",
    "ReferenceBlock",
    "ReferenceBlocks",
    "References",
    "RingBasis",
    "RotationGrid",
    "Rows",
    "SearchBlocks",
    "SearchPlan",
    "Sums",
    "TileSums",
    "accumulate_at",
    "accumulate_into",
    "best",
    "best_poses",
    "best_rows",
    "class_posteriors",
    "disc_grid",
    "expect",
    "expect_into",
    "find_rows",
    "fourier_weights",
    "from_angles",
    "in_blocks",
    "make_references",
    "merge_sums",
    "pair_scores",
    "plan_search",
    "prepare_particles",
    "refine_poses",
    "rotation_scores",
    "row_maxima",
    "soft",
    "stochastic",
    "tile_sums",
    "to_angles",
    "wrapped_deg",
    "zero_sums",
]
