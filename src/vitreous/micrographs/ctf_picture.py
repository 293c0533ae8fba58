"""The fit as a picture: half the measured spectrum, half the fitted CTF."""

import numpy as np
from scipy.ndimage import gaussian_filter

from vitreous.micrographs.ctf_model import Start, background_at, phases
from vitreous.micrographs.ctf_settings import Microscope
from vitreous.micrographs.ctf_spectrum import Spectrum

__all__ = ["picture_of"]

SIDE_PX = 256
SMOOTH_PX = 1.0  # of the measured half
CONTRAST = (1.0, 99.0)  # percentiles of the measured half that are black and white


def picture_of(spectrum: Spectrum, at: Start, microscope: Microscope, band_per_A: tuple[float, float]) -> np.ndarray:
    """Grey levels, uint8 (SIDE_PX, SIDE_PX), to the finest detail of the band, the origin at index SIDE_PX // 2.

    Left is the spectrum over its background, right the square of the fitted CTF; y runs down as rows of micrographs do.
    """
    axis = (np.arange(SIDE_PX) - SIDE_PX // 2) / (SIDE_PX // 2) * band_per_A[1]
    ky, kx = np.meshgrid(axis, axis, indexing="ij")
    k, left = np.hypot(kx, ky), kx < 0
    shown = np.where(left, _stretched(_measured(spectrum, at, kx, ky, band_per_A), left), 0.0)
    rings = np.sin(phases(at, microscope, kx, ky)) ** 2
    shown = np.where(left, shown, rings)
    shown[(k < band_per_A[0]) & left] = 0.5
    shown[k > band_per_A[1]] = 0.5
    grey: np.ndarray = np.round(255 * shown).astype(np.uint8)
    return grey


def _measured(
    spectrum: Spectrum, at: Start, kx: np.ndarray, ky: np.ndarray, band_per_A: tuple[float, float]
) -> np.ndarray:
    """The spectrum over its background at the nearest frequencies; the half plane kx < 0 is that of kx > 0, turned."""
    n = spectrum.power.shape[0]
    turned = np.where(kx < 0, -1.0, 1.0) * spectrum.side_A
    row, column = np.rint(ky * turned).astype(np.int64) % n, np.rint(kx * turned).astype(np.int64)
    k = np.clip(np.hypot(kx, ky), *band_per_A)
    return spectrum.power[row, np.minimum(column, n // 2)] / background_at(k.ravel(), at, band_per_A).reshape(k.shape)


def _stretched(image: np.ndarray, within: np.ndarray) -> np.ndarray:
    smooth = gaussian_filter(image, SMOOTH_PX)
    low, high = np.percentile(smooth[within], CONTRAST)
    stretched: np.ndarray = np.clip((smooth - low) / max(high - low, np.finfo(float).tiny), 0.0, 1.0)
    return stretched
