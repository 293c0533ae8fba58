"""All orientations at once from the common lines of all pairs: voting, eigenvectors, least unsquared deviations.

*Voting.* Most common lines of noisy images are wrong. The angle theta_ij between the planes of images i and j follows
from their common lines with any third image; right ones agree about it and wrong ones do not, so it is where most of
the third images are (Singer, Coifman, Sigworth, Chester and Shkolnisky 2010).

*Eigenvectors.* ``G_i^T G_j = Rz(alpha_ij) Rx(+-theta) Rz(-beta_ij)``. The sign is the hand, which each pair has by
itself; the upper left 2 x 2 block does not depend on it: ``rot(alpha) diag(1, cos theta) rot(-beta)``. The matrix of
all blocks has rank 3, its column space is spanned by the first two columns of all G, and where only some pairs are
right it is found by the three first eigenvectors, weighted by what the votes say of each pair (Shkolnisky and Singer
2012). The rows v of these belong to columns ``A v`` of rotations: ``v1^T Q v1 = v2^T Q v2 = 1, v1^T Q v2 = 0`` are
linear equations for ``Q = A^T A``.

*Least unsquared deviations* (Wang, Singer and Wen 2013): from there ``sum w_ij |G_i c_ij - G_j c_ji|`` is made smaller,
c_ij being the common line in image i. Lines that are wrong count by their distance, not by its square. By iteratively
reweighted least squares, whose step has a closed form for one image given the others: the nearest orthonormal pair of
columns (a polar decomposition) to the weighted sum of where the others have the lines.
"""

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from vitreous.structures._kernels.lines import triangle_bins, unsquared_step, vote
from vitreous.structures.from_averages.lines import PairLines

__all__ = ["pair_votes", "rotations_by_eigenvectors", "unsquared"]

BINS, WIDTH = 60, 1.5  # of the histogram of angles, and its smoothing in bins
LEAST_WEIGHT = 1e-4  # of a pair without votes: of one view alone, nothing else is known
LEAST_DISTANCE = 0.05  # of two unit vectors: smaller distances count alike
ROUNDS, SETTLED = 40, 1e-4  # steps of reweighted least squares, and the gain of a step below which they end


def pair_votes(lines: PairLines, thirds: int) -> tuple[np.ndarray, np.ndarray]:
    """(cosine of the angle between the planes, weight) of all pairs, (n, n) both."""
    shape = lines.line.shape
    cosine, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    vote(lines.line, triangle_bins(lines.half, BINS), thirds, BINS, WIDTH, cosine, weight)
    return cosine, weight


def rotations_by_eigenvectors(lines: PairLines, cosine: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) of all images."""
    n, weight = len(weight), weight + LEAST_WEIGHT
    matrix = _blocks(lines.angle_rad.astype(np.float32), cosine, weight)
    scale = 1 / np.sqrt(np.repeat(weight.sum(1) + 1e-6, 2))
    operator = LinearOperator(
        matrix.shape, matvec=lambda x: scale * (matrix @ (scale * x.ravel()).astype(np.float32)), dtype=np.float64
    )
    first = np.cos(np.arange(2 * n) * 1.234)  # any start without symmetry: the result does not depend on it
    _, vectors = eigsh(operator, k=3, which="LA", v0=first, tol=1e-5)
    return _columns_to_rotations((vectors * scale[:, None]).reshape(n, 2, 3))


def _blocks(angle: np.ndarray, cosine: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The symmetric (2n, 2n) matrix of weighted blocks."""
    n = len(weight)
    ca, sa = np.cos(angle), np.sin(angle)
    cb, sb = ca.T, sa.T
    out = np.empty((n, 2, n, 2), np.float32)
    out[:, 0, :, 0] = weight * (ca * cb + cosine * sa * sb)
    out[:, 0, :, 1] = weight * (ca * sb - cosine * sa * cb)
    out[:, 1, :, 0] = weight * (sa * cb - cosine * ca * sb)
    out[:, 1, :, 1] = weight * (sa * sb + cosine * ca * cb)
    return out.reshape(2 * n, 2 * n)


def _columns_to_rotations(rows: np.ndarray) -> np.ndarray:
    """Rows (n, 2, 3) of the eigenvectors, of which two columns of every rotation are one linear image."""
    first, second = rows[:, 0], rows[:, 1]
    upper = np.triu_indices(3)

    def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        both = a[:, :, None] * b[:, None, :]
        both = both + both.swapaxes(1, 2)
        both[:, range(3), range(3)] /= 2
        return both[:, upper[0], upper[1]]

    # Lengths are equal rather than 1, so that images with few votes do not count less; the scale is fixed by the mean.
    equal, across = products(first, first) - products(second, second), products(first, second)
    lengths = (products(first, first) + products(second, second)).mean(0)[None] * len(rows)
    equations = np.concatenate([equal, across, lengths])
    wanted = np.concatenate([np.zeros(2 * len(rows)), [2.0 * len(rows)]])
    q = np.zeros((3, 3))
    q[upper] = np.linalg.lstsq(equations, wanted, rcond=None)[0]
    q = q + np.triu(q, 1).T
    values, axes = np.linalg.eigh(q)
    root = (axes * np.sqrt(values.clip(min=1e-6 * abs(values).max()))) @ axes.T
    return _nearest(np.einsum("ab,ncb->nac", root, rows))


def _nearest(columns: np.ndarray) -> np.ndarray:
    """The rotations (n, 3, 3) whose first two columns are nearest to (n, 3, 2)."""
    u, _, v = np.linalg.svd(columns, full_matrices=False)
    pair = u @ v
    return np.concatenate([pair, np.cross(pair[:, :, 0], pair[:, :, 1])[:, :, None]], axis=2)


def unsquared(lines: PairLines, weight: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotations (n, 3, 3) of smaller deviation, and the mean deviation (of unit vectors) where it was measured last."""
    angle, sums = lines.angle_rad, np.empty((len(rotation), 3, 2))
    before = np.inf
    for _ in range(ROUNDS):
        deviation = unsquared_step(angle, weight, np.ascontiguousarray(rotation), LEAST_DISTANCE, sums)
        if before - deviation < SETTLED * deviation:
            break
        before, rotation = deviation, _nearest(sums)
    return rotation, float(deviation)
