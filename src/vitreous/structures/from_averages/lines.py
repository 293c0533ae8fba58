"""Common lines: in which direction two averages have the same line of Fourier space.

The slices of two projections meet in a line (unless their views are parallel), along which their transforms agree:
``X_i(r, a) = X_j(r, b)`` at angles a = alpha_ij and b = beta_ij of the two images. Lines are polar lines of the ring
harmonics at equidistant angles, whitened (each value over sigma(r)) and of norm 1, so that a real inner product is the
correlation of two lines. Values at opposite angles are conjugates, therefore with u + iv and s + it on half circles

    corr(a, b) = u.s + v.t,        corr(a, b + pi) = u.s - v.t

and all pairs of lines of all images are two real matrix products, of which the maximum over both signs is |.| of one.
Rings are so far apart (:class:`vitreous.matching.RingBasis`) that the values of a line are independent of each other.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import to_angles
from vitreous.structures._kernels.lines import best_pairs
from vitreous.structures.from_averages.views import Views

__all__ = ["PairLines", "PolarLines", "correlation_tables", "pair_lines", "polar_lines"]

BLOCK_BYTES = 4 << 20  # of one product of lines: it stays in the processor's cache


@dataclass(frozen=True, kw_only=True, eq=False)
class PolarLines:
    """real, imag: (n, h, R) float32 of lines at angles ``pi a / h``, the half circle; of norm 1 together."""

    real: torch.Tensor
    imag: torch.Tensor

    @property
    def half(self) -> int:
        """h, the number of lines along half a circle."""
        return self.real.shape[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class PairLines:
    """For every pair (i, j) the lines that agree best, at angles ``pi line / half``.

    line: (n, n) int16, ``line[i, j]`` is that of image i, in 0 .. 2 half - 1; those of (i, j) and (j, i) belong
    together. correlation: (n, n) float32, symmetric; 0 on the diagonal.
    """

    line: np.ndarray
    correlation: np.ndarray
    half: int

    @property
    def angle_rad(self) -> np.ndarray:
        """(n, n) angles of the lines."""
        return self.line * (math.pi / self.half)


def polar_lines(views: Views, step_deg: float) -> PolarLines:
    """The polar lines of all averages, about ``step_deg`` apart."""
    half = max(4, round(180 / step_deg))
    values = to_angles(views.harmonics, 2 * _enough(half, views.harmonics.shape[2]))
    values = values[:, :, :: values.shape[2] // (2 * half)][:, :, :half]
    lines = (values / views.sigma2.sqrt()[:, None]).transpose(1, 2)
    lines = lines / lines.abs().square().sum(2, keepdim=True).sqrt().clamp_min(1e-12)
    return PolarLines(real=lines.real.contiguous(), imag=lines.imag.contiguous())


def _enough(half: int, harmonics: int) -> int:
    """A multiple of ``half`` angles that carries so many harmonics."""
    return half * math.ceil(harmonics / half)


def pair_lines(lines: PolarLines) -> PairLines:
    """The common lines of all pairs: the maximum of all correlations, by products of blocks of images."""
    n, half, rings = lines.real.shape
    line = np.zeros((n, n), np.int16)
    correlation = np.zeros((n, n), np.float32)
    block = max(1, int(math.sqrt(BLOCK_BYTES / 8)) // half)
    real, imag = lines.real.reshape(n * half, rings), lines.imag.reshape(n * half, rings)
    for i in range(0, n, block):
        rows = slice(i * half, min(i + block, n) * half)
        for j in range(i, n, block):
            columns = slice(j * half, min(j + block, n) * half)
            even, odd = real[rows] @ real[columns].T, imag[rows] @ imag[columns].T
            best_pairs(even.numpy(), odd.numpy(), half, i, j, line, correlation)
    return PairLines(line=line, correlation=correlation, half=half)


def correlation_tables(lines: PolarLines) -> np.ndarray:
    """All correlations (n, n, 2h, 2h) float32: ``[i, j, b, a]`` of line a of image i with line b of image j."""
    n, half, rings = lines.real.shape
    flat = [part.reshape(n * half, rings) for part in (lines.real, lines.imag)]
    even, odd = ((part @ part.T).reshape(n, half, n, half).permute(0, 2, 3, 1) for part in flat)
    same, opposite = even + odd, even - odd
    rows = [torch.cat([same, opposite], 3), torch.cat([opposite, same], 3)]
    return torch.cat(rows, 2).contiguous().numpy()
