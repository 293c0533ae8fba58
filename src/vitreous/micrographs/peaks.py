"""Maxima of a score that keep their distance, to a fraction of a pixel."""

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

__all__ = ["find_peaks", "refined_peaks"]

NEIGHBOURHOOD_PX = 5  # within which a maximum has no higher pixel


def find_peaks(score: np.ndarray, distance_px: float, lowest: float) -> np.ndarray:
    """Local maxima above ``lowest``, (n, 2) rows and columns from the highest down, at least ``distance_px`` apart.

    Of two that are closer the higher one stays; of equal ones the first in the order of rows.
    """
    side = 2 * min(NEIGHBOURHOOD_PX, max(1, int(distance_px / 2))) + 1
    index = np.argwhere((score == maximum_filter(score, side, mode="nearest")) & (score > lowest))
    index = index[np.argsort(-score[tuple(index.T)], kind="stable")]
    kept = np.ones(len(index), bool)
    for i, near in enumerate(cKDTree(index).query_ball_point(index, distance_px) if len(index) else ()):
        if kept[i]:
            kept[[j for j in near if j > i]] = False
    return index[kept]


def refined_peaks(score: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Maxima of parabolas through three pixels along each axis, half a pixel away at most: (n, 2) rows and columns."""
    place = index.astype(np.float64)
    for axis in (0, 1):
        inside = (index[:, axis] > 0) & (index[:, axis] < score.shape[axis] - 1)
        step = np.eye(2, dtype=int)[axis]
        before, at, after = (score[tuple((index[inside] + k * step).T)] for k in (-1, 0, 1))
        bend = before - 2.0 * at + after
        move = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)
        place[inside, axis] += np.clip(move, -0.5, 0.5)
    return place
