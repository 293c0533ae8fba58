"""Real spherical harmonics, and what a rotation makes of coefficients in them.

``Y_lm`` with m = -l ... l in this order: ``K P_l^m(cos theta)`` times ``sqrt(2) cos(m phi)`` for m > 0, 1 for m = 0 and
``sqrt(2) sin(|m| phi)`` for m < 0, without Condon and Shortley's sign; orthonormal on the sphere. The function
``f(R^-1 r)`` has the coefficients ``D_l(R) a_l``. About z a rotation mixes m and -m alone, and ``Ry(b) = Q Rz(b) Q^T``
where Q takes z to y: so all rotations follow from that of one Q for every degree (Pinchon and Hoggan 2007).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = ["invariants", "rotate_harmonics", "sphere_quadrature", "spherical_harmonics"]

_Z_TO_Y = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
_INVARIANT = 0.5  # eigenvalues of a projector are 0 or 1


def spherical_harmonics(directions: np.ndarray, degree: int) -> list[np.ndarray]:
    """Values at unit vectors (n, 3) of the harmonics of degrees 0 ... ``degree``: of degree l (n, 2 l + 1)."""
    x, y, z = np.asarray(directions, np.float64).T
    across = np.hypot(x, y)
    phi = np.arctan2(y, x)
    out = [np.empty((len(z), 2 * l + 1)) for l in range(degree + 1)]
    diagonal = np.full(len(z), np.sqrt(0.25 / np.pi))  # normalised P_m^m, by recursion
    for m in range(degree + 1):
        if m:
            diagonal = diagonal * across * np.sqrt((2 * m + 1) / (2 * m))
        before, here = np.zeros_like(z), diagonal
        cosine, sine = (np.sqrt(2.0) * f(m * phi) for f in (np.cos, np.sin))
        for l in range(m, degree + 1):
            if m:
                out[l][:, l + m], out[l][:, l - m] = here * cosine, here * sine
            else:
                out[l][:, l] = here
            a = np.sqrt(((2 * l + 1) * (2 * l + 3)) / ((l + 1 - m) * (l + 1 + m)))
            b = np.sqrt(((2 * l + 3) * (l - m) * (l + m)) / ((2 * l - 1) * (l + 1 - m) * (l + 1 + m))) if l > m else 0.0
            before, here = here, a * z * here - b * before
    return out


def sphere_quadrature(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions (n, 3) and weights (n,) that integrate products of two harmonics up to ``degree`` exactly."""
    z, weight = np.polynomial.legendre.leggauss(degree + 1)
    count = 2 * degree + 2
    phi = 2 * np.pi * np.arange(count) / count
    across = np.sqrt(1 - z * z)[:, None]
    points = np.stack(np.broadcast_arrays(across * np.cos(phi), across * np.sin(phi), z[:, None]), -1).reshape(-1, 3)
    return points, np.repeat(weight * 2 * np.pi / count, count)


def rotate_harmonics(coefficients: Sequence[np.ndarray], rotations: np.ndarray) -> list[np.ndarray]:
    """Coefficients of ``f(R^-1 r)`` for rotations (b, 3, 3).

    coefficients: of degree l (2 l + 1, c), of c functions, or (b, 2 l + 1, c), of others for every rotation. Result: of
    degree l (b, 2 l + 1, c).
    """
    r = np.asarray(rotations, np.float64)
    across = np.hypot(r[:, 0, 2], r[:, 1, 2])
    pole = across < 1e-12
    first = np.where(pole, 0.0, np.arctan2(r[:, 1, 2], r[:, 0, 2]))
    tilt = np.arctan2(across, r[:, 2, 2])
    last = np.where(pole, np.arctan2(r[:, 1, 0], r[:, 1, 1]), np.arctan2(r[:, 2, 1], -r[:, 2, 0]))
    out = []
    for l, values in enumerate(coefficients):
        turn = _z_to_y(l)
        about_z = _about_z(np.broadcast_to(values, (len(r), *values.shape[-2:])), last, l)
        out.append(_about_z(turn @ _about_z(turn.T @ about_z, tilt, l), first, l))
    return out


def invariants(group: np.ndarray, degree: int) -> list[np.ndarray]:
    """What a point group (m, 3, 3) leaves as it is: orthonormal columns (2 l + 1, k_l) for degrees 0 ... ``degree``."""
    out = []
    for turned in rotate_harmonics([np.eye(2 * l + 1) for l in range(degree + 1)], group):
        values, vectors = np.linalg.eigh((turned + turned.swapaxes(1, 2)).mean(0) / 2)
        out.append(vectors[:, values > _INVARIANT])
    return out


def _about_z(values: np.ndarray, angle: np.ndarray, l: int) -> np.ndarray:
    """Coefficients (b, 2 l + 1, c) turned about z by angles (b,)."""
    phase = np.abs(np.arange(-l, l + 1)) * angle[:, None]
    sign = np.sign(np.arange(-l, l + 1))  # (cos, sin) -> (c cos - s sin, s cos + c sin)
    return np.asarray(np.cos(phase)[..., None] * values - (sign * np.sin(phase))[..., None] * values[:, ::-1])


@lru_cache(maxsize=64)
def _z_to_y(l: int) -> np.ndarray:
    """D_l(Q), (2 l + 1, 2 l + 1)."""
    points, weight = sphere_quadrature(l)
    turned = spherical_harmonics(points @ _Z_TO_Y, l)[l]  # Y(Q^-1 r)
    return np.asarray(spherical_harmonics(points, l)[l].T @ (weight[:, None] * turned))
