"""The power of the noise of a micrograph, from patches that particles are not in."""

from dataclasses import dataclass

import numpy as np
from scipy.fft import rfft2

__all__ = ["PatchSpectra", "noise_of", "patch_spectra"]

QUIET = 0.3  # share of the patches that is taken where no particles are known yet
FREE = 0.02  # share of a patch that known particles may cover
ENOUGH = 8  # patches
SHORTEST_PX = 32
BAND = (1.5, 0.3)  # of frequencies by which patches are called quiet: waves per patch, and per pixel


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchSpectra:
    """Spectra of overlapping patches: power per pixel, as in :mod:`vitreous.optics.noise`."""

    side_px: int
    corners: np.ndarray  # (n, 2) first row and column of every patch
    power: np.ndarray  # (n, side_px // 2 + 1) means over rings


def patch_spectra(data: np.ndarray, diameter_px: float) -> PatchSpectra:
    """Ring means of windowed periodograms (Welch 1967) of patches one diameter wide, half overlapping."""
    side = max(SHORTEST_PX, 2 * round(diameter_px / 2))
    side = min(side, 2 * (min(data.shape) // 2))
    rows, columns = (np.arange(0, n - side + 1, max(1, side // 2)) for n in data.shape)
    corners = np.array([(y, x) for y in rows for x in columns])
    window = np.outer(*[np.hanning(side + 2)[1:-1]] * 2)
    ky, kx = np.fft.fftfreq(side) * side, np.arange(side // 2 + 1)
    ring = np.minimum(np.rint(np.hypot(ky[:, None], kx)).astype(int), side // 2 + 1).ravel()
    twice = np.broadcast_to(np.where((kx == 0) | (2 * kx == side), 1.0, 2.0), (side, len(kx))).ravel()
    count = np.bincount(ring, twice)[: side // 2 + 1]
    power = np.empty((len(corners), side // 2 + 1))
    for i, (y, x) in enumerate(corners):
        patch = data[y : y + side, x : x + side]
        squared = np.square(np.abs(rfft2((patch - patch.mean()) * window))).ravel()
        power[i] = np.bincount(ring, twice * squared)[: side // 2 + 1] / count
    return PatchSpectra(side_px=side, corners=corners, power=power / np.square(window).sum())


def noise_of(spectra: PatchSpectra, covered: np.ndarray | None = None) -> np.ndarray:
    """Noise power per ring, (side_px // 2 + 1,).

    covered: (rows, columns) bool, where particles were found. The mean over patches without them is taken or, where
    there are few, and where nobody knows, over the quietest ones. Their level is too low by their choice, which
    does not matter: scores are measured against their surroundings.
    """
    side = spectra.side_px
    rings = np.arange(spectra.power.shape[1])
    seen = (rings > BAND[0]) & (rings < max(BAND[1] * side, BAND[0] + 2))
    loud = np.log(np.maximum(spectra.power[:, seen], np.finfo(float).tiny)).mean(axis=1)
    chosen = loud <= np.quantile(loud, QUIET)
    if covered is not None:
        total = np.pad(np.cumsum(np.cumsum(covered, 0, dtype=np.int64), 1), ((1, 0), (1, 0)))
        y, x = spectra.corners.T
        inside = total[y + side, x + side] - total[y, x + side] - total[y + side, x] + total[y, x]
        free = inside <= FREE * side * side
        if free.sum() >= ENOUGH:
            chosen = free
    power = spectra.power[chosen].mean(axis=0)
    return np.maximum(power, 1e-6 * power.max())
