"""Rotations: sampling, Euler angles, distances, agreement of poses, point groups, harmonics, matrix Fisher."""

from vitreous.rotations.agreement import Agreement, compare_poses, mirrored_poses
from vitreous.rotations.euler import (
    direction_distance_deg,
    euler_to_matrix,
    matrix_to_euler,
    rotation_distance_deg,
    viewing_directions,
)
from vitreous.rotations.matrix_fisher import proper_svd, sample_matrix_fisher
from vitreous.rotations.sampling import (
    fibonacci_directions,
    healpix_directions,
    quaternions_to_matrices,
    random_rotations,
)
from vitreous.rotations.spherical import invariants, rotate_harmonics, sphere_quadrature, spherical_harmonics
from vitreous.rotations.symmetry import symmetry_matrices

__all__ = [
    "Agreement",
    "compare_poses",
    "direction_distance_deg",
    "euler_to_matrix",
    "fibonacci_directions",
    "healpix_directions",
    "invariants",
    "matrix_to_euler",
    "mirrored_poses",
    "proper_svd",
    "quaternions_to_matrices",
    "random_rotations",
    "rotate_harmonics",
    "rotation_distance_deg",
    "sample_matrix_fisher",
    "sphere_quadrature",
    "spherical_harmonics",
    "symmetry_matrices",
    "viewing_directions",
]
