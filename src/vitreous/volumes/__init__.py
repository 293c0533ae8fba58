"""Maps: masks, filters, half maps, slices and their adjoint, reconstruction, projection."""

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
from vitreous.volumes.ring_points import PADDING, RingPoints
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

__all__ = [
    "ART",
    "PADDING",
    "Gridding",
    "LeastSquares",
    "PosedParticles",
    "Reconstruction",
    "RingPoints",
    "VolumeSums",
    "WeightedBackProjection",
    "cross_power",
    "density",
    "insert_harmonics",
    "masked",
    "prepared",
    "random_halves",
    "reconstruct",
    "ring_slices",
    "sphere",
    "symmetrised",
    "total_volume",
    "zero_volume_sums",
]
