"""Particles into the sums of a volume: at their best poses, or spread over what is not known of them.

MAP-EM inserts a particle at all poses under their posterior. Around a refined pose this is nearly Gaussian with the
inverse of the information matrix as covariance, so a few points with the same mean and covariance stand for it: the
fraction of the 2^5 design with x4 = x1 x2 and x5 = x1 x3, whose eight points of five signs have mean zero and unit
covariance, taken along the columns of a square root of the covariance. Third moments, which the eight points have,
cancel between particles with even and with odd numbers, since these take the points with opposite signs.
"""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from vitreous.structures._kernels.insert import add_particles
from vitreous.structures.refine.images import PointImages
from vitreous.volumes import VolumeSums

__all__ = ["covariance", "insert", "posterior_points"]

MOST_SD_RAD, MOST_SD_A = 0.15, 10.0  # wider posteriors are no Gaussians around one pose
_SIGNS = np.array([[a, b, c, a * b, a * c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], np.float64)


def covariance(information: np.ndarray) -> np.ndarray:
    """Posterior covariance (m, 5, 5) of rotations in radians and origins in Angstrom, from the information.

    A weak Gaussian prior with the widest standard deviations that are meaningful keeps it finite.
    """
    weakest = np.diag([MOST_SD_RAD**-2] * 3 + [MOST_SD_A**-2] * 2)
    return np.linalg.inv(information + weakest)


def posterior_points(
    particle: np.ndarray, rotation: np.ndarray, origin_A: np.ndarray, information: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Eight poses (m, 8, 3, 3), (m, 8, 2) with mean and covariance of the posteriors of m particles."""
    root = np.linalg.cholesky(covariance(information))
    sign = np.where(particle % 2, -1.0, 1.0)
    offsets = sign[:, None, None] * np.einsum("nab,jb->nja", root, _SIGNS)
    turns = Rotation.from_rotvec(offsets[..., :3].reshape(-1, 3)).as_matrix().reshape(len(rotation), -1, 3, 3)
    return rotation[:, None] @ turns, origin_A[:, None] + offsets[..., 3:]


def insert(
    sums: VolumeSums, images: PointImages, rotation: np.ndarray, origin_A: np.ndarray, weight: np.ndarray | None = None
) -> None:
    """Add m particles to the sums, in place, each at J poses (m, J, 3, 3), (m, J, 2) of equal weight.

    weight: (m,) of the particles, None for 1.
    """
    count, poses = rotation.shape[:2]
    each = np.ones(count) if weight is None else weight
    add_particles(
        torch.view_as_real(sums.numerator).numpy(),
        sums.denominator.numpy(),
        images.points.plane.numpy(),
        torch.view_as_real(images.x.contiguous()).numpy(),
        images.c.contiguous().numpy(),
        rotation.astype(np.float32),
        origin_A.astype(np.float32),
        (each / poses).astype(np.float32),
        images.phase,
    )
