"""What factors look like: errors of alignment, differences of contrast, of defocus.

Images that are a little shifted and turned differ, to first order, by the derivatives of their average with respect to
x, y and the angle; images whose contrast differs, by the average itself. An eigenimage within the span of these says
nothing about the particles. Factors whose coordinates follow the defocus speak about the CTF.
"""

import numpy as np

from vitreous.averages.msa.metric import Metric

__all__ = ["Likeness", "likeness_of"]

Likeness = np.ndarray  # (k, 3): shares from 0 to 1 of every factor: alignment, contrast, defocus


def likeness_of(
    average: np.ndarray,
    mask: np.ndarray,
    metric: Metric,
    vectors: np.ndarray,
    coordinates: np.ndarray,
    defocus_A: np.ndarray | None,
) -> Likeness:
    """Share (k, 3) of every factor that derivatives of the average, the average, and the defocus explain.

    average: (p,), pixels within the mask (L, L); vectors (p, k); coordinates (m, k); defocus_A (m,) or None. By chance
    a share is about 3 / p, 1 / p and 1 / m.
    """
    return np.stack(
        [
            _explained(_derivatives(average, mask) / metric.scale, vectors),
            _explained(average[None] / metric.scale, vectors),
            _followed(coordinates, defocus_A),
        ],
        axis=1,
    )


def _derivatives(average: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(3, p) with respect to x, y and the angle; 0 where a neighbour is outside of the mask."""
    n = len(mask)
    full = np.zeros((n, n))
    full[mask] = average
    inner = mask.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(mask, step, axis)
    along_y, along_x = np.gradient(full)
    axis_px = np.arange(n) - n // 2
    turned = axis_px[None, :] * along_y - axis_px[:, None] * along_x
    return np.stack([np.where(inner, image, 0.0)[mask] for image in (along_x, along_y, turned)])


def _explained(directions: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Squared length (k,) of the projections of unit vectors (p, k) on the span of directions (d, p)."""
    length = np.linalg.norm(directions, axis=1)
    some = directions[length > 1e-9 * max(float(length.max()), 1e-300)]
    if len(some) == 0 or not length.max() > 0:
        return np.zeros(vectors.shape[1])
    basis = np.linalg.qr((some / np.linalg.norm(some, axis=1)[:, None]).T)[0]
    found: np.ndarray = ((basis.T @ vectors) ** 2).sum(0)
    return found


def _followed(coordinates: np.ndarray, value: np.ndarray | None) -> np.ndarray:
    """Squared correlation (k,) of coordinates with a value of every image."""
    if value is None or not np.ptp(value) > 0:
        return np.zeros(coordinates.shape[1])
    a, b = coordinates - coordinates.mean(0), value - value.mean()
    norm = (a**2).sum(0) * (b**2).sum()
    found: np.ndarray = (a.T @ b) ** 2 / np.where(norm > 0, norm, 1.0)
    return found
