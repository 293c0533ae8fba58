"""The core: scores over (reference, rotation, shift), choices, accumulators."""

from vitreous.matching.accumulate import Sums, accumulate, class_posteriors, merge_sums, zero_sums
from vitreous.matching.alignments import Alignments, wrapped_deg
from vitreous.matching.choice import Choice, Chosen, best, soft, stochastic
from vitreous.matching.expect import Outcome, accumulate_fixed, expect
from vitreous.matching.grid import PoseGrid, disc_grid
from vitreous.matching.prepare import ImagePreparation, PreparedParticles, prepare_particles
from vitreous.matching.refine import refine_poses
from vitreous.matching.rings import RingBasis, from_angles, to_angles
from vitreous.matching.score import ImageTile, References, Rows, best_rows, make_references, row_maxima
from vitreous.matching.search import SearchPlan, find_rows, plan_search
from vitreous.matching.steerable import MIRROR_STATES, RotationGrid, fourier_weights, pair_scores, rotation_scores

__all__ = [
    "MIRROR_STATES",
    "Alignments",
    "Choice",
    "Chosen",
    "ImagePreparation",
    "ImageTile",
    "Outcome",
    "PoseGrid",
    "PreparedParticles",
    "References",
    "RingBasis",
    "RotationGrid",
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
    "fourier_weights",
    "from_angles",
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
    "to_angles",
    "wrapped_deg",
    "zero_sums",
]
