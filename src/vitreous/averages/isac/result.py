"""What ISAC returns."""

from dataclasses import dataclass

import numpy as np

from vitreous.matching import Alignments
from vitreous.words import brief

__all__ = ["ISACResult"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ISACResult:
    """Validated averages, the largest first, and the particles that they account for. A classes, n particles, box L."""

    __repr__ = brief

    pixel_size_A: float
    particle_diameter_A: float
    averages: np.ndarray  # (A, L, L) from the original pixels, Wiener filtered
    halves: np.ndarray  # (2, A, L, L)
    frc: np.ndarray  # (A, F)
    resolution_A: np.ndarray  # (A,) where the FRC falls below 0.143
    population: np.ndarray  # (A,)
    generation: np.ndarray  # (A,) in which a class was accepted, from 1
    error_A: np.ndarray  # (A,) mean pixel error between the starts
    mirror_share: np.ndarray  # (A,)
    common: np.ndarray  # (A,) members that all runs had in common
    alignments: Alignments  # of all n; reference -1: not accounted for
    particle_error_A: np.ndarray  # (n,) -1 for those
    outlier: np.ndarray  # (n,) bool, reproducible and stable, but too far from their averages
    messages: tuple[str, ...] = ()

    @property
    def accounted(self) -> np.ndarray:
        """(n,) bool."""
        return np.asarray(self.alignments.reference >= 0)
