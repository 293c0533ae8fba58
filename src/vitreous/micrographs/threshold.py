"""The response above which noise alone makes a stated number of picks per micrograph.

Maxima of a smooth Gaussian field of variance 1 over d dimensions above u number ``K H(u) exp(-u^2 / 2)`` far out in
the tail, with H the Hermite polynomial of order d - 1 (Adler 1981, the Euler characteristic of an excursion set;
Worsley 1996). A ball has the two dimensions of its place, an image a third one for its rotation, and several views of a
particle two more for its direction. K has the volume of the field in units of its curvature. It grows with the area,
and with the templates and rotations as far as these differ under the CTF and the noise of this micrograph. It is
measured on a picture of Gaussian noise with the spectrum of the micrograph, from the response that a certain number of
peaks exceed, and extrapolated by the formula.

How large a standard deviation is, is measured in the micrograph itself and from place to place, since carbon and thick
ice are louder: by the lower quantiles of the highest response, which lie between particles, against those of the noise
picture. Where they are much farther apart than in noise, as about an edge of carbon, their distance is the measure. A
copy of the micrograph with random phases would spread carbon over the whole picture, and hide it. A window holds few
independent responses, and the error of its standard deviation makes the tail fatter, as that of Student's t: an error
of 6 % makes five times as many peaks above 5.6. So the tail is the mean of what these windows say about the picture
of noise, where the standard deviation is 1 everywhere. Level and distance come from windows of three diameters, the
distance also from those of five, since the response to an edge is wide.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial.hermite_e import hermeval
from scipy.fft import irfft2, rfft2
from scipy.ndimage import map_coordinates
from scipy.optimize import brentq

from vitreous.micrographs.detection import filtered, scan
from vitreous.micrographs.peaks import find_peaks
from vitreous.micrographs.spectra import power_at
from vitreous.micrographs.templates import Bank
from vitreous.optics import CTFParameters
from vitreous.randomness import generator

__all__ = ["Calibration", "calibrated", "local_noise"]

SIDE = 16.0  # diameters, of the picture of noise
COUNTED = 21  # peaks that K comes from
APART = 0.5  # diameters between peaks
LEAST_X, MOST_X = (1.5, 2.0, 3.0), 35.0  # where the formula falls, in two dimensions, three, and more
SCALES = 8  # values that stand for the standard deviations which windows find
FEWEST_FALSE, MOST_FALSE = 5.0, 40.0  # expected picks of noise, between which a threshold is chosen
FALSE_WITH_BALL = 60.0
OCCUPIED, LEAST_FREE = np.pi * 0.75**2, 0.1  # squares of the diameter about a particle; share of the area at least
SURE = 4.0  # standard deviations of the number of false ones: then there are particles
DOUBT = 0.25  # share of noise among what particles are learned from
LOW = (0.05, 0.2, 0.35)  # quantiles of the highest response that lie between particles
ALLOWED = 0.3  # by which particles widen the distance of these quantiles, relative to that in noise
LEVEL, SPREAD, STEP = 3.0, (3.0, 5.0), 0.75  # diameters: widths of windows for either measure, and their distance
EVERY = 2  # pixels: responses have no finer detail


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a bank gives in noise of variance 1."""

    rate: float  # K per square of the diameter
    low: tuple[float, ...]  # the quantiles LOW of the highest response
    dimensions: int = 3  # of the field of responses: place, rotation, direction
    scales: tuple[float, ...] = (1.0,)  # equally frequent values of what is taken for the standard deviation 1

    @property
    def least_x(self) -> float:
        """Standard deviations from which on the formula holds."""
        return _least_x(self.dimensions)

    def expected(self, x: float, area: float) -> float:
        """Number of peaks above x in an area that is given in squares of the diameter."""
        return (
            self.rate * area * float(np.mean([_tail(max(x * s, self.least_x), self.dimensions) for s in self.scales]))
        )

    def threshold(self, count: float, area: float) -> float:
        """The x that ``count`` peaks exceed; ``least_x`` where the formula has fewer than that from there on."""
        if self.expected(self.least_x, area) <= count:
            return self.least_x
        return float(brentq(lambda x: np.log(self.expected(x, area) / count), self.least_x, MOST_X))

    def chosen(self, x: np.ndarray, area: float) -> float:
        """The threshold for the values x (n,) where no number of false picks was given."""
        return self.most_right(x, area) if self.dimensions > 2 else self.beside_particles(x, area)

    def beside_particles(self, x: np.ndarray, area: float) -> float:
        """The threshold that noise exceeds ``FALSE_WITH_BALL`` times where no particle is.

        Particles keep their distance from each other and from peaks of noise, so that in a crowd there is little room
        for noise. Where particles are is taken from the values that are mostly real.
        """
        particles = int((x >= self.mostly_real(x, area)).sum())
        return self.threshold(FALSE_WITH_BALL, max(area - OCCUPIED * particles, LEAST_FREE * area))

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
        ordered = np.sort(x[x >= self.least_x])[::-1]
        expected = np.array([self.expected(float(value), area) for value in ordered])
        good = np.flatnonzero(expected <= DOUBT * np.arange(1, len(ordered) + 1))
        return float(ordered[good[-1]]) if len(good) else np.inf


def calibrated(
    bank: Bank, power: np.ndarray, ctf: CTFParameters | None, *, detail: float, whiten: bool, seed: int = 0
) -> Calibration:
    """Run a bank over Gaussian noise with the ``power`` of a micrograph (rings from 0 to the Nyquist frequency)."""
    side = int(SIDE * bank.diameter_px)
    white = generator(seed, "noise for picking").normal(size=(side, side)).astype(np.float32)
    k = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    noise = irfft2(rfft2(white) * np.sqrt(power_at(k, power)), s=white.shape)
    highest = scan(filtered(noise.astype(np.float32), bank, power, ctf, detail=detail, whiten=whiten), bank).highest
    ordered = highest[tuple(find_peaks(highest, APART * bank.diameter_px, -np.inf).T)]
    dimensions = 2 + (bank.angles > 1) + 2 * (bank.templates > 1)
    x = max(float(ordered[min(COUNTED, len(ordered)) - 1]), _least_x(dimensions))
    exact = Calibration(
        rate=max(1, int((ordered >= x).sum())) / (side / bank.diameter_px) ** 2 / _tail(x, dimensions),
        low=tuple(np.quantile(highest, LOW).tolist()),
        dimensions=dimensions,
    )
    middles = (np.arange(SCALES) + 0.5) / SCALES
    return replace(exact, scales=tuple(np.quantile(local_noise(highest, exact, bank.diameter_px), middles).tolist()))


def local_noise(highest: np.ndarray, calibration: Calibration, diameter_px: float) -> np.ndarray:
    """Standard deviation of the response in noise at every pixel, (rows, columns)."""
    rows, columns = (np.arange(0.0, n + STEP * diameter_px, STEP * diameter_px) for n in highest.shape)
    expected = np.array(calibration.low)
    scale = np.empty((len(rows), len(columns)))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            level = _low(highest, y, x, LEVEL * diameter_px, whole=True) @ expected / (expected @ expected)
            around = (_low(highest, y, x, width * diameter_px, whole=False) for width in SPREAD)
            spread = max((low[-1] - low[0]) / (expected[-1] - expected[0]) for low in around)
            scale[i, j] = max(level, spread - ALLOWED, 1e-3)
    at = np.meshgrid(*(np.arange(n) / (STEP * diameter_px) for n in highest.shape), indexing="ij")
    return map_coordinates(scale, at, order=1, mode="nearest")


def _low(highest: np.ndarray, y: float, x: float, width: float, *, whole: bool) -> np.ndarray:
    """The quantiles LOW in a square about a place; it is moved to be ``whole``, or cut off at the edge."""
    square = []
    for at, n in zip((y, x), highest.shape, strict=True):
        first = at - 0.5 * width
        moved = np.clip(first, 0.0, max(0.0, n - width)) if whole else first
        square.append(slice(max(0, int(moved)), int(moved + width) + 1, EVERY))
    return np.quantile(highest[tuple(square)], LOW)


def _least_x(dimensions: int) -> float:
    return LEAST_X[min(dimensions - 2, len(LEAST_X) - 1)]


def _tail(x: float, dimensions: int) -> float:
    return float(hermeval(x, [0.0] * (dimensions - 1) + [1.0]) * np.exp(-0.5 * x * x))
