"""One step of expectation maximisation, which climbs to the maximum of the posterior for points, images and maps.

A step: responsibilities of all components for all data, then weights, means and precision at their modes. The data
are weighted (a map's values scaled to a number of counts), and each weight counts once. The log posterior increases
with every step.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vitreous.conventions import centre_index
from vitreous.mixtures._kernels.expect_grid import density_and_moments
from vitreous.mixtures._kernels.share_points import share_points
from vitreous.mixtures.conditionals import squared_distances
from vitreous.mixtures.counts import non_negative
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.priors import MixturePrior

__all__ = [
    "Expected",
    "GridData",
    "broad_prior",
    "em_step",
    "expect_grid",
    "expect_points",
    "grid_data",
    "start_at_data",
]

_FAINT_SHARE = 1e-6
_REACH_SIGMAS = 7.0  # cut off at exp(-24.5) of a component's peak: wide, so that few grid points need all components


@dataclass(frozen=True, kw_only=True, eq=False)
class Expected:
    """Expected sufficient statistics; ``total`` is the number of counts, not of points or grid points."""

    members: np.ndarray  # (K,)
    first_A: np.ndarray  # (K, d)
    squares_A2: float
    total: float
    log_likelihood: float


@dataclass(frozen=True, kw_only=True, eq=False)
class GridData:
    """An image or map as weights that sum to the number of counts: float64 (Lz, Ly, Lx), Lz = 1 for an image."""

    values: np.ndarray
    pixel_size_A: float
    dimension: int

    @cached_property
    def points_A(self) -> np.ndarray:
        """Grid points that hold data, (n, d) x, y(, z) from the centre."""
        origin = [centre_index(length) for length in self.values.shape]
        index = np.stack(np.nonzero(self.values), axis=1)
        return (index - origin)[:, ::-1][:, : self.dimension] * self.pixel_size_A

    @cached_property
    def weights(self) -> np.ndarray:
        """The data at these points, (n,)."""
        return self.values[self.values > 0]

    @cached_property
    def squares_A2(self) -> float:
        """Weighted sum of the squares of the points' distances from the centre."""
        return float(self.weights @ (self.points_A**2).sum(axis=1))


def grid_data(values: np.ndarray, pixel_size_A: float, counts: float) -> GridData:
    """Weights of an image [y, x] or a map [z, y, x]; see :func:`vitreous.mixtures.count_map` for the errors."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (2, 3) or values.size == 0:
        raise ValueError(f"expected an image [y, x] or a map [z, y, x], found shape {values.shape}")
    if not counts > 0:
        raise ValueError(f"the number of counts must be positive, found {counts}")
    kept = _without_faint(non_negative(values, "the image" if values.ndim == 2 else "the map"))
    scaled = kept * (counts / kept.sum())
    return GridData(values=scaled.reshape((-1, *values.shape[-2:])), pixel_size_A=pixel_size_A, dimension=values.ndim)


def _without_faint(positive: np.ndarray) -> np.ndarray:
    """Zero at the faintest points that have a millionth of the data together.

    They change nothing, but where no component reaches all of them have to be evaluated: a smooth map, which is nowhere
    exactly zero, would spend nearly all of the time on its empty corners.
    """
    values = np.sort(positive, axis=None)
    faintest_kept = values[np.searchsorted(np.cumsum(values), _FAINT_SHARE * values.sum())]
    return np.where(positive < faintest_kept, 0.0, positive)


def em_step(mixture: Mixture, expected: Expected, prior: MixturePrior) -> Mixture:
    """Mixture at the mode given the expected statistics (the mode of s given the new means, which also increases)."""
    s, r = mixture.precision_per_A2, prior.mean_precision_per_A2
    means = s * expected.first_A / (s * expected.members + r)[:, None]
    weights = expected.members + prior.concentration - 1.0
    squared = squared_distances(expected.squares_A2, expected.members, expected.first_A, means)
    shape = prior.precision_shape + 0.5 * expected.total * mixture.dimension
    return Mixture(
        means_A=means,
        weights=weights / weights.sum(),
        precision_per_A2=(shape - 1.0) / (prior.precision_rate_A2 + 0.5 * squared),
    )


def expect_grid(data: GridData, mixture: Mixture, *, reach_sigmas: float = _REACH_SIGMAS) -> Expected:
    """Responsibilities on a grid; components are cut at ``reach_sigmas`` along every axis.

    The part cut off is exp(-reach^2/2) of a component's peak; grid points that no component reaches are done exactly.
    """
    depth, rows, length = data.values.shape
    origin = np.array([centre_index(length), centre_index(rows), centre_index(depth)], dtype=np.float64)
    k, d, s, pixel = len(mixture), mixture.dimension, mixture.precision_per_A2, data.pixel_size_A
    centres = np.zeros((k, 3))
    centres[:, :d] = mixture.means_A / pixel
    members, first = np.empty(k), np.empty((k, 3))
    log_total = density_and_moments(
        data.values,
        mixture.weights,
        centres + origin,
        s * pixel**2,
        reach_sigmas,
        np.empty_like(data.values),
        members,
        first,
    )
    total = float(data.weights.sum())
    return Expected(
        members=members,
        first_A=(first - members[:, None] * origin)[:, :d] * pixel,
        squares_A2=data.squares_A2,
        total=total,
        log_likelihood=float(log_total + 0.5 * d * total * np.log(s / (2 * np.pi))),
    )


def expect_points(points: np.ndarray, mixture: Mixture, times: np.ndarray) -> Expected:
    """Responsibilities for points (n, d) met ``times`` (n,) times each."""
    s, d, k = mixture.precision_per_A2, mixture.dimension, len(mixture)
    points, times = np.ascontiguousarray(points, np.float64), np.asarray(times, np.float64)
    with np.errstate(divide="ignore"):
        log_weights = np.log(mixture.weights)
    members, first = np.zeros(k), np.zeros((k, d))
    log_total = share_points(points, times, log_weights, mixture.means_A, s, members, first)
    total = float(times.sum())
    return Expected(
        members=members,
        first_A=first,
        squares_A2=float(times @ (points**2).sum(axis=1)),
        total=total,
        log_likelihood=float(log_total + 0.5 * d * total * np.log(s / (2 * np.pi))),
    )


def start_at_data(
    points: np.ndarray, values: np.ndarray, components: int, pixel_size_A: float, rng: np.random.Generator
) -> Mixture:
    """Means drawn from the data; the size such that components fill the volume that holds most of the data."""
    chosen = rng.choice(len(points), size=components, p=values / values.sum())
    means = points[chosen] + rng.uniform(-0.5, 0.5, (components, points.shape[1])) * pixel_size_A
    d = points.shape[1]
    variance = float(values @ ((points - values @ points / values.sum()) ** 2).sum(axis=1)) / (d * values.sum())
    sigma = max(np.sqrt(variance) * components ** (-1.0 / d), 0.5 * pixel_size_A, 1e-3)
    return Mixture(means_A=means, weights=np.full(components, 1.0 / components), precision_per_A2=sigma**-2.0)


def broad_prior(points: np.ndarray, values: np.ndarray) -> MixturePrior:
    """Means as spread out as one Gaussian fitted to the data: points (n, d) met ``values`` (n,) times."""
    squares = float(values @ (points**2).sum(axis=1))
    return MixturePrior(mean_precision_per_A2=points.shape[1] * float(values.sum()) / max(squares, 1e-12))
