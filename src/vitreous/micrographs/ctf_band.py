"""The band of frequencies that is looked at, and the smooth functions over it."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Band"]

PER_E = 2.6  # coefficients of the background, beside the first, for every factor e of frequency
BACKGROUND = (3, 7)  # fewest and most of them
VISIBILITY = 4  # most of the visibility, which has two less than the background


@dataclass(frozen=True, kw_only=True)
class Band:
    """Frequencies from ``low_per_A`` to ``high_per_A``, in 1 / Angstrom.

    Smooth functions are Legendre polynomials of log k: backgrounds fall by powers of k. Their number goes with the
    width of the band, seven from 30 to 3 Angstrom, four from 30 to 10. With more of them a background can stand for the
    one or two rings of a narrow band at low defocus; with fewer it does not follow the shape of particles.
    """

    low_per_A: float
    high_per_A: float

    @property
    def background(self) -> int:
        """Number of coefficients of the logarithm of the background."""
        fewest, most = BACKGROUND
        return min(max(1 + round(PER_E * float(np.log(self.high_per_A / self.low_per_A))), fewest), most)

    @property
    def visibility(self) -> int:
        """Number of coefficients of the visibility of rings."""
        return min(VISIBILITY, self.background - 2)

    def polynomials(self, k_per_A: np.ndarray, count: int) -> np.ndarray:
        """The first polynomials at frequencies (n,) above 0: (count, n)."""
        x = 2.0 * np.log(k_per_A / self.low_per_A) / np.log(self.high_per_A / self.low_per_A) - 1.0
        return np.polynomial.legendre.legvander(x, count - 1).T

    def contains(self, k_per_A: np.ndarray) -> np.ndarray:
        """Which frequencies lie within."""
        inside: np.ndarray = (k_per_A >= self.low_per_A) & (k_per_A <= self.high_per_A)
        return inside
