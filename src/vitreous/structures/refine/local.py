"""Local poses: Levenberg-Marquardt over three rotations and two origins per particle.

The Gauss-Newton matrix H at the maximum is the Fisher information of the pose in the image (the volume taken as known),
so ``H^-1`` is the covariance of rotations and origin; see :mod:`vitreous.structures._kernels.local` for the model.
"""

import math
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import torch

from vitreous.structures._kernels.local import ascend
from vitreous.structures.refine.images import PointImages

__all__ = ["Climb", "LocalPoses", "refine_locally"]

STEPS, TOLERANCE_NATS = 5, 0.02


@dataclass(frozen=True, kw_only=True)
class LocalPoses:
    """m particles at the end of an ascent.

    rotation (m, 3, 3), origin_A (m, 2); gain: (m,) log likelihood less that of an empty image, with the prior on
    origins; information: (m, 5, 5) of small rotations of the image frame in radians and of the origin in Angstrom.
    """

    rotation: np.ndarray
    origin_A: np.ndarray
    gain: np.ndarray
    information: np.ndarray

    def take(self, index: np.ndarray) -> "LocalPoses":
        """Some of the particles."""
        return LocalPoses(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def with_better(self, index: np.ndarray, better: "LocalPoses") -> "LocalPoses":
        """With others in the places ``index``."""
        new = {f.name: getattr(self, f.name).copy() for f in fields(self)}
        for name, values in new.items():
            values[index] = getattr(better, name)
        return LocalPoses(**new)


class Climb(Protocol):
    """From poses of particles to the nearest maxima."""

    def __call__(
        self,
        volume_ft: torch.Tensor,
        images: PointImages,
        rotation: np.ndarray,
        origin_A: np.ndarray,
        *,
        offset_sd_A: float,
    ) -> LocalPoses:
        """As :func:`refine_locally`."""


def refine_locally(
    volume_ft: torch.Tensor,
    images: PointImages,
    rotation: np.ndarray,
    origin_A: np.ndarray,
    *,
    offset_sd_A: float = math.inf,
    steps: int = STEPS,
    tolerance_nats: float = TOLERANCE_NATS,
) -> LocalPoses:
    """The nearest maximum of the log posterior of every particle, from poses (m, 3, 3) and (m, 2).

    volume_ft: a prepared volume with room for the points; offset_sd_A: of the Gaussian prior on origins, per axis;
    steps: most evaluations beyond the first; tolerance_nats: expected gain below which a particle is left.
    """
    m = len(rotation)
    found = LocalPoses(
        rotation=np.array(rotation, np.float64),
        origin_A=np.array(origin_A, np.float64),
        gain=np.empty(m),
        information=np.empty((m, 5, 5)),
    )
    ascend(
        torch.view_as_real(volume_ft).numpy(),
        images.points.plane.numpy(),
        torch.view_as_real(images.x.contiguous()).numpy(),
        images.c.contiguous().numpy(),
        found.rotation,
        found.origin_A,
        images.phase,
        1 / offset_sd_A**2,
        steps,
        tolerance_nats,
        found.gain,
        found.information,
    )
    return found
