"""Eigenvectors of the covariance of streamed rows: exact, or by randomised subspace iteration where it is large.

Exact: one pass sums up the covariance (p, p), block of images by block, and its eigenvectors follow. Randomised: a
basis of a few more vectors than are wanted begins at random, and every pass multiplies it by the covariance, which is
never formed (Halko, Martinsson, Tropp, SIAM Rev. 53, 217 (2011), section 4.5). Eigenvalues of the restricted covariance
are never larger than the true ones, so a pass too few cannot make a factor significant.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.averages.msa.metric import Metric
from vitreous.matching.workers import ordered_map
from vitreous.randomness import generator

__all__ = [
    "MOST_EXACT",
    "POWER_PASSES",
    "Factors",
    "coordinates_of",
    "exact_factors",
    "random_start",
    "subspace_pass",
    "weighted_blocks",
]

MOST_EXACT = 4096  # pixels whose covariance is formed: 134 MB
POWER_PASSES = 8  # over the rows, where it is not
OVERSAMPLING = 12  # vectors more than are wanted
BLOCK = 1024  # rows that are worked on at a time

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Factors:
    """k eigenvectors (p, k), all eigenvalues that are known (k or p of them, falling), and the sum of all."""

    vectors: np.ndarray
    eigenvalues: np.ndarray
    total: float


def _blocks(rows: np.ndarray) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, len(rows))) for start in range(0, len(rows), BLOCK))


def _weighted(rows: np.ndarray, metric: Metric, part: slice) -> torch.Tensor:
    """sqrt(m w) y of some rows: of the order of the images, so that single precision serves."""
    weight = np.sqrt(len(rows) * metric.weight[part, None]).astype(np.float32)
    return torch.from_numpy(metric.profiles(np.asarray(rows[part]), part) * weight)


def weighted_blocks(rows: np.ndarray, metric: Metric) -> Iterator[torch.Tensor]:
    """What the covariance is the mean square of, sqrt(m w) y (b, p), block by block of rows (m, p)."""
    return (_weighted(rows, metric, part) for part in _blocks(rows))


def exact_factors(rows: np.ndarray, metric: Metric, count: int, threads: int, progress: Progress) -> Factors:
    """The first ``count`` factors of rows (m, p), and all eigenvalues."""
    m, p = rows.shape

    def product(part: slice) -> tuple[slice, torch.Tensor]:
        z = _weighted(rows, metric, part)
        return part, z.T @ z

    covariance = torch.zeros(p, p, dtype=torch.float64)
    for part, block in ordered_map(product, _blocks(rows), threads):
        covariance += block
        progress(part.stop)
    covariance /= m
    values, vectors = torch.linalg.eigh(covariance)
    falling = values.flip(0).clamp_min(0).numpy()
    chosen = vectors.flip(1)[:, :count].numpy()
    return Factors(vectors=_signed(chosen), eigenvalues=falling, total=float(falling.sum()))


def random_start(pixels: int, images: int, count: int, seed: int) -> np.ndarray:
    """(p, l) orthonormal."""
    width = min(count + OVERSAMPLING, pixels, images)
    start = generator(seed, "subspace of the analysis").standard_normal((pixels, width))
    basis: np.ndarray = np.linalg.qr(start)[0]
    return basis


def subspace_pass(
    rows: np.ndarray, metric: Metric, basis: np.ndarray, count: int, threads: int, progress: Progress
) -> tuple[np.ndarray, Factors]:
    """The next basis (p, l), and the first ``count`` factors within this one."""
    q = torch.from_numpy(basis.astype(np.float32))

    def product(part: slice) -> tuple[slice, torch.Tensor, torch.Tensor, float]:
        z = _weighted(rows, metric, part)
        y = z @ q
        return part, (z.T @ y).double(), (y.T @ y).double(), float(z.double().square().sum())

    applied, within, total = torch.zeros(q.shape).double(), torch.zeros(q.shape[1], q.shape[1]).double(), 0.0
    for part, image, inner, square in ordered_map(product, _blocks(rows), threads):
        applied, within, total = applied + image, within + inner, total + square
        progress(part.stop)
    values, turn = torch.linalg.eigh(within / len(rows))
    vectors = basis @ turn.flip(1)[:, :count].numpy()
    falling = values.flip(0).clamp_min(0).numpy()[:count]
    following = torch.linalg.qr(applied / len(rows))[0].numpy()
    return following, Factors(vectors=_signed(vectors), eigenvalues=falling, total=total / len(rows))


def _signed(vectors: np.ndarray) -> np.ndarray:
    """With the largest component of each positive: a factor has no sign of its own."""
    largest = np.abs(vectors).argmax(0)
    sign = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return np.ascontiguousarray(vectors * np.where(sign == 0, 1, sign))


def coordinates_of(
    rows: np.ndarray, metric: Metric, vectors: np.ndarray, threads: int, progress: Progress
) -> np.ndarray:
    """Coordinates (m, k) float64 of all rows on vectors (p, k)."""
    v = torch.from_numpy(vectors.astype(np.float32))

    def product(part: slice) -> tuple[slice, np.ndarray]:
        y = torch.from_numpy(metric.profiles(np.asarray(rows[part]), part))
        return part, (y @ v).double().numpy()

    found = np.empty((len(rows), vectors.shape[1]))
    for part, block in ordered_map(product, _blocks(rows), threads):
        found[part] = block
        progress(part.stop)
    return found
