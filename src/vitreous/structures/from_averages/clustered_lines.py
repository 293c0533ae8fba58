"""Many models from common lines, of which those that agree are averaged: what OptiMod does.

Common lines of a few averages give a right model sometimes; wrong ones differ from each other. So many models are made,
each from the common lines of a random subset; they are aligned in pairs over both hands, clustered, and the mean of a
cluster is refined by projection matching (Lyumkis, Vinzant, Penczek and Carragher 2013, who align maps and cluster them
by multivariate statistics). Here every model first gives poses to all averages, those of its subset and others alike:
two models are as similar as the share of averages whose poses agree once both are in one frame, beyond chance, and the
mean of a cluster is the map of all averages in the poses of all its members. Clusters are those of average linkage.
"""

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from vitreous.randomness import generator
from vitreous.rotations import compare_poses, mirrored_poses
from vitreous.structures.from_averages.common_lines import common_lines
from vitreous.structures.from_averages.fitting import Fit, map_of, map_of_sums, search
from vitreous.structures.from_averages.projection_matching import matched
from vitreous.structures.from_averages.settings import ClusteredLines, CommonLines, shared_settings
from vitreous.structures.from_averages.views import FIRST_RINGS, Views
from vitreous.structures.refine.insertion import insert
from vitreous.volumes import zero_volume_sums

__all__ = ["clustered_lines", "clusters_of"]

LINE_STEP_DEG = 6.0
FEWEST = 5  # averages in a subset
MODEL_RINGS = 6
ALIKE = 0.4  # share of poses, beyond chance, at which average linkage is cut


def clustered_lines(views: Views, settings: ClusteredLines, seed: int, start: int) -> Fit:
    """Poses of all averages: of the best refined cluster."""
    rng = generator(seed, "clustered lines", index=start)
    size = min(len(views), max(FEWEST, round(settings.share * len(views))))
    lines = shared_settings(CommonLines, settings, line_step_deg=LINE_STEP_DEG)
    models: list[Fit] = []
    for _ in range(max(1, settings.models // settings.restarts)):
        subset = np.sort(rng.permutation(len(views))[:size])
        part = views.take(subset)
        found = common_lines(part, lines, int(rng.integers(2**31)), start)
        volume = map_of(part, found, min(MODEL_RINGS, views.rings))
        models.append(_all_poses(views, volume, seed, start, len(models)))
    group = views.group.double().numpy()
    ends = []
    for members in clusters_of([m.rotation for m in models], group, settings.agreement_deg)[: settings.refined]:
        volume = _mean(views, [models[m] for m in members], settings.agreement_deg)
        ends.append(matched(views, volume, settings.passes, seed=seed, start=start))
    return max(ends, key=lambda end: end[0])[1]


def _all_poses(views: Views, volume: torch.Tensor, seed: int, start: int, number: int) -> Fit:
    rings = min(MODEL_RINGS, views.rings)
    fit, _ = search(views, volume, rings, seed=seed, purpose=("clustered lines", start, number))
    return fit


def clusters_of(rotations: list[np.ndarray], group: np.ndarray, within_deg: float) -> list[np.ndarray]:
    """Members of every cluster of models, the largest cluster first, in each the most typical model first.

    rotations: of every model, (n, 3, 3) of the same averages; group: (g, 3, 3).
    """
    count = len(rotations)
    alike = np.eye(count)
    for i in range(count):
        for j in range(i):
            both = compare_poses(rotations[i], rotations[j], group=group, within_deg=within_deg, chance=True)
            alike[i, j] = alike[j, i] = max(both.beyond_chance, 0.0)
    if count == 1:
        return [np.zeros(1, np.int64)]
    label = fcluster(linkage(squareform(1 - alike, checks=False), "average"), 1 - ALIKE, "distance")
    found = [np.flatnonzero(label == one) for one in np.unique(label)]
    found = [members[np.argsort(-alike[np.ix_(members, members)].sum(1), kind="stable")] for members in found]
    return sorted(found, key=lambda members: (-len(members), members[0]))


def _mean(views: Views, models: list[Fit], within_deg: float) -> torch.Tensor:
    """The map of all averages in the poses of all models, in the frame and hand of the first."""
    group, turned = views.group.double().numpy(), [models[0].rotation]
    for one in models[1:]:
        frame = compare_poses(one.rotation, models[0].rotation, group=group, within_deg=within_deg)
        turned.append(frame.rotation @ (mirrored_poses(one.rotation) if frame.other_hand else one.rotation))
    sums = zero_volume_sums(FIRST_RINGS)
    origins = np.stack([one.origin_A for one in models], 1)
    insert(sums, views.images_at(FIRST_RINGS), np.stack(turned, 1), origins)
    return map_of_sums(views, sums)
