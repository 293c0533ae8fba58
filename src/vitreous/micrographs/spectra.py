"""The power of the noise of a micrograph, from patches that particles are not in."""

import numpy as np
from scipy.fft import rfft2

__all__ = ["power_at", "quiet_noise", "without_long_waves"]

QUIET = 0.3  # share of the patches that is taken
SHORTEST_PX = 32
EMPTY = 0.01  # of the power of loud patches: those that have less show nothing, neither noise nor particles
BAND = (1.5, 0.3)  # of frequencies by which patches are called quiet: waves per patch, and per pixel
COARSEST = 3  # ring; waves longer than a third of a patch are those of particles and of what is left of the background
OUTLYING = (
    4.0  # times the median over patches, at most: an edge of carbon has a hundred in the longest waves, noise 4.5
)
LEAST = 1e-6  # of the largest power: filters have taken what is below


def quiet_noise(data: np.ndarray, diameter_px: float) -> np.ndarray:
    """Noise power per pixel on rings from 0 to the Nyquist frequency, as in :mod:`vitreous.optics.noise`.

    The mean over the quietest of overlapping patches one diameter wide (Welch 1967). How loud a patch is, is the mean
    of the logarithms of its rings, each with the weight of its number of waves. The logarithm of a ring scatters with
    one over that number, so that its covariance with the mean is the same for all rings: the choice makes the level
    too low, which does not matter, since responses are measured against their surroundings, and not the shape. Without
    the weights the coarse rings, which scatter most, decide, and come out 40 % too low.
    """
    side = min(max(SHORTEST_PX, 2 * round(diameter_px / 2)), 2 * (min(data.shape) // 2))
    spectra = _patch_spectra(data, side)
    rings = np.arange(spectra.shape[1])
    seen = (rings > BAND[0]) & (rings < max(BAND[1] * side, BAND[0] + 2))
    loud = np.log(np.maximum(spectra[:, seen], np.finfo(float).tiny)) @ (rings[seen] / rings[seen].sum())
    filled = loud > np.quantile(loud, 1 - QUIET) + np.log(EMPTY)
    spectra, loud = (spectra[filled], loud[filled]) if filled.any() else (spectra, loud)
    quiet = spectra[loud <= np.quantile(loud, QUIET)]
    power = np.minimum(quiet, OUTLYING * np.median(quiet, axis=0)).mean(axis=0)
    return np.maximum(power, LEAST * power.max())


def without_long_waves(power: np.ndarray) -> np.ndarray:
    """What a filter divides by: the longest waves have the power of the first ring that is fine enough, at most.

    In a crowded micrograph no patch is free of the mass of particles, which the CTF spreads farther than their size:
    compared with the noise alone the estimate is right to a tenth from the third ring on, and 3 to 5 times too high
    below it. A filter that divides by that does not look at the mass of a particle any more. Patches between the picks
    of a first look, and spectra extrapolated to no particle at all, are as wrong there. The noise itself may have that
    power, so that the variance of a response is that in ``power``.
    """
    less = power.copy()
    if len(power) > COARSEST:
        less[:COARSEST] = np.minimum(power[:COARSEST], power[COARSEST])
    return less


def power_at(k: np.ndarray, power: np.ndarray) -> np.ndarray:
    """``power`` (rings from 0 to the Nyquist frequency) at frequencies ``k`` in cycles per pixel, of any shape.

    Waves longer than a patch have the power of its first ring; in ring 0 is what is left after the mean.
    """
    rings = np.arange(1, len(power)) * (0.5 / (len(power) - 1))
    return np.exp(np.interp(k, rings, np.log(power[1:])))


def _patch_spectra(data: np.ndarray, side: int) -> np.ndarray:
    """Ring means of windowed periodograms, (patches, side // 2 + 1)."""
    window = np.outer(*[np.hanning(side + 2)[1:-1]] * 2)
    ky, kx = np.fft.fftfreq(side) * side, np.arange(side // 2 + 1)
    ring = np.minimum(np.rint(np.hypot(ky[:, None], kx)).astype(int), side // 2 + 1).ravel()
    twice = np.broadcast_to(np.where((kx == 0) | (2 * kx == side), 1.0, 2.0), (side, len(kx))).ravel()
    count = np.bincount(ring, twice)[: side // 2 + 1]
    spectra = []
    for y in range(0, data.shape[0] - side + 1, max(1, side // 2)):
        for x in range(0, data.shape[1] - side + 1, max(1, side // 2)):
            patch = data[y : y + side, x : x + side]
            squared = np.square(np.abs(rfft2((patch - patch.mean()) * window))).ravel()
            spectra.append(np.bincount(ring, twice * squared)[: side // 2 + 1] / count)
    return np.array(spectra) / np.square(window).sum()
