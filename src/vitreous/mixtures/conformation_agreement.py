"""Do two sets of labels and poses of the same images describe the same conformations, but for frames and hands?"""

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from vitreous.mixtures.conformations import PosedMixtures
from vitreous.rotations import Agreement, compare_poses

__all__ = ["compare_conformations"]


def compare_conformations(
    first: PosedMixtures, second: PosedMixtures, *, group: np.ndarray, within_deg: float
) -> Agreement:
    """As :func:`vitreous.rotations.compare_poses`, with labels: an image agrees in conformation and in pose.

    Every conformation of the first is paired with one of the second, such that most images agree; each pair has a
    rotation and a hand of its own, and those of the pair with most images are given.
    """
    count = len(first.mixtures)
    pairs, images = {}, np.zeros((count, count))
    for a, b in np.ndindex(count, count):
        rows = (first.labels == a) & (second.labels == b)
        if rows.any():
            pairs[a, b] = compare_poses(
                first.rotations[rows], second.rotations[rows], group=group, within_deg=within_deg
            )
            images[a, b] = pairs[a, b].agrees.sum()
    agrees = np.zeros(len(first.labels), bool)
    matched = [pair for pair in zip(*linear_sum_assignment(-images), strict=True) if pair in pairs]
    for a, b in matched:
        agrees[(first.labels == a) & (second.labels == b)] = pairs[a, b].agrees
    largest = pairs[max(matched, key=lambda pair: images[pair])]
    return replace(largest, fraction=float(agrees.mean()), agrees=agrees)
