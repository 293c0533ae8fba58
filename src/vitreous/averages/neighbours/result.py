"""What a search for neighbours returns: one value that the writers, the report and the user's own code share."""

from dataclasses import dataclass, field

import numpy as np
import torch

from vitreous.quality import resolution_at
from vitreous.words import brief

__all__ = ["NeighboursResult"]

LITTLE_EVIDENCE = 1.5  # nats per particle; the averages of pure noise reach up to 1
THRESHOLD = 0.143  # of the FRC of halves, where that of the whole average is 0.5


@dataclass(frozen=True, kw_only=True)
class NeighboursResult:
    """K neighbours of each of n particles, nearest first, and averages of some. Arrays are NumPy, on the CPU.

    Particles that were refused (NaN, constant) have neighbours -1 and weight 0, and are nobody's neighbour. Neighbour
    j, mirrored by y -> -y where ``mirrored`` and then turned by ``psi_deg`` (:mod:`vitreous.conventions`), lies on
    particle i. Averages are in the frame of their particle, centred, at the working pixel size.
    """

    __repr__ = brief

    pixel_size_A: float  # of the averages
    particle_diameter_A: float
    neighbours: np.ndarray  # (n, K) int64, rows of the particle table from 0
    mirrored: np.ndarray  # (n, K) bool
    psi_deg: np.ndarray  # (n, K) float32
    affinity: np.ndarray  # (n, K) float32; profiles: overlap of two distributions over views, 0 to 1, high where no
    # class tells two particles apart, be they alike or noise; exhaustive: diffusion, 0 to 1; mahalanobis: log density
    log_evidence: np.ndarray  # (n,) float32, under averages without the particle's fold, over the mean image, in nats
    weight: np.ndarray  # (n,) 1 or 0
    average_of: np.ndarray  # (A,) int64, the particle that an average belongs to
    averages: np.ndarray  # (A, L, L) float32, without CTF
    frc: np.ndarray  # (A, L // 2 + 1) Fourier ring correlation between the sums of two halves of the members
    classes: np.ndarray  # (C, L, L) float32, averages that the particles were compared with (first classification)
    class_members: np.ndarray  # (C,) float, particles in them
    orders: np.ndarray  # (M,) angular order of every principal component
    variances: np.ndarray  # (M,) its variance among the clean images, in units of the noise of a background pixel
    evidence: float  # mean log_evidence
    noise_power: np.ndarray  # (L // 2 + 1,) on the rings of the working box
    defocus_groups: int
    defocus_phase_error_rad: float  # largest phase error from sharing the CTF of a defocus group
    messages: list[str] = field(default_factory=list)  # plain sentences for the user

    @property
    def found_signal(self) -> bool:
        """False when averages explain particles hardly better than the mean image: neighbours are close to random."""
        return self.evidence >= LITTLE_EVIDENCE

    @property
    def resolution_A(self) -> np.ndarray:
        """(A,) where the FRC of an average's halves falls below 0.143; inf where it never is above."""
        frc = torch.from_numpy(np.ascontiguousarray(self.frc))
        return resolution_at(frc, THRESHOLD, self.averages.shape[-1], self.pixel_size_A).numpy()
