"""What a 2D classification returns: one value that the writers, the report and the user's own code share."""

from dataclasses import dataclass, field

import numpy as np

from vitreous.matching import Alignments
from vitreous.words import brief

__all__ = ["Class2DResult"]


@dataclass(frozen=True, kw_only=True)
class Class2DResult:
    """Class averages with their figures, and the pose of every particle. Classes are in order of population.

    n particles, K classes, L box, F = L // 2 + 1 Fourier shells. Arrays are NumPy, on the CPU.
    Particles that were refused (NaN, constant, unreadable) have ``class_number`` 0 and ``weight`` 0.
    """

    __repr__ = brief

    pixel_size_A: float
    particle_diameter_A: float
    averages: np.ndarray  # (K, L, L) float32, Wiener-filtered, particle contrast of the input
    averages_half: np.ndarray  # (2, K, L, L) float32, from the two half-sets of every class
    frc: np.ndarray  # (K, F) Fourier ring correlation between the half-set averages
    ssnr: np.ndarray  # (K, F) spectral signal-to-noise ratio of the full average
    resolution_A: np.ndarray  # (K,) where the FRC falls below 0.143 (inf: nothing found)
    population: np.ndarray  # (K,) int, particles whose most probable class it is
    distribution: np.ndarray  # (K,) posterior class probabilities summed over particles, sums to 1
    effective_number: np.ndarray  # (K,) (sum of posteriors)^2 / sum of squared posteriors
    class_number: np.ndarray  # (n,) int, from 1; 0 = refused
    psi_deg: np.ndarray  # (n,)
    origin_x_A: np.ndarray  # (n,) rlnOriginXAngst
    origin_y_A: np.ndarray  # (n,)
    weight: np.ndarray  # (n,) 1 or 0
    max_probability: np.ndarray  # (n,) highest posterior of a single (class, rotation, shift)
    entropy: np.ndarray  # (n,) of the class posterior, in nats
    effective_classes: np.ndarray  # (n,) exp(entropy)
    significant: np.ndarray  # (n,) int, (class, rotation, shift) hypotheses within the pruning margin
    log_likelihood: np.ndarray  # (n,) log marginal likelihood, up to the constant of the noise model
    noise_power: np.ndarray  # (groups, F) sigma^2 per Fourier component, of images normalised to background sd 1
    noise_group: np.ndarray  # (n,) int index into noise_power
    found_signal: bool  # False when no class shows signal beyond the first shells (pure noise in)
    messages: list[str] = field(default_factory=list)  # plain sentences for the user (warnings, rescues)

    @property
    def alignments(self) -> Alignments:
        """How every particle is aligned to its class average; reference -1 where it was refused."""
        origin_A = np.stack([self.origin_x_A, self.origin_y_A], axis=1)
        n = len(self.class_number)
        return Alignments(
            particle=np.arange(n),
            reference=self.class_number - 1,
            psi_rad=np.deg2rad(self.psi_deg),
            origin_A=origin_A,
            mirror=np.zeros(n, bool),
        )
