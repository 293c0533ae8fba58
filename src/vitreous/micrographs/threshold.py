"""The response above which noise alone makes a stated number of picks per micrograph.

Maxima of a Gaussian field over two shifts and a rotation above x standard deviations number
``K (x^2 - 1) exp(-x^2 / 2)`` for x from about 3 on (Adler 1981, the Euler characteristic of an excursion set). K is the
number of independent responses, so to speak: it grows with the area, and with the templates and rotations as far as
these differ under the CTF and the noise of this micrograph. It is measured on a picture of Gaussian noise with the
spectrum of the micrograph, from the response that a certain number of peaks exceed, and extrapolated by the formula.

How large a standard deviation is, is measured in the micrograph itself and from place to place, since carbon and thick
ice are louder: by the lower quantiles of the highest response, which lie between particles, against those of the noise
picture. Where they are much farther apart than in noise, as about an edge of carbon, their distance is the measure. A
copy of the micrograph with random phases would spread carbon over the whole picture, and hide it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft2, rfft2
from scipy.ndimage import map_coordinates
from scipy.optimize import brentq

from vitreous.micrographs.detection import filtered, scan
from vitreous.micrographs.peaks import find_peaks
from vitreous.micrographs.templates import Bank
from vitreous.optics import CTFParameters
from vitreous.randomness import generator

__all__ = ["Calibration", "calibrated", "local_noise"]

SIDE = 12.0  # diameters, of the picture of noise
COUNTED = 12  # peaks that K comes from
APART = 0.5  # diameters between peaks
LEAST_X, MOST_X = 2.0, 35.0
FEWEST_FALSE, MOST_FALSE = 5.0, 40.0  # expected picks of noise, between which a threshold is chosen
SURE = 4.0  # standard deviations of the number of false ones: then there are particles
DOUBT = 0.25  # share of noise among what particles are learned from
LOW = (0.05, 0.2, 0.35)  # quantiles of the highest response that lie between particles
ALLOWED = 0.3  # by which particles widen the distance of these quantiles, relative to that in noise
WINDOW, STEP = 3.0, 0.75  # diameters: width of the windows whose quantiles are taken, and their distance


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a bank gives in noise of variance 1."""

    rate: float  # K per square of the diameter
    low: tuple[float, ...]  # the quantiles LOW of the highest response

    def expected(self, x: float, area: float) -> float:
        """Number of peaks above x in an area that is given in squares of the diameter."""
        return self.rate * area * _tail(x)

    def threshold(self, count: float, area: float) -> float:
        """The x that ``count`` peaks exceed; ``LEAST_X`` where the formula has fewer than that from there on."""
        if self.expected(LEAST_X, area) <= count:
            return LEAST_X
        return float(brentq(lambda x: np.log(self.expected(x, area) / count), LEAST_X, MOST_X))

    def most_right(self, x: np.ndarray, area: float) -> float:
        """The threshold of the values x (n,) that makes the most of what is found, missed and false: the largest F1.

        Of the k highest values ``k - expected(x_k)`` are real; the largest such difference is the number of particles.
        The threshold is one that noise exceeds ``FEWEST_FALSE`` to ``MOST_FALSE`` times, the former where so many
        values could be noise.
        """
        strict, loose = self.threshold(FEWEST_FALSE, area), self.threshold(MOST_FALSE, area)
        ordered = np.sort(x[x >= loose])[::-1]
        false = np.array([self.expected(float(value), area) for value in ordered])
        real = np.arange(1, len(ordered) + 1) - false
        if not len(ordered) or real.max() < SURE * np.sqrt(false[real.argmax()]) + FEWEST_FALSE:
            return strict
        merit = 2.0 * real / (np.arange(1, len(ordered) + 1) + real.max())
        return min(strict, float(ordered[merit.argmax()]))

    def mostly_real(self, x: np.ndarray, area: float) -> float:
        """The lowest of the values x (n,) that noise exceeds at most a quarter as often as these do; inf for none."""
        ordered = np.sort(x[x >= LEAST_X])[::-1]
        expected = np.array([self.expected(float(value), area) for value in ordered])
        good = np.flatnonzero(expected <= DOUBT * np.arange(1, len(ordered) + 1))
        return float(ordered[good[-1]]) if len(good) else np.inf


def calibrated(
    bank: Bank, power: np.ndarray, ctf: CTFParameters | None, *, detail: float, whiten: bool, seed: int = 0
) -> Calibration:
    """Run a bank over Gaussian noise with the ``power`` of a micrograph (rings from 0 to the Nyquist frequency)."""
    diameter_px = bank.diameter_A / bank.pixel_size_A
    side = int(SIDE * diameter_px)
    white = generator(seed, "noise for picking").normal(size=(side, side)).astype(np.float32)
    k = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * 2.0 * (len(power) - 1)
    noise = irfft2(rfft2(white) * np.sqrt(np.interp(k, np.arange(len(power)), power)), s=white.shape)
    ready = filtered(noise.astype(np.float32), bank, power, ctf, detail=detail, whiten=whiten)
    highest = scan(ready, bank).highest
    index = find_peaks(highest, APART * diameter_px, -np.inf)
    ordered = highest[tuple(index.T)]
    x = max(float(ordered[min(COUNTED, len(ordered)) - 1]), LEAST_X)
    rate = max(1, int((ordered >= x).sum())) / (side / diameter_px) ** 2 / _tail(x)
    return Calibration(rate=rate, low=tuple(np.quantile(highest, LOW).tolist()))


def local_noise(highest: np.ndarray, calibration: Calibration, diameter_px: float) -> np.ndarray:
    """Standard deviation of the response in noise at every pixel, (rows, columns)."""
    half = 0.5 * WINDOW * diameter_px
    rows, columns = (np.arange(0.0, n + STEP * diameter_px, STEP * diameter_px) for n in highest.shape)
    expected = np.array(calibration.low)
    scale = np.empty((len(rows), len(columns)))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            top, left = int(max(0, y - half)), int(max(0, x - half))
            low = np.quantile(highest[top : int(y + half) + 1, left : int(x + half) + 1], LOW)
            spread = (low[-1] - low[0]) / (expected[-1] - expected[0])
            scale[i, j] = max(low @ expected / (expected @ expected), spread - ALLOWED, 1e-3)
    at = np.meshgrid(*(np.arange(n) / (STEP * diameter_px) for n in highest.shape), indexing="ij")
    return map_coordinates(scale, at, order=1, mode="nearest")


def _tail(x: float) -> float:
    return float((x * x - 1.0) * np.exp(-0.5 * x * x))
