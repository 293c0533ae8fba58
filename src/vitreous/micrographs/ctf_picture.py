"""The fit as a picture: half the measured spectrum, half the fitted CTF."""

import numpy as np

from vitreous.micrographs.ctf_band import Band
from vitreous.micrographs.ctf_model import Start, background_at, phases
from vitreous.micrographs.ctf_settings import Microscope
from vitreous.micrographs.ctf_spectrum import Spectrum

__all__ = ["picture_of"]

SIDE_PX = 320
ARC_DEG, ON_ARC = 8.0, 9  # of the measured half, which is averaged along arcs this far to either side
CONTRAST = (1.0, 99.0)  # percentiles of the measured half that are black and white
FINEST_PX = 2.0  # waves of rings that can be drawn; finer ones are grey
GREY = 0.5


def picture_of(
    spectrum: Spectrum, at: Start, microscope: Microscope, band: Band, edge_per_A: float, *, fit: bool
) -> np.ndarray:
    """Grey levels, uint8 (SIDE_PX, SIDE_PX), to a frequency at the edge, the origin at index SIDE_PX // 2.

    Left is the spectrum over its background, right the square of the fitted CTF, or without ``fit`` the spectrum, too;
    y runs down as rows of micrographs do.
    """
    pixel = 2.0 * edge_per_A / SIDE_PX
    axis = (np.arange(SIDE_PX) - SIDE_PX // 2) * pixel
    ky, kx = np.meshgrid(axis, axis, indexing="ij")
    k, right = np.hypot(kx, ky), (kx >= 0) & fit
    measured = ~right & (k >= band.low_per_A) & (k <= edge_per_A)
    shown = np.full(k.shape, GREY)
    shown[measured] = _stretched(_measured(spectrum, at, kx[measured], ky[measured], band))
    right &= k <= edge_per_A
    shown[right] = _rings(at, microscope, kx[right], ky[right], pixel)
    grey: np.ndarray = np.round(255 * shown).astype(np.uint8)
    return grey


def _measured(spectrum: Spectrum, at: Start, kx: np.ndarray, ky: np.ndarray, band: Band) -> np.ndarray:
    """The spectrum over its background, at the nearest frequencies of arcs, in the half plane where it is stored."""
    n, total = spectrum.power.shape[0], np.zeros(kx.shape)
    for turn in np.deg2rad(np.linspace(-ARC_DEG, ARC_DEG, ON_ARC)):
        x, y = np.cos(turn) * kx - np.sin(turn) * ky, np.sin(turn) * kx + np.cos(turn) * ky
        sign = np.where(x < 0, -1.0, 1.0) * spectrum.side_A
        row, column = np.rint(y * sign).astype(np.int64) % n, np.rint(x * sign).astype(np.int64)
        total += spectrum.power[row, np.minimum(column, n // 2)]
    mean: np.ndarray = total / ON_ARC / background_at(np.hypot(kx, ky), at, band)
    return mean


def _rings(at: Start, microscope: Microscope, kx: np.ndarray, ky: np.ndarray, pixel_per_A: float) -> np.ndarray:
    phase = phases(at, microscope, kx, ky)
    k = np.maximum(np.hypot(kx, ky), pixel_per_A)
    outward = phases(at, microscope, kx * (1.0 + pixel_per_A / k), ky * (1.0 + pixel_per_A / k)) - phase
    drawn = np.clip(FINEST_PX * (1.0 - np.abs(outward) * FINEST_PX / np.pi), 0.0, 1.0)
    rings: np.ndarray = GREY * (1.0 - drawn * np.cos(2.0 * phase))
    return rings


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, CONTRAST)
    stretched: np.ndarray = np.clip((values - low) / max(high - low, np.finfo(float).tiny), 0.0, 1.0)
    return stretched
