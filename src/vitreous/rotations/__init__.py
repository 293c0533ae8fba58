"""Rotations: sampling, Euler angles, distances."""

from vitreous.rotations.euler import (
    direction_distance_deg,
    euler_to_matrix,
    matrix_to_euler,
    rotation_distance_deg,
    viewing_directions,
)
from vitreous.rotations.sampling import (
    fibonacci_directions,
    healpix_directions,
    quaternions_to_matrices,
    random_rotations,
)

__all__ = [
    "direction_distance_deg",
    "euler_to_matrix",
    "fibonacci_directions",
    "healpix_directions",
    "matrix_to_euler",
    "quaternions_to_matrices",
    "random_rotations",
    "rotation_distance_deg",
    "viewing_directions",
]
