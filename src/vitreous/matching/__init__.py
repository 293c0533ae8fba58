"""The core: scores over (reference, rotation, shift), choices, accumulators, the visit of folds."""

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
from vitreous.matching.alignments import Alignments, turned, wrapped_deg
from vitreous.matching.assign import Balanced, balanced
from vitreous.matching.candidates import Candidates
from vitreous.matching.choice import Choice, Chosen, best, soft, stochastic
from vitreous.matching.expect import Outcome, expect, expect_into
from vitreous.matching.fixed import accumulate_at, accumulate_into, reflected_rings, rows_at
from vitreous.matching.folds import Against, Dealt, deal, left_out, own_half, padded, replaced, stacked, total
from vitreous.matching.for_particles import ImageSettings, assumptions, preparation_for
from vitreous.matching.grid import PoseGrid, disc_grid
from vitreous.matching.noise_test import NoiseRows, NoiseTest, corrected_frc, held_out_size, noise_test
from vitreous.matching.prepare import (
    ImagePreparation,
    PreparedParticles,
    most_shifts,
    offset_within_box,
    prepare_particles,
    shifted_bytes,
)
from vitreous.matching.references import ReferenceBlock, ReferenceBlocks, References, in_blocks, make_references
from vitreous.matching.refine import refine_poses, refined
from vitreous.matching.restore import (
    Averages,
    aligned_images,
    claimed_resolution_A,
    mirrored,
    restore,
    turn_images,
    turned_ctf,
)
from vitreous.matching.rings import RingBasis, from_angles, to_angles
from vitreous.matching.schedule import CONVERGED, FIRST_RINGS, March, pass_size, ring_limit
from vitreous.matching.score import (
    ImageTile,
    Rows,
    all_norms,
    best_poses,
    best_rows,
    compared_rows,
    reference_maxima,
    row_maxima,
)
from vitreous.matching.search import KEEP_NATS, SearchBlocks, SearchPlan, find_rows, plan_search, search_tiles
from vitreous.matching.similarity import SIMILARITIES, Similarity, similarity_of
from vitreous.matching.spectra import residual_noise, resolved_rings, signal_power, wiener
from vitreous.matching.steerable import MIRROR_STATES, RotationGrid, fourier_weights, pair_scores, rotation_scores
from vitreous.matching.table import Cell, ScoreTable, score_table
from vitreous.matching.visit import Match, survey, visit

__all__ = [
    "CONVERGED",
    "FIRST_RINGS",
    "KEEP_NATS",
    "MIRROR_STATES",
    "SIMILARITIES",
    "Accumulator",
    "Against",
    "Alignments",
    "Averages",
    "Balanced",
    "Candidates",
    "Cell",
    "Choice",
    "Chosen",
    "Dealt",
    "DenseSums",
    "ImagePreparation",
    "ImageSettings",
    "ImageTile",
    "March",
    "Match",
    "NoiseRows",
    "NoiseTest",
    "Outcome",
    "PoseGrid",
    "PreparedParticles",
    "ReferenceBlock",
    "ReferenceBlocks",
    "References",
    "RingBasis",
    "RotationGrid",
    "Rows",
    "ScoreTable",
    "SearchBlocks",
    "SearchPlan",
    "Similarity",
    "Sums",
    "TileSums",
    "accumulate_at",
    "accumulate_into",
    "aligned_images",
    "all_norms",
    "assumptions",
    "balanced",
    "best",
    "best_poses",
    "best_rows",
    "claimed_resolution_A",
    "class_posteriors",
    "compared_rows",
    "corrected_frc",
    "deal",
    "disc_grid",
    "expect",
    "expect_into",
    "find_rows",
    "fourier_weights",
    "from_angles",
    "held_out_size",
    "in_blocks",
    "left_out",
    "make_references",
    "merge_sums",
    "mirrored",
    "most_shifts",
    "noise_test",
    "offset_within_box",
    "own_half",
    "padded",
    "pair_scores",
    "pass_size",
    "plan_search",
    "preparation_for",
    "prepare_particles",
    "reference_maxima",
    "refine_poses",
    "refined",
    "reflected_rings",
    "replaced",
    "residual_noise",
    "resolved_rings",
    "restore",
    "ring_limit",
    "rotation_scores",
    "row_maxima",
    "rows_at",
    "score_table",
    "search_tiles",
    "shifted_bytes",
    "signal_power",
    "similarity_of",
    "soft",
    "stacked",
    "stochastic",
    "survey",
    "tile_sums",
    "to_angles",
    "total",
    "turn_images",
    "turned",
    "turned_ctf",
    "visit",
    "wiener",
    "wrapped_deg",
    "zero_sums",
]
