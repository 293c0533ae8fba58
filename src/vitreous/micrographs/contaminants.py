"""What is no particle although it stands out: too strong, too weak, or of another mass than its neighbours.

All particles of a micrograph weigh the same, in whatever view: the sum over a projection is that of the map. Ice and
aggregates are heavier and stronger, fragments lighter and weaker. What most picks of the micrograph have in common is
taken for the particle; the distance from it, in robust standard deviations, is taken off the score little by little,
and what is far off is excluded. What is like a particle in part only stands out less than particles do: where the
threshold is chosen, it leaves out what has much less than their usual score.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve
from scipy.spatial import cKDTree

__all__ = ["Oddness", "disc_sum", "hot_spots", "least_score", "oddness"]

ENOUGH = 15  # picks, without which nothing is called odd
MOST = 60  # of the best, from which the usual is learned
TRIMMED, PASSES = 3.5, 4
LEAST_SPREAD = 0.06  # of the logarithm of the response
SPOT, SPOT_PX, SPOT_TIMES = 0.25, 5, 5.0  # diameters about a candidate; hot pixels there; times what is usual
SHARE = 0.6  # of the score that particles have in the middle: what has less is called doubtful
FREE, PRICE, EXCLUDED = 2.5, 0.3, 8.0  # standard deviations that cost nothing; price of one more; too many


@dataclass(frozen=True, kw_only=True, eq=False)
class Oddness:
    """How far n candidates are from what is usual, in robust standard deviations, with its sign."""

    strength: np.ndarray  # (n,) of the response of the matched filter
    mass: np.ndarray  # (n,) of the sum over the particle

    @property
    def price(self) -> np.ndarray:
        """(n,) what is taken off the score."""
        largest = np.maximum(np.abs(self.strength), np.abs(self.mass))
        return PRICE * np.maximum(largest - FREE, 0.0)

    @property
    def reason(self) -> list[str]:
        """For each candidate what is wrong with it; "" where nothing is."""
        words = []
        for strong, heavy in zip(self.strength, self.mass, strict=True):
            if max(strong, heavy) > EXCLUDED:
                words.append("too_strong" if strong >= heavy else "too_heavy")
            elif min(strong, heavy) < -EXCLUDED:
                words.append("too_weak" if strong <= heavy else "too_light")
            else:
                words.append("")
        return words


def disc_sum(image: np.ndarray, diameter_px: float) -> np.ndarray:
    """Sum of the image within the disc of the particle about every pixel."""
    reach = int(diameter_px / 2) + 1
    axis = np.arange(-reach, reach + 1)
    disc = (np.hypot(axis[:, None], axis) <= diameter_px / 2).astype(np.float32)
    return fftconvolve(image, disc, mode="same")


def hot_spots(xy_px: np.ndarray, hot_px: np.ndarray, diameter_px: float, pixels: int) -> np.ndarray:
    """Which places (n, 2) have a cluster of hot pixels near their centre: bool (n,).

    ``hot_px`` (m, 2) are rows and columns; m hot pixels of ``pixels`` that lie anywhere are no cluster. A median of
    nine takes single ones away, and leaves something of what is larger.
    """
    if len(hot_px) < SPOT_PX or not len(xy_px):
        return np.zeros(len(xy_px), dtype=bool)
    radius = SPOT * diameter_px
    near = cKDTree(hot_px[:, ::-1]).query_ball_point(xy_px, radius, return_length=True)
    usual = len(hot_px) * np.pi * radius**2 / pixels
    found: np.ndarray = near >= max(SPOT_PX, SPOT_TIMES * usual)
    return found


def least_score(merit: np.ndarray, known: np.ndarray) -> float:
    """``SHARE`` of the median score, less its price, of those of n candidates that are particles (``known``, bool).

    -inf where these are too few to say.
    """
    return float(SHARE * np.median(merit[known])) if known.sum() >= ENOUGH else -np.inf


def oddness(score: np.ndarray, response: np.ndarray, mass: np.ndarray, known: np.ndarray) -> Oddness:
    """Compare n candidates with the best of those that are no noise (``known``); nothing is odd where these are few."""
    features = np.stack([np.log(np.maximum(response, 1e-3)), mass])
    best = np.sort(score[known])[::-1][:MOST]
    nothing = Oddness(strength=np.zeros(len(score)), mass=np.zeros(len(score)))
    if len(best) < ENOUGH:
        return nothing
    good = known & (score >= best[-1])
    used = good
    for _ in range(PASSES):
        centre = np.median(features[:, used], axis=1, keepdims=True)
        spread = 1.4826 * np.median(np.abs(features[:, used] - centre), axis=1, keepdims=True)
        spread = np.maximum(spread, [[LEAST_SPREAD], [1e-9]])
        away = (features - centre) / spread
        kept = good & (np.abs(away).max(axis=0) < TRIMMED)
        if kept.sum() < ENOUGH:
            break
        used = kept
    return Oddness(strength=away[0], mass=away[1])
