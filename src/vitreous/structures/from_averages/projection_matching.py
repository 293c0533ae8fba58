"""Projection matching from random models: the averages are given to the projections they resemble, again and again.

The oldest of the methods and the frame of others: what differs between them is the start and the choice, which turns
the scores of all orientations into weights. Here all weight is on the best one. Nothing is maximised that is known to
rise, and a wrong start can end in a wrong model (Joubert 2016, section 1.4.3): so a start is the best of a few tries,
by how well the averages agree with their own map, as EMAN2 ranks its tries, and rings are added slowly (25 averages of
Pol II, one data set: one try of three was right after 40 passes, and none of four starts of three tries after 16).

Sources: Penczek, Grassucci and Frank 1994; Sanz-Garcia et al. 2010 (random orientations); Tang et al. 2007 (EMAN2:
filtered noise, here Gaussian blobs within the particle's sphere).
"""

from collections.abc import Callable

import numpy as np
import torch

from vitreous.matching import Choice, best
from vitreous.randomness import generator
from vitreous.rotations import random_rotations
from vitreous.structures.from_averages.fitting import Fit, agreement, map_of, map_of_sums, search
from vitreous.structures.from_averages.settings import ProjectionMatching
from vitreous.structures.from_averages.views import FIRST_RINGS, Views
from vitreous.volumes import masked

__all__ = [
    "SEARCH_RINGS",
    "blobs",
    "matched",
    "passes_over",
    "projection_matching",
    "random_orientations",
    "rings_of_pass",
]

# That averages are searched on at most: more are for the ascent, which is exact and cheaper. With 9 a pass costs three
# times as much, and in the few starts that were compared no more were right (25 averages of Pol II).
SEARCH_RINGS = 6
BLOBS, BLOB_SIZE = 12, 0.12  # their number, and their sigma in parts of the particle's diameter


def projection_matching(views: Views, settings: ProjectionMatching, seed: int, start: int) -> Fit:
    """Poses of all averages, of the best of a few random maps."""
    ends = []
    for number in range(start * settings.tries, (start + 1) * settings.tries):
        if settings.start_from == "blobs":
            volume = blobs(views, seed, number)
        else:
            volume = map_of(views, random_orientations(views, seed, number), FIRST_RINGS)
        ends.append(matched(views, volume, settings.passes, seed=seed, start=number))
    return max(ends, key=lambda end: end[0])[1]


def matched(views: Views, volume: torch.Tensor, passes: int, *, seed: int, start: int) -> tuple[float, Fit]:
    """Poses after projection matching from a map, and the mean correlation of all averages with their own map then."""
    fit = passes_over(views, volume, passes, seed=seed, start=start, choice=lambda done: best)
    own = map_of(views, fit, min(SEARCH_RINGS, views.rings))
    return float(agreement(views, own, fit).mean()), fit


def passes_over(
    views: Views,
    volume: torch.Tensor,
    passes: int,
    *,
    seed: int,
    start: int,
    choice: Callable[[int], Choice],
    exhaustive: bool = False,
) -> Fit:
    """Search, and make the map anew of what ``choice(passes done)`` keeps; the best poses of the last pass."""
    for done in range(passes):
        rings = rings_of_pass(views, done, passes)
        purpose = ("directions", start, done)
        fit, sums = search(views, volume, rings, seed=seed, purpose=purpose, choice=choice(done), exhaustive=exhaustive)
        volume = map_of_sums(views, sums)
    return fit


def rings_of_pass(views: Views, done: int, passes: int) -> int:
    """Rings grow evenly over the first three quarters of the passes, by one at most: a map holds one more to search."""
    last = min(views.rings, SEARCH_RINGS)
    part = min(1.0, done / max(1, 0.75 * passes))
    return max(1, min(last, FIRST_RINGS + min(done, int(part * (last - FIRST_RINGS + 0.999)))))


def random_orientations(views: Views, seed: int, start: int) -> Fit:
    """Uniformly random rotations."""
    number = int(generator(seed, "random orientations", index=start).integers(2**31))
    return Fit.at(random_rotations(len(views), seed=number).numpy())


def blobs(views: Views, seed: int, start: int) -> torch.Tensor:
    """A map (n, n, n) of random Gaussian blobs in the particle's sphere, with room for the first search."""
    side = 2 * (FIRST_RINGS + 1)
    rng = generator(seed, "random blobs", index=start)
    diameter = side * views.data.preparation.particle_diameter_A / views.window_A
    direction = rng.normal(size=(BLOBS, 3))
    reach = 0.35 * diameter * rng.random((BLOBS, 1)) ** (1 / 3)
    centres = direction / np.linalg.norm(direction, axis=1, keepdims=True) * reach
    axis = np.arange(side) - side // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], -1)[None]
    squares = np.square(points - centres[:, None, None, None]).sum(-1)
    volume = np.exp(-squares / (2 * (BLOB_SIZE * diameter) ** 2)).sum(0)
    return masked(torch.from_numpy(volume).float(), views.data.basis)
