"""Compiled sampling of maps against SciPy's, and its slopes against differences."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates, spline_filter
from scipy.spatial.transform import Rotation

from vitreous.quality._kernels.sampling import correlation_at, splines_at

SHAPE = (9, 11, 12)


@pytest.fixture
def case():
    """A rough map, and points in it and around it under a rotation, a shift and another pixel size."""
    random = np.random.default_rng(5)
    volume, points = random.normal(size=SHAPE), random.uniform(-9, 9, size=(500, 3))
    matrix = Rotation.random(rng=random).as_matrix() * [1, 1, -1] / 1.3
    return volume, points, np.array([0.4, -1.1, 0.7]), matrix


def at(points, shift, matrix):
    return ((points - shift) @ matrix)[:, ::-1].T + np.array([n // 2 for n in SHAPE])[:, None]


def test_correlation_is_that_of_linear_interpolation_with_nothing_outside(case):
    volume, points, shift, matrix = case
    values = np.random.default_rng(6).normal(size=len(points))
    values -= values.mean()
    values /= np.linalg.norm(values)
    index = at(points, shift, matrix)
    found = map_coordinates(volume, index, order=1, mode="constant")
    outside = ((index < 0) | (index > np.array(SHAPE)[:, None] - 1)).any(axis=0)
    assert 50 < outside.sum() < 450
    expected = np.corrcoef(np.where(outside, 0, found), values)[0, 1]
    assert correlation_at(volume, points, shift, matrix, values) == pytest.approx(expected, abs=1e-12)


def test_a_map_that_is_constant_where_it_is_looked_at_correlates_with_nothing(case):
    volume, points, shift, matrix = case
    values = np.linspace(-1, 1, len(points)) / np.linalg.norm(np.linspace(-1, 1, len(points)))
    assert correlation_at(np.zeros_like(volume), points, shift, matrix, values) == 0
    assert correlation_at(np.full_like(volume, 3.0), 0.1 * points, shift, matrix, values) == 0


def test_places_that_are_no_numbers_are_outside(case):
    volume, points, shift, matrix = case
    values = np.linspace(-1, 1, len(points)) / np.linalg.norm(np.linspace(-1, 1, len(points)))
    assert correlation_at(volume, points, shift * np.nan, matrix, values) == 0
    assert not splines_at(volume, points, shift * np.nan, matrix).any()


def test_splines_are_those_of_scipy_and_their_slopes_are_derivatives(case):
    volume, points, shift, matrix = case
    coefficients = spline_filter(volume, order=3, mode="mirror")
    index = at(points, shift, matrix)
    inside = ((index >= 0) & (index <= np.array(SHAPE)[:, None] - 1)).all(axis=0)
    found = splines_at(coefficients, points, shift, matrix)
    expected = map_coordinates(coefficients, index, order=3, mode="mirror", prefilter=False)
    np.testing.assert_allclose(found[0, inside], expected[inside], atol=1e-12)
    assert not found[:, ~inside].any()
    still = np.flatnonzero(inside & (index > 0.01).all(axis=0) & (index < np.array(SHAPE)[:, None] - 1.01).all(axis=0))
    for axis, step in enumerate(np.eye(3) * 1e-5):
        ahead, behind = (
            map_coordinates(
                coefficients, index[:, still] + sign * step[::-1, None], order=3, mode="mirror", prefilter=False
            )
            for sign in (1, -1)
        )
        np.testing.assert_allclose(found[1 + axis, still], (ahead - behind) / 2e-5, atol=1e-6)
