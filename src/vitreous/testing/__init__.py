"""Contract checks, images with known truth and slow float64 twins of the fast paths, shipped with the package."""

from vitreous.testing.contracts import check_adjoint, check_linear
from vitreous.testing.shapes import ArrayParticles, Blobs, with_ctf
from vitreous.testing.twins import (
    Points,
    cartesian_points,
    fourier_at,
    pixel_xy,
    polar_points,
    twin_ctf,
    twin_posterior,
    twin_scores,
    twin_signal,
)

__all__ = [
    "ArrayParticles",
    "Blobs",
    "Points",
    "cartesian_points",
    "check_adjoint",
    "check_linear",
    "fourier_at",
    "pixel_xy",
    "polar_points",
    "twin_ctf",
    "twin_posterior",
    "twin_scores",
    "twin_signal",
    "with_ctf",
]
