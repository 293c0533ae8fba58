"""Random consensus: many small subsets in random orientations, of which the best few are refined.

A handful of averages in random orientations makes a bad map, but among hundreds of them some are nearly right. Each is
judged by how well all averages, those that it was not made of among them, agree with its projections at few rings; the
best ones are refined by projection matching, and the best of these is the end of the start. Subsets are spread over the
different views: averages that resemble each other seldom fall into the same one, which Vargas et al. (2014) reach by a
map of all averages in two dimensions, and we by a walk: each further average is the one of ``AMONG`` random ones that
is least like those already chosen, by the power of their angular harmonics, which turning does not change.
"""

import numpy as np

from vitreous.randomness import generator
from vitreous.rotations import random_rotations
from vitreous.structures.from_averages.fitting import Fit, agreement, map_of, search
from vitreous.structures.from_averages.projection_matching import matched
from vitreous.structures.from_averages.settings import Ransac
from vitreous.structures.from_averages.views import FIRST_RINGS, Views

__all__ = ["ransac", "spread_subset"]

AMONG = 3


def ransac(views: Views, settings: Ransac, seed: int, start: int) -> Fit:
    """Poses of all averages: of the best refined subset."""
    rng = generator(seed, "subsets", index=start)
    features = _features(views)
    tried = []
    for number in range(max(1, settings.subsets // settings.restarts)):
        size = int(rng.integers(settings.fewest, settings.most + 1))
        chosen = spread_subset(features, min(size, len(views)), rng)
        rotations = random_rotations(len(chosen), seed=int(rng.integers(2**31))).numpy()
        volume = map_of(views.take(chosen), Fit.at(rotations), FIRST_RINGS)
        fit, _ = search(views, volume, FIRST_RINGS, seed=seed, purpose=("subsets", start, number))
        tried.append((float(agreement(views, volume, fit).mean()), number, volume))
    tried.sort(key=lambda one: -one[0])
    each = max(1, -(-settings.refined // settings.restarts))
    ends = [matched(views, volume, settings.passes, seed=seed, start=start) for _, _, volume in tried[:each]]
    return max(ends, key=lambda end: end[0])[1]


def _features(views: Views) -> np.ndarray:
    """Amplitudes of the first rings' harmonics, (n, p), of norm 1."""
    amplitude = views.harmonics[:, :FIRST_RINGS].abs() / views.sigma2[:FIRST_RINGS, None].sqrt()
    flat = amplitude.flatten(1)
    return np.asarray((flat / flat.norm(dim=1, keepdim=True)).numpy())


def spread_subset(features: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Indices (size,) of different averages that are unlike each other; features (n, p) of norm 1."""
    chosen = [int(rng.integers(len(features)))]
    while len(chosen) < size:
        left = np.setdiff1d(np.arange(len(features)), chosen)
        candidates = rng.choice(left, min(AMONG, len(left)), replace=False)
        likeness = (features[candidates] @ features[chosen].T).max(axis=1)
        chosen.append(int(candidates[likeness.argmin()]))
    return np.array(chosen)
