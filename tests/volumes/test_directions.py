"""What differs by direction: FSC in cones, sampling by uneven views."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from vitreous.fourier import empty_volume_ft, insert_slices
from vitreous.particles import Volume
from vitreous.rotations import euler_to_matrix, random_rotations
from vitreous.volumes import angular_distribution, cone_fsc, half_map_fsc, spherical_mask, view_sampling

N, PIXEL = 40, 2.0


def halves(*, cone_deg: float) -> tuple[Volume, Volume]:
    """White signal with weak noise, and without signal beyond shell 6 in a cone about z."""
    rng = np.random.default_rng(0)
    axis = np.fft.fftfreq(N) * N
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    along_z = np.abs(axis[:, None, None]) >= np.cos(np.deg2rad(cone_deg)) * np.maximum(radius, 1e-9)
    kept = (radius <= 6) | ~along_z if cone_deg else np.ones_like(radius, bool)
    fading = np.exp(-((radius / 9.0) ** 2))
    true = np.fft.ifftn(np.fft.fftn(rng.normal(size=(N, N, N))) * kept * fading).real
    one, two = (Volume(data=true + 0.2 * rng.normal(size=true.shape), pixel_size_A=PIXEL) for _ in range(2))
    return one, two


def test_a_cone_without_signal_is_found():
    one, two = halves(cone_deg=35.0)
    found = cone_fsc(one, two, half_map_fsc(one, two), directions=60)
    assert abs(found.worst_direction[2]) > np.cos(np.deg2rad(20.0))
    assert found.worst_A == pytest.approx(N * PIXEL / 6.5, rel=0.1)  # between shells 6 and 7
    assert found.best_A <= found.median_A < 0.75 * found.worst_A
    assert found.curves.shape == (60, N // 2 + 1)
    assert np.allclose(np.linalg.norm(found.directions, axis=1), 1.0)
    assert found.directions[:, 2].min() > 0.0


def test_without_one_all_directions_are_alike_and_like_the_shell():
    one, two = halves(cone_deg=0.0)
    mask = spherical_mask(one, 50.0)
    whole = half_map_fsc(one, two, mask)
    found = cone_fsc(one, two, whole, mask, directions=40)
    assert found.median_A == pytest.approx(whole.resolution_A, rel=0.06)
    assert found.worst_A < 1.35 * found.best_A


def test_all_cones_together_are_the_shell():
    one, two = halves(cone_deg=35.0)
    whole = half_map_fsc(one, two)
    found = cone_fsc(one, two, whole, directions=3, half_angle_deg=90.0)
    assert np.abs(found.curves[:, 1:] - whole.unmasked[1:]).max() < 1e-6


def test_noise_claims_nothing_along_any_direction():
    one, two = (Volume(data=np.random.default_rng(i).normal(size=(N, N, N)), pixel_size_A=PIXEL) for i in range(2))
    assert np.isinf(cone_fsc(one, two, half_map_fsc(one, two), directions=20).best_A)


def views_at(tilt_deg: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    turns = rng.uniform(0.0, 360.0, (2, len(tilt_deg)))
    return euler_to_matrix(torch.from_numpy(np.stack([turns[0], tilt_deg, turns[1]], axis=1))).numpy()


def test_even_views_are_fully_efficient_and_uneven_ones_are_not():
    even = view_sampling(random_rotations(4000, seed=1).numpy(), 12)
    assert even.efficiency > 0.99
    assert even.compensation > 0.97
    assert even.missing == 0.0
    assert even.sampling.mean() == pytest.approx(1.0)
    side = view_sampling(views_at(np.full(4000, 90.0)), 12)  # waves at angle a from z: s = (2 / pi) / sin a
    expected = np.array([(2 / np.pi) / np.sqrt(1 - z**2) for z in side.directions[:, 2]])
    middle = np.abs(side.directions[:, 2]) < 0.9
    ratio = side.sampling[middle] / expected[middle]
    assert ratio.mean() == pytest.approx(1.0, abs=0.02)
    assert ratio.std() < 0.15  # some 170 images hold a wave
    assert side.compensation == pytest.approx(8 / np.pi**2, abs=0.02)  # 1 / ((pi / 2) mean of sin a)
    assert side.compensation < side.efficiency < 0.95


def test_waves_in_no_image_bound_the_efficiency():
    top = view_sampling(views_at(np.full(3000, 30.0)), 12)  # waves within 60 degrees of z are in none
    assert top.missing == pytest.approx(0.5, abs=0.05)
    assert top.efficiency <= 1.0 - top.missing + 1e-9
    assert top.compensation == 0.0
    assert abs(top.worst_direction[2]) > 0.5


def test_symmetry_fills_views_in():
    few = views_at(np.full(200, 20.0))
    plain, with_group = view_sampling(few, 8), view_sampling(few, 8, symmetry="O")
    assert with_group.efficiency > 1.5 * plain.efficiency
    with pytest.raises(ValueError, match="at least 1, found"):
        view_sampling(few, 0)


def test_directions_are_counted_where_they_look():
    found = angular_distribution(views_at(np.full(500, 12.0)), nside=4)
    assert found.counts.sum() == pytest.approx(500)
    tilt = np.rad2deg(np.arccos(found.directions[:, 2]))
    assert found.counts[np.abs(tilt - 12.0) > 15.0].sum() == 0
    both = angular_distribution(views_at(np.full(500, 12.0)), symmetry="D1", nside=4)
    assert both.counts.sum() == pytest.approx(500)
    assert both.counts[tilt > 90].sum() == pytest.approx(250)


def test_sampling_is_that_of_slices_inserted_into_a_volume():
    """The weight that a reconstruction finds at a radius, wave by wave."""
    n, radius = 32, 10
    views = views_at(np.random.default_rng(3).choice([0.0, 40.0, 90.0], 1500) + 4.0)
    weights = empty_volume_ft(n, 1)
    ones = torch.ones(len(views), n, n // 2 + 1, dtype=torch.complex64)
    insert_slices(weights, ones, torch.from_numpy(views).float())
    expected = view_sampling(views, radius)
    k = expected.directions * radius
    k = np.where(k[:, :1] < 0, -k, k)
    inserted = weights.real.numpy()
    grid = [k[:, 2] + n // 2 + 1, k[:, 1] + n // 2 + 1, k[:, 0]]  # [kz, ky, kx] of the half space
    found = map_coordinates(inserted, grid, order=1)
    away = k[:, 0] > 2.0  # near kx = 0 the half space holds one of two halves
    assert np.corrcoef(found[away], expected.sampling[away])[0, 1] > 0.9
