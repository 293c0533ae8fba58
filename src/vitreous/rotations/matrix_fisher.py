"""The matrix Fisher (von Mises-Fisher) distribution on SO(3): ``p(X) ~ exp tr(F^T X)``, sampled exactly.

In the axes of the singular vectors of F the exponent is a diagonal quadratic form in the quaternion of X, so the
quaternion has a Bingham distribution. That one is sampled by rejection from an angular central Gaussian (Kent,
Ganeiban and Mardia, "A new unified approach for the simulation of a wide class of directional distributions", 2018),
which accepts about half of its proposals at any concentration.
"""

import numpy as np
import torch

from vitreous.rotations.sampling import quaternions_to_matrices

__all__ = ["proper_svd", "sample_matrix_fisher"]

_DIMENSION = 4  # of quaternions
_NEWTON_STEPS = 8
_AT_ONCE = 4  # proposals, the first of which that is accepted is taken


def proper_svd(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(U, d, V) with ``F = U diag(d) V^T``, U and V rotations and d1 >= d2 >= |d3|: (..., 3, 3), (..., 3), (..., 3, 3).

    ``U V^T`` is the rotation that maximises ``tr(F^T X)``.
    """
    u, d, vt = np.linalg.svd(matrices)
    v = np.swapaxes(vt, -1, -2).copy()
    sign_u, sign_v = np.sign(np.linalg.det(u)), np.sign(np.linalg.det(v))
    u[..., 2] *= sign_u[..., None]
    v[..., 2] *= sign_v[..., None]
    d[..., 2] *= sign_u * sign_v
    return u, d, v


def sample_matrix_fisher(parameters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One rotation from ``p(X) ~ exp tr(F^T X)`` for every F (n, 3, 3): float64 (n, 3, 3).

    F = 0 is uniform on SO(3). Raises ValueError where F is not finite or not of that shape.
    """
    parameters = np.asarray(parameters, dtype=np.float64)
    if parameters.ndim != 3 or parameters.shape[1:] != (3, 3) or not np.isfinite(parameters).all():
        raise ValueError(f"matrix Fisher parameters: expected finite (n, 3, 3), found shape {parameters.shape}")
    u, d, v = proper_svd(parameters)
    d1, d2, d3 = d.T
    rates = 2.0 * np.stack([np.zeros_like(d1), d2 + d3, d1 + d3, d1 + d2], axis=1)
    inner = quaternions_to_matrices(torch.from_numpy(_sample_bingham(rates, rng))).numpy()
    return u @ inner @ np.swapaxes(v, -1, -2)


def _sample_bingham(rates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors x (n, 4) with density ~ exp(-sum rates x^2); rates (n, 4) are non-negative, the first is 0."""
    b = _envelope(rates)
    omega = 1.0 + 2.0 * rates / b[:, None]
    log_bound = 0.5 * (b - _DIMENSION) + 0.5 * _DIMENSION * np.log(_DIMENSION / b)
    out = np.empty_like(rates)
    waiting = np.arange(len(rates))
    while len(waiting):
        x = rng.standard_normal((len(waiting), _AT_ONCE, _DIMENSION)) / np.sqrt(omega[waiting, None])
        x /= np.linalg.norm(x, axis=2, keepdims=True)
        square = x * x
        log_target = -(square @ rates[waiting, :, None])[:, :, 0]
        log_proposal = -0.5 * _DIMENSION * np.log((square @ omega[waiting, :, None])[:, :, 0])
        noise = -rng.standard_exponential(log_target.shape)
        accepted = noise < log_target - log_proposal - log_bound[waiting, None]
        found = accepted.any(axis=1)
        out[waiting[found]] = x[found, accepted[found].argmax(axis=1)]
        waiting = waiting[~found]
    return out


def _envelope(rates: np.ndarray) -> np.ndarray:
    """The best b of the angular central Gaussian: sum 1 / (b + 2 rate) = 1, with 1 <= b <= 4.

    The sum is convex in b and at least 1 at b = 1, so that Newton's method climbs to the root from there.
    """
    b = np.ones(len(rates))
    for _ in range(_NEWTON_STEPS):
        inverse = 1.0 / (b[:, None] + 2.0 * rates)
        b += (inverse.sum(axis=1) - 1.0) / (inverse * inverse).sum(axis=1)
    return b
