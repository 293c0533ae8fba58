"""Maps from particles with known poses: direct Fourier inversion, weighted back-projection, least squares, ART."""

from vitreous.volumes.reconstruction.algorithm import (
    Reconstruction,
    ReconstructionState,
    reconstruct,
    reconstruction_algorithm,
    step_count,
)
from vitreous.volumes.reconstruction.envelope import signal_envelope
from vitreous.volumes.reconstruction.noise import background_power
from vitreous.volumes.reconstruction.posed import PosedParticles, random_halves
from vitreous.volumes.reconstruction.settings import (
    ART,
    Gridding,
    LeastSquares,
    ReconstructionSettings,
    WeightedBackProjection,
)
from vitreous.volumes.reconstruction.solve import least_squares, solve
from vitreous.volumes.reconstruction.statistics import (
    ReconstructionSums,
    accumulate,
    add_sums,
    empty_sums,
    full_circle,
)

__all__ = [
    "ART",
    "Gridding",
    "LeastSquares",
    "PosedParticles",
    "Reconstruction",
    "ReconstructionSettings",
    "ReconstructionState",
    "ReconstructionSums",
    "WeightedBackProjection",
    "accumulate",
    "add_sums",
    "background_power",
    "empty_sums",
    "full_circle",
    "least_squares",
    "random_halves",
    "reconstruct",
    "reconstruction_algorithm",
    "signal_envelope",
    "solve",
    "step_count",
]
