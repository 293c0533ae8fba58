"""How well the views of a set of images cover the directions of Fourier space."""

from dataclasses import dataclass

import numpy as np

from vitreous.rotations import fibonacci_directions

__all__ = ["UnseenCone", "unseen_cone"]

_DIRECTIONS = 8000  # some 2.3 degrees apart
_CHUNK_VALUES = 2**22


@dataclass(frozen=True, kw_only=True, eq=False)
class UnseenCone:
    """The largest double cone of Fourier space without data: its half angle, and its axis (3,) in the volume."""

    half_angle_deg: float
    axis: np.ndarray


def unseen_cone(rotations: np.ndarray, group: np.ndarray) -> UnseenCone:
    """The missing cone of images with poses (n, 3, 3) G of a particle with point group (g, 3, 3).

    An image gives the plane of Fourier space across its viewing direction d (the third column of G); a direction k is
    ``arcsin |k . d|`` away from it. Single-axis tilting up to 60 degrees, or a random conical tilt by 60 degrees, leave
    a cone of 30. The angle is found on a grid, to a degree or so.
    """
    directions = np.einsum("gab,nb->gna", group, rotations[:, :, 2]).reshape(-1, 3)
    probes = fibonacci_directions(_DIRECTIONS).numpy()
    nearest = np.ones(len(probes))
    step = max(1, _CHUNK_VALUES // len(probes))
    for start in range(0, len(directions), step):
        nearest = np.minimum(nearest, np.abs(probes @ directions[start : start + step].T).min(axis=1))
    worst = int(nearest.argmax())
    return UnseenCone(half_angle_deg=float(np.rad2deg(np.arcsin(nearest[worst]))), axis=probes[worst])
