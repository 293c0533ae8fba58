"""What a deconvolution returns: one value that the writers, the report and the next method share."""

from dataclasses import dataclass, field

import numpy as np

from vitreous.words import brief

__all__ = ["DeconvolveResult"]


@dataclass(frozen=True, kw_only=True)
class DeconvolveResult:
    """K deconvolved averages of box L; classes without usable particles are left out. Arrays are NumPy, on the CPU.

    The unit of the averages is the standard deviation of the noise in one particle image.
    """

    __repr__ = brief

    pixel_size_A: float
    particle_diameter_A: float
    class_number: np.ndarray  # (K,) as in the particle file, from 1; single: number of the image
    averages: np.ndarray  # (K, L, L) float32, >= 0, zero outside the mask
    unmasked: np.ndarray  # (K, L, L) float32, >= 0
    masks: np.ndarray  # (K, L, L) float32, 0 to 1
    plain: np.ndarray  # (K, L, L) float32, mean of the aligned images as they are
    population: np.ndarray  # (K,) int, usable particles
    iterations: np.ndarray  # (K,) int
    residual: np.ndarray  # (K,) of the convergence criterion
    converged: np.ndarray  # (K,) bool
    group_defocus_A: np.ndarray  # (G,) mean defocus of the groups; empty without CTF
    group_population: np.ndarray  # (G,) particles in them
    messages: list[str] = field(default_factory=list)  # plain sentences for the user
