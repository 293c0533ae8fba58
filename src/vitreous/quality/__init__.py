"""How good is it: FRC, FSC, resolution, comparison of maps, classes against their truth, which views there are."""

from vitreous.quality.align_finely import align_finely
from vitreous.quality.align_maps import MapAlignment, align_maps, other_hand, resample_aligned
from vitreous.quality.aligned_noise import AlignedNoise, aligned_noise, maximum_over_poses
from vitreous.quality.background import AverageContrast, average_contrast, background_levels
from vitreous.quality.class_truth import (
    ClassTruth,
    class_directions,
    class_frame_poses,
    compare_classes,
    pair_angle_deg,
    projection_match,
)
from vitreous.quality.compare_maps import MapAgreement, compare_maps
from vitreous.quality.correlation import (
    image_correlations,
    resolution_at,
    ring_correlation,
    shell_correlation,
    soft_ball,
    soft_disc,
    without_dips,
)
from vitreous.quality.coverage import UnseenCone, unseen_cone
from vitreous.quality.mass import border_of, bright_part, centres_of_mass
from vitreous.quality.pose_truth import PoseTruth, compare_with_true_poses
from vitreous.quality.single_view import along_one_axis, repeated_view, warn_if_one_view

__all__ = [
    "AlignedNoise",
    "AverageContrast",
    "ClassTruth",
    "MapAgreement",
    "MapAlignment",
    "PoseTruth",
    "UnseenCone",
    "align_finely",
    "align_maps",
    "aligned_noise",
    "along_one_axis",
    "average_contrast",
    "background_levels",
    "border_of",
    "bright_part",
    "centres_of_mass",
    "class_directions",
    "class_frame_poses",
    "compare_classes",
    "compare_maps",
    "compare_with_true_poses",
    "image_correlations",
    "maximum_over_poses",
    "other_hand",
    "pair_angle_deg",
    "projection_match",
    "repeated_view",
    "resample_aligned",
    "resolution_at",
    "ring_correlation",
    "shell_correlation",
    "soft_ball",
    "soft_disc",
    "unseen_cone",
    "warn_if_one_view",
    "without_dips",
]
