"""Maps: grids, masks, filters, half maps and their resolution, projections."""

from vitreous.volumes.filters import apply_b_factor, fsc_weights, high_pass, low_pass, radial_filter, shell_filter
from vitreous.volumes.half_maps import (
    HalfMapFSC,
    check_halves,
    correct_fsc,
    half_map_fsc,
    mean_of_halves,
    randomise_phases,
)
from vitreous.volumes.masks import (
    apply_mask,
    automatic_mask,
    automatic_threshold,
    check_mask,
    spherical_mask,
    threshold_mask,
)
from vitreous.volumes.projections import project_map
from vitreous.volumes.resampling import fourier_resize, resample, resize_box, symmetrise
from vitreous.volumes.sharpening import Guinier, guinier, sharpen

__all__ = [
    "Guinier",
    "HalfMapFSC",
    "apply_b_factor",
    "apply_mask",
    "automatic_mask",
    "automatic_threshold",
    "check_halves",
    "check_mask",
    "correct_fsc",
    "fourier_resize",
    "fsc_weights",
    "guinier",
    "half_map_fsc",
    "high_pass",
    "low_pass",
    "mean_of_halves",
    "project_map",
    "radial_filter",
    "randomise_phases",
    "resample",
    "resize_box",
    "sharpen",
    "shell_filter",
    "spherical_mask",
    "symmetrise",
    "threshold_mask",
]
