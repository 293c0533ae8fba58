"""The values of a spectrum that a CTF is fitted to."""

from dataclasses import dataclass

import numpy as np

from vitreous.micrographs.ctf_band import Band
from vitreous.micrographs.ctf_spectrum import Spectrum

__all__ = ["Points", "points_of"]

ICE_A = (4.1, 3.35)  # where crystalline ice has its first three rings: 3.90, 3.67 and 3.45 Angstrom
SHOULDER = 0.4  # of the width of that: neighbours on either side
ICE = 0.04  # excess over the neighbours that is ice; rings of a CTF average out over the width


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Values of a spectrum at n frequencies of its half plane."""

    power: np.ndarray
    kx: np.ndarray  # 1 / Angstrom
    ky: np.ndarray
    k: np.ndarray
    spacing_per_A: float  # of neighbouring values
    information: float  # independent numbers behind a value, for sums
    ice: (
        float  # power of crystalline ice, whose rings were left out, over that of its neighbours; 0 where there is none
    )


def points_of(spectrum: Spectrum, band: Band) -> Points:
    """The values of the band, each once, without those near the axes, where lines of cameras lie, and without ice."""
    n = spectrum.power.shape[0]
    row, column = np.rint(np.fft.fftfreq(n) * n), np.arange(n // 2 + 1)
    k = np.hypot(row[:, None], column) / spectrum.side_A
    used = band.contains(k) & (np.abs(row)[:, None] > 1) & (column > 1) & (column < n // 2)
    ice = _ice(spectrum.power[used], k[used])
    if ice:
        used &= (k < 1.0 / ICE_A[0]) | (k > 1.0 / ICE_A[1])
    ky, kx = np.broadcast_to(row[:, None], k.shape)[used], np.broadcast_to(column, k.shape)[used]
    return Points(
        power=spectrum.power[used],
        kx=kx / spectrum.side_A,
        ky=ky / spectrum.side_A,
        k=k[used],
        spacing_per_A=1.0 / spectrum.side_A,
        information=spectrum.information,
        ice=ice,
    )


def _ice(power: np.ndarray, k: np.ndarray) -> float:
    """How much stronger the rings of ice are than what lies beside them; 0 where that is little, or not in the band."""
    low, high = 1.0 / ICE_A[0], 1.0 / ICE_A[1]
    width = SHOULDER * (high - low)
    before, within, after = (
        power[(k >= start) & (k < end)] for start, end in ((low - width, low), (low, high), (high, high + width))
    )
    if k.max() < high + 0.9 * width or not (len(before) and len(within) and len(after)):
        return 0.0
    excess = float(within.mean() / (0.5 * (before.mean() + after.mean())) - 1.0)
    return excess if excess > ICE else 0.0
