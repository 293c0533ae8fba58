"""Gibbs sampling of mixtures from positions that are seen completely: point clouds, images, maps.

One step draws, in turn, the assignments of all points, the weights, the precision and the means.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vitreous.conventions import centre_index
from vitreous.matching.workers import at_the_same_time
from vitreous.mixtures._kernels.assign_counts import assign_planes, reach_in_sigmas
from vitreous.mixtures._kernels.share_points import draw_points
from vitreous.mixtures.conditionals import draw_means, draw_precision, draw_weights, squared_distances
from vitreous.mixtures.counts import Counts
from vitreous.mixtures.model import Mixture, require_dimension
from vitreous.mixtures.priors import MixturePrior, log_prior
from vitreous.randomness import generator

__all__ = [
    "Assigned",
    "assign_image",
    "assign_map",
    "assign_points",
    "points_step",
    "run_assignment",
    "single_gaussian_precision",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Assigned:
    """Sufficient statistics of positions assigned to components, and the log likelihood before the assignment."""

    members: np.ndarray  # (K,)
    first_A: np.ndarray  # (K, d) sums of positions
    squares_A2: float  # sum of |x|^2
    log_likelihood: float


def assign_points(
    points_A: np.ndarray, mixture: Mixture, rng: np.random.Generator, *, counts: np.ndarray | None = None
) -> Assigned:
    """Assign points (n, d), each met ``counts`` times (default once), to components at random."""
    points = np.ascontiguousarray(points_A, dtype=np.float64)
    times = np.ones(len(points), np.int64) if counts is None else np.asarray(counts, dtype=np.int64)
    s, d, k = mixture.precision_per_A2, mixture.dimension, len(mixture)
    total = int(times.sum())
    members, first = np.zeros(k), np.zeros((k, d))
    log_total = draw_points(
        points, times, np.log(mixture.weights), mixture.means_A, s, rng.random(total), members, first
    )
    return Assigned(
        members=members,
        first_A=first,
        squares_A2=float(times @ (points**2).sum(axis=1)),
        log_likelihood=float(log_total + 0.5 * d * total * np.log(s / (2 * np.pi))),
    )


def assign_image(data: Counts, mixture: Mixture, rng: np.random.Generator) -> Assigned:
    """Assign the counts of one image to the components of a 2D mixture at random."""
    require_dimension(mixture, 2)
    if len(data.counts) != 1:
        raise ValueError(f"expected the counts of one image, found {len(data.counts)}")
    log_weights = np.log(mixture.weights)[None]
    members, first, log_totals = run_assignment(data, log_weights, mixture.means_A[None], mixture.precision_per_A2, rng)
    scale = np.log(mixture.precision_per_A2 / (2 * np.pi))
    return Assigned(
        members=members[0],
        first_A=first[0],
        squares_A2=float(data.squares_A2[0]),
        log_likelihood=float(log_totals[0] + data.totals[0] * scale),
    )


def assign_map(data: Counts, mixture: Mixture, rng: np.random.Generator) -> Assigned:
    """Assign the counts of a map to the components of a 3D mixture at random, section by section."""
    require_dimension(mixture, 3)
    s, z = mixture.precision_per_A2, data.axis_A(0)
    log_weights = np.log(mixture.weights) - 0.5 * s * (z[:, None] - mixture.means_A[:, 2]) ** 2
    members, first, log_totals = run_assignment(data, log_weights, mixture.means_A[None, :, :2], s, rng)
    scale = 1.5 * np.log(s / (2 * np.pi))
    return Assigned(
        members=members.sum(axis=0),
        first_A=np.concatenate([first.sum(axis=0), (z @ members)[:, None]], axis=1),
        squares_A2=float(data.squares_A2.sum() + data.totals @ z**2),
        log_likelihood=float(log_totals.sum() + data.totals.sum() * scale),
    )


def run_assignment(
    data: Counts,
    log_weights: np.ndarray,
    centres_A: np.ndarray,
    precision: float,
    rng: np.random.Generator,
    *,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts to components in pixels and back: members (n, K), first_A (n, K, 2), log totals (n,).

    log_weights (n, K) or (1, K); centres_A (n, K, 2) or (1, K, 2) x, y from the image centre. Planes are shared out
    among threads; every plane has random numbers of its own, so that the result does not depend on them.
    """
    n, rows, length = data.counts.shape
    pixel = data.pixel_size_A
    k = log_weights.shape[1]
    origin = np.array([centre_index(length), centre_index(rows)], dtype=np.float64)
    members, first = np.zeros((n, k)), np.zeros((n, k, 2))
    seeds = rng.integers(0, 2**64, size=(n,), dtype=np.uint64)
    centres = np.ascontiguousarray(centres_A / pixel + origin)
    log_weights = np.ascontiguousarray(log_weights)

    def assign(part: slice) -> np.ndarray:
        return assign_planes(
            data.counts[part],
            log_weights[part] if len(log_weights) > 1 else log_weights,
            centres[part] if len(centres) > 1 else centres,
            precision * pixel**2,
            reach_in_sigmas(k),
            seeds[part],
            members[part],
            first[part],
        )

    edges = np.linspace(0, n, min(threads, n) + 1).astype(int).tolist()
    parts = [slice(a, b) for a, b in pairwise(edges)]
    log_totals = np.concatenate(at_the_same_time(assign, parts))
    first -= members[:, :, None] * origin
    first *= pixel
    return members, first, log_totals


def points_step(
    assign: Callable[[Mixture, np.random.Generator], Assigned],
    mixture: Mixture,
    prior: MixturePrior,
    *,
    seed: int,
    step: int,
) -> tuple[Mixture, float]:
    """One Gibbs step: (next mixture, log posterior of the mixture that was given).

    ``assign`` is one of the functions above with the data bound: ``partial(assign_map, counts)``. Random numbers depend
    on (seed, step) only.
    """
    rng = generator(seed, "mixture from points", step)
    assigned = assign(mixture, rng)
    members, first = assigned.members, assigned.first_A
    squared = squared_distances(assigned.squares_A2, members, first, mixture.means_A)
    precision = draw_precision(mixture.dimension * members.sum(), squared, prior, rng)
    following = Mixture(
        means_A=draw_means(members, first, precision, prior, rng),
        weights=draw_weights(members, prior, rng),
        precision_per_A2=precision,
    )
    return following, assigned.log_likelihood + log_prior(mixture, prior)


def single_gaussian_precision(squares_A2: float, coordinates: float) -> float:
    """Precision of one isotropic Gaussian about the centre of the box: the default of the prior of the means."""
    return coordinates / squares_A2
