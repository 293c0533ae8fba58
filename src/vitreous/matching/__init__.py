"""The core: scores over (reference, rotation, shift), choices, accumulators."""

from vitreous.matching.accumulate import Sums, accumulate, class_posteriors, merge_sums, zero_sums
from vitreous.matching.choice import Choice, Chosen, best, soft, stochastic
from vitreous.matching.expect import Outcome, accumulate_fixed, expect
from vitreous.matching.grid import PoseGrid, disc_grid
from vitreous.matching.prepare import ImagePreparation, PreparedParticles, prepare_particles
from vitreous.matching.refine import refine_poses
from vitreous.matching.rings import RingBasis, from_angles, to_angles
from vitreous.matching.score import ImageTile, References, Rows, best_rows, make_references, row_maxima
from vitreous.matching.search import SearchPlan, find_rows, plan_search

__all__ = [
    "Choice",
    "Chosen",
    "ImagePreparation",
    "ImageTile",
    "Outcome",
    "PoseGrid",
    "PreparedParticles",
    "References",
    "RingBasis",
    "Rows",
    "SearchPlan",
    "Sums",
    "accumulate",
    "accumulate_fixed",
    "best",
    "best_rows",
    "class_posteriors",
    "disc_grid",
    "expect",
    "find_rows",
    "from_angles",
    "make_references",
    "merge_sums",
    "plan_search",
    "prepare_particles",
    "refine_poses",
    "row_maxima",
    "soft",
    "stochastic",
    "to_angles",
    "zero_sums",
]
