"""What an alignment returns."""

from dataclasses import dataclass

import numpy as np

from vitreous.matching import Alignments
from vitreous.words import brief

__all__ = ["AlignResult"]


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignResult:
    """The average of n aligned images of box L, F = L // 2 + 1 Fourier shells, and how sure it is over S starts.

    Images that could not be used have reference -1 in the alignments, and NaN for their figures.
    """

    __repr__ = brief

    pixel_size_A: float
    particle_diameter_A: float
    average: np.ndarray  # (L, L) float32, Wiener filtered
    halves: np.ndarray  # (2, L, L) float32
    frc: np.ndarray  # (F,) of the halves, less what noise alone would have
    resolution_A: float  # where the FRC falls below 0.143; inf: nothing resolved
    alignments: Alignments  # of all n particles
    pixel_error_A: np.ndarray  # (n,) mean displacement between starts; NaN with one start, and for
    # the images that were held out while aligning
    mirror_stable: np.ndarray  # (n,) bool, the same mirror state in all starts; True for images that were not compared
    start_evidence: np.ndarray  # (S,) mean log evidence of an image, against averages that it is not in
    start_error_A: np.ndarray  # (S,) mean displacement from the start that was kept; NaN: no mirror state in common
    start_averages: np.ndarray  # (S, L, L) float32, each in a frame of its own, while aligning
    found_signal: bool  # False: images that no average has seen fit it no better than noise does
    messages: tuple[str, ...] = ()

    @property
    def mean_error_A(self) -> float:
        """Mean pixel error of the images that are mirror-stable; NaN with one start."""
        error = self.pixel_error_A[self.mirror_stable & np.isfinite(self.pixel_error_A)]
        return float(error.mean()) if len(error) else float("nan")

    @property
    def mirror_stable_share(self) -> float:
        """Of the images that were compared between starts; NaN with one start."""
        compared = np.isfinite(self.pixel_error_A) | ~self.mirror_stable
        return float(self.mirror_stable[compared].mean()) if compared.any() else float("nan")
