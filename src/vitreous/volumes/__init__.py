"""Maps: masks, filters, half maps, slices and their adjoint, reconstruction, projection."""

from vitreous.volumes.cones import ConeFSC, cone_fsc
from vitreous.volumes.filters import apply_b_factor, fsc_weights, high_pass, low_pass, radial_filter, shell_filter
from vitreous.volumes.half_maps import (
    HalfMapFSC,
    check_halves,
    correct_fsc,
    half_map_fsc,
    mean_of_halves,
    randomise_phases,
)
from vitreous.volumes.local_resolution import LocalResolution, local_filter, local_resolution
from vitreous.volumes.masks import (
    apply_mask,
    automatic_mask,
    automatic_threshold,
    check_mask,
    spherical_mask,
    threshold_mask,
)
from vitreous.volumes.postprocess import PostProcessed, postprocess
from vitreous.volumes.projections import Projector, project_map, projector
from vitreous.volumes.reconstruction import (
    ART,
    Gridding,
    LeastSquares,
    PosedParticles,
    Reconstruction,
    WeightedBackProjection,
    random_halves,
    reconstruct,
)
from vitreous.volumes.resampling import fourier_resize, resample, resize_box, symmetrise
from vitreous.volumes.ring_points import PADDING, RingPoints
from vitreous.volumes.sharpening import Guinier, guinier, sharpen
from vitreous.volumes.sums import (
    VolumeSums,
    cross_power,
    density,
    insert_harmonics,
    masked,
    prepared,
    ring_slices,
    sphere,
    symmetrised,
    total_volume,
    zero_volume_sums,
)
from vitreous.volumes.views import AngularDistribution, ViewSampling, angular_distribution, view_sampling

__all__ = [
    "ART",
    "PADDING",
    "AngularDistribution",
    "ConeFSC",
    "Gridding",
    "Guinier",
    "HalfMapFSC",
    "LeastSquares",
    "LocalResolution",
    "PosedParticles",
    "PostProcessed",
    "Projector",
    "Reconstruction",
    "RingPoints",
    "ViewSampling",
    "VolumeSums",
    "WeightedBackProjection",
    "angular_distribution",
    "apply_b_factor",
    "apply_mask",
    "automatic_mask",
    "automatic_threshold",
    "check_halves",
    "check_mask",
    "cone_fsc",
    "correct_fsc",
    "cross_power",
    "density",
    "fourier_resize",
    "fsc_weights",
    "guinier",
    "half_map_fsc",
    "high_pass",
    "insert_harmonics",
    "local_filter",
    "local_resolution",
    "low_pass",
    "masked",
    "mean_of_halves",
    "postprocess",
    "prepared",
    "project_map",
    "projector",
    "radial_filter",
    "random_halves",
    "randomise_phases",
    "reconstruct",
    "resample",
    "resize_box",
    "ring_slices",
    "sharpen",
    "shell_filter",
    "sphere",
    "spherical_mask",
    "symmetrise",
    "symmetrised",
    "threshold_mask",
    "total_volume",
    "view_sampling",
    "zero_volume_sums",
]
