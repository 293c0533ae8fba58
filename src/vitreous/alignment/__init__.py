"""Alignment without a likelihood of classes: two images, n images, groups, K-means; registration of parameters."""

from vitreous.alignment.criteria import AlignmentCriteria, alignment_criteria
from vitreous.alignment.groups import (
    GroupPass,
    Groups,
    Matching,
    align_once,
    align_to,
    random_alignments,
    sums_of_folds,
)
from vitreous.alignment.kmeans import (
    EQK,
    Assigned,
    Grouping,
    Near,
    even_sizes,
    group_images,
    group_references,
    kmeans_pass,
    near_groups,
    random_sums,
    split_groups,
)
from vitreous.alignment.leave_one_out import refine_left_out
from vitreous.alignment.pairs import PairAlignment, align_images, align_pairs
from vitreous.alignment.partitions import MatchedClasses, match_classes
from vitreous.alignment.pyramid import pyramid_alignments
from vitreous.alignment.registration import Registered, register
from vitreous.alignment.residuals import residuals, standardised
from vitreous.alignment.stability import (
    FEWEST_MEMBERS,
    Stability,
    StabilityState,
    begin_stability,
    measure_stability,
    stability_pass,
)

__all__ = [
    "EQK",
    "FEWEST_MEMBERS",
    "AlignmentCriteria",
    "Assigned",
    "GroupPass",
    "Grouping",
    "Groups",
    "MatchedClasses",
    "Matching",
    "Near",
    "PairAlignment",
    "Registered",
    "Stability",
    "StabilityState",
    "align_images",
    "align_once",
    "align_pairs",
    "align_to",
    "alignment_criteria",
    "begin_stability",
    "even_sizes",
    "group_images",
    "group_references",
    "kmeans_pass",
    "match_classes",
    "measure_stability",
    "near_groups",
    "pyramid_alignments",
    "random_alignments",
    "random_sums",
    "refine_left_out",
    "register",
    "residuals",
    "split_groups",
    "stability_pass",
    "standardised",
    "sums_of_folds",
]
