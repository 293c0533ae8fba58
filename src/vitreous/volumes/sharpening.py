"""The fall-off of amplitudes: Guinier plot and B-factor (Rosenthal and Henderson 2003, J. Mol. Biol. 333, 721).

Beyond 10 A the mean amplitude of a protein at rest is nearly constant, so that what a map loses towards high frequency,
``F(k) = F_0 exp(-B k^2 / 4)``, is a straight line of slope -B / 4 in ``ln F`` over ``k^2``. Amplitudes of noisy shells
are weighted by ``C_ref = sqrt(2 FSC / (1 + FSC))`` first, since noise would flatten the line.
"""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.fourier import shell_sums
from vitreous.particles import Volume
from vitreous.volumes.filters import apply_b_factor, fsc_weights, shell_filter
from vitreous.volumes.shells import multiplicity, shell_index, shell_products

__all__ = ["Guinier", "guinier", "sharpen"]

COARSEST_A = 10.0  # of the line, as RELION has it
LEAST_SHELLS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Guinier:
    """Logarithm of the mean amplitude of every shell, and the line that fits them."""

    frequency_per_A: np.ndarray  # (n // 2 + 1)
    log_amplitude: np.ndarray  # (n // 2 + 1); -inf where there is nothing
    log_weighted: np.ndarray  # times C_ref; -inf beyond the resolution
    fitted: np.ndarray  # (n // 2 + 1) bool: the shells of the line; none where they are too few
    b_factor_A2: float  # of the map: positive where amplitudes fall; NaN where there is no line
    log_intercept: float
    correlation: float  # of the points of the line

    @property
    def sharpening_A2(self) -> float:
        """The B-factor to apply, as other programs print it: minus that of the map; 0 where there is no line."""
        return -self.b_factor_A2 if np.isfinite(self.b_factor_A2) else 0.0


def guinier(volume: Volume, fsc: np.ndarray, resolution_A: float, *, coarsest_A: float = COARSEST_A) -> Guinier:
    """The Guinier plot of a cubic map (the sum or mean of two halves), masked or not, with the FSC of its halves.

    The line is fitted from ``coarsest_A`` to ``resolution_A`` by least squares. With fewer than four shells between
    them there is no line: B-factors of maps coarser than about 9 A have no meaning. Raises ValueError for an FSC of
    another length.
    """
    n = volume.box_px
    if len(fsc) != n // 2 + 1:
        raise ValueError(f"fsc: a box of {n} has {n // 2 + 1} shells, found {len(fsc)}")
    field = n * volume.pixel_size_A
    weight = fsc_weights(fsc, resolution_A, field)
    amplitude = _shell_amplitudes(volume)
    k = np.arange(n // 2 + 1) / field
    with np.errstate(divide="ignore"):
        log_amplitude, log_weighted = np.log(amplitude), np.log(amplitude * weight)
    fitted = (k >= 1.0 / coarsest_A) & (k <= 1.0 / resolution_A) & np.isfinite(log_weighted)
    if fitted.sum() < LEAST_SHELLS:
        fitted, slope, intercept, correlation = np.zeros_like(fitted), np.nan, np.nan, np.nan
    else:
        slope, intercept = np.polyfit(k[fitted] ** 2, log_weighted[fitted], 1)
        correlation = np.corrcoef(k[fitted] ** 2, log_weighted[fitted])[0, 1]
    return Guinier(
        frequency_per_A=k,
        log_amplitude=log_amplitude,
        log_weighted=log_weighted,
        fitted=fitted,
        b_factor_A2=float(-4.0 * slope),
        log_intercept=float(intercept),
        correlation=float(correlation),
    )


def sharpen(volume: Volume, fsc: np.ndarray, resolution_A: float, sharpening_A2: float) -> Volume:
    """A cubic map with B-factor ``sharpening_A2`` (negative sharpens), weighted by C_ref and cut at the resolution.

    ``exp(-B k^2 / 4) sqrt(2 FSC / (1 + FSC))``, 0 beyond ``resolution_A``. Without the weights the noise of the last
    shells would be all that is seen.
    """
    field = volume.box_px * volume.pixel_size_A
    return apply_b_factor(shell_filter(volume, fsc_weights(fsc, resolution_A, field)), sharpening_A2)


def _shell_amplitudes(volume: Volume) -> np.ndarray:
    """Root mean square amplitude of the shells of a cube: (n // 2 + 1)."""
    n = volume.box_px
    ft = torch.fft.rfftn(torch.from_numpy(np.ascontiguousarray(volume.data)))
    count = shell_sums(multiplicity(n).expand(n, n, -1), shell_index(n), n // 2 + 1)
    return torch.sqrt(shell_products(ft, ft)[1] / count).numpy()
