"""Spherical harmonics: orthonormal, turned as functions are, with as many invariants as groups are known to have."""

import numpy as np
import pytest

from vitreous.rotations import (
    invariants,
    random_rotations,
    rotate_harmonics,
    sphere_quadrature,
    spherical_harmonics,
    symmetry_matrices,
)

DEGREE = 9


def test_harmonics_are_orthonormal_under_the_quadrature():
    points, weight = sphere_quadrature(DEGREE)
    values = np.concatenate(spherical_harmonics(points, DEGREE), axis=1)
    assert np.allclose(values.T @ (weight[:, None] * values), np.eye((DEGREE + 1) ** 2), atol=1e-12)


def test_the_first_degrees_are_the_known_polynomials():
    directions = np.array([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [2 / 3, -1 / 3, 2 / 3]])
    first = spherical_harmonics(directions, 1)[1]
    assert np.allclose(first, np.sqrt(3 / (4 * np.pi)) * directions[:, [1, 2, 0]])


def test_turned_coefficients_are_those_of_the_turned_function():
    rng = np.random.default_rng(0)
    coefficients = [rng.normal(size=(2 * l + 1, 2)) for l in range(DEGREE + 1)]
    rotations = np.concatenate([random_rotations(3, seed=1).numpy(), symmetry_matrices("D2").numpy()])
    points = rng.normal(size=(20, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    turned = rotate_harmonics(coefficients, rotations)
    for i, rotation in enumerate(rotations):
        before = sum(y @ a for y, a in zip(spherical_harmonics(points @ rotation, DEGREE), coefficients, strict=True))
        after = sum(y @ a[i] for y, a in zip(spherical_harmonics(points, DEGREE), turned, strict=True))
        assert np.allclose(before, after, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("C4", [1, 1, 1, 1, 3, 3, 3, 3, 5, 5]),
        ("O", [1, 0, 0, 0, 1, 0, 1, 0, 1, 1]),
        ("I", [1, 0, 0, 0, 0, 0, 1, 0, 0, 0]),
    ],
)
def test_groups_have_their_number_of_invariants(name, expected):
    """Tables of point groups, e.g. Altmann and Bradley 1963."""
    found = invariants(symmetry_matrices(name).numpy(), DEGREE)
    assert [basis.shape[1] for basis in found] == expected
    for basis, turned in zip(found, rotate_harmonics(found, symmetry_matrices(name).numpy()), strict=True):
        assert np.allclose(turned, basis, atol=1e-10)
