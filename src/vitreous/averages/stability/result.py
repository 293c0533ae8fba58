"""What a test of stability returns."""

from dataclasses import dataclass

import numpy as np

from vitreous.matching import Alignments
from vitreous.words import brief

__all__ = ["StabilityResult"]


@dataclass(frozen=True, kw_only=True, eq=False)
class StabilityResult:
    """Figures of K classes and n particles; classes in the order of their numbers, from 0 in arrays.

    A class with fewer than twelve members is not tested: its error is infinite.
    """

    __repr__ = brief

    pixel_size_A: float
    particle_diameter_A: float
    resolution_A: float  # that images were compared at
    population: np.ndarray  # (K,) particles of the class
    tested: np.ndarray  # (K,) of them, those that were aligned
    error_A: np.ndarray  # (K,) mean displacement between starts, of the mirror-stable members
    mirror_share: np.ndarray  # (K,) of the members with one mirror state in all starts
    stable: np.ndarray  # (K,) bool
    averages: np.ndarray  # (K, L, L) of the start that is nearest to the others
    particle_error_A: np.ndarray  # (n,) NaN for what was not tested
    mirror_stable: np.ndarray  # (n,) bool
    alignments: Alignments  # of all n; reference -1 for what was not tested
