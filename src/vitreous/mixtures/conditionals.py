"""The conditional distributions of the Gibbs samplers, as functions of sufficient statistics.

Notation: image i, component k, s the precision, r the precision of the prior of the means. With counts assigned to
components, ``members`` N are the counts of component k in image i, ``first`` nu the sums of their positions. A pose is
G of :mod:`vitreous.conventions`: a component appears at ``m = G^T mu + (t, 0)``, of which an image shows x and y.
Positions in image i have two coordinates, or three once the missing ones have been drawn.

Equations of Joubert (2016), chapter 2 and appendices B and C, as derived anew: positions in the missing direction are
drawn about the current centre, and means and precision use them only where they must.
"""

import numpy as np

from vitreous.mixtures.priors import MixturePrior

__all__ = [
    "draw_means",
    "draw_means_from_views",
    "draw_missing",
    "draw_missing_sums",
    "draw_offsets",
    "draw_precision",
    "draw_weights",
    "rotation_parameters",
    "squared_distances",
]


def draw_weights(members: np.ndarray, prior: MixturePrior, rng: np.random.Generator) -> np.ndarray:
    """w ~ Dirichlet(N_k + alpha0); members (K,)."""
    return rng.dirichlet(members + prior.concentration)


def squared_distances(squares: float, members: np.ndarray, first: np.ndarray, centres: np.ndarray) -> float:
    """Sum over counts of |x - m|^2 = sum |x|^2 - 2 sum nu . m + sum N |m|^2; members (...), first, centres (..., d)."""
    return float(squares + np.vdot(members[..., None] * centres - 2.0 * first, centres))


def draw_precision(coordinates: float, squared: float, prior: MixturePrior, rng: np.random.Generator) -> float:
    """s ~ Gamma(a + coordinates / 2, b + squared / 2).

    ``coordinates`` is the number of coordinates that ``squared`` is a sum over: d N for N points in d dimensions. For
    projections 2 N leaves the missing direction out (integrated), 3 N takes it in with tau added to ``squared``.
    """
    shape = prior.precision_shape + 0.5 * coordinates
    rate = prior.precision_rate_A2 + 0.5 * squared
    return float(rng.gamma(shape) / rate)


def draw_means(
    members: np.ndarray, first: np.ndarray, precision: float, prior: MixturePrior, rng: np.random.Generator
) -> np.ndarray:
    """mu_k ~ N(s nu_k / (s N_k + r), 1 / (s N_k + r)) from complete positions; members (K,), first (K, d)."""
    total = (precision * members + prior.mean_precision_per_A2)[:, None]
    return precision * first / total + rng.standard_normal(first.shape) / np.sqrt(total)


def draw_means_from_views(
    members: np.ndarray,
    first: np.ndarray,
    rotations: np.ndarray,
    precision: float,
    prior: MixturePrior,
    rng: np.random.Generator,
) -> np.ndarray:
    """mu_k from projections with the missing direction integrated out: (K, 3).

    members (n, K); first (n, K, 2), with offsets taken off; rotations (n, 3, 3). Gaussian with precision matrix
    ``r + s sum_i N_ik P_i``, where ``P_i`` projects on the image plane of view i, linear term ``s sum_i G_i nu_ik``.
    Without the missing coordinates in the chain a mean moves freely in one step.
    """
    planes = rotations[:, :, :2]
    projectors = (planes @ planes.swapaxes(1, 2)).reshape(-1, 9)
    matrix = precision * (members.T @ projectors).reshape(-1, 3, 3) + prior.mean_precision_per_A2 * np.eye(3)
    linear = precision * first.swapaxes(0, 1).reshape(first.shape[1], -1) @ planes.swapaxes(1, 2).reshape(-1, 3)
    factor = np.linalg.cholesky(matrix)  # L L^T; (L L^T)^-1 L noise = L^-T noise has the right covariance
    noise = factor @ rng.standard_normal((len(linear), 3, 1))
    return np.linalg.solve(matrix, linear[:, :, None] + noise)[:, :, 0]


def draw_missing_sums(
    members: np.ndarray, centres: np.ndarray, precision: float, rng: np.random.Generator
) -> np.ndarray:
    """nu^m_k ~ N(N_k m_k, N_k / s), sums of the missing coordinates of every component; members and centres (...)."""
    return members * centres + np.sqrt(members / precision) * rng.standard_normal(members.shape)


def draw_missing(
    members: np.ndarray, centres: np.ndarray, precision: float, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """(nu^m, tau): the sums, and the sum of the missing coordinates' squares about the centres.

    ``tau = sum_k (nu^m_k - N_k m_k)^2 / N_k + chi2(N_k - 1) / s``; the chi-squared numbers are drawn as one.
    """
    sums = draw_missing_sums(members, centres, precision, rng)
    occupied = members > 0
    about = sums[occupied] - members[occupied] * centres[occupied]
    degrees = float((members[occupied] - 1.0).sum())
    rest = 2.0 * rng.gamma(0.5 * degrees) / precision if degrees > 0 else 0.0
    return sums, float((about**2 / members[occupied]).sum() + rest)


def rotation_parameters(first: np.ndarray, missing: np.ndarray, means_A: np.ndarray, precision: float) -> np.ndarray:
    """F_i of ``p(G_i) ~ exp tr(F_i^T G_i)``: s sum_k mu_k nu_ik^T, (n, 3, 3).

    ``first`` (n, K, 2) less the offsets; ``missing`` (n, K), sums of the third coordinate.
    """
    planes = means_A.T @ first
    return precision * np.concatenate([planes, (missing @ means_A)[:, :, None]], axis=2)


def draw_offsets(
    members: np.ndarray,
    residuals: np.ndarray,
    precision: float,
    offset_precision: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """t_i ~ N(s residual_i / (s N_i + r_t), 1 / (s N_i + r_t)): (n, 2).

    members (n,) counts of the images; residuals (n, 2) sums over their counts of x - G^T mu.
    """
    total = (precision * members + offset_precision)[:, None]
    return precision * residuals / total + rng.standard_normal(residuals.shape) / np.sqrt(total)
