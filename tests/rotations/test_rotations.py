"""Rotations against scipy and against the geometry of the sphere."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vitreous.conventions import in_plane_matrix
from vitreous.rotations import (
    direction_distance_deg,
    euler_to_matrix,
    fibonacci_directions,
    healpix_directions,
    matrix_to_euler,
    quaternions_to_matrices,
    random_rotations,
    rotation_distance_deg,
    viewing_directions,
)

degrees = st.floats(-360, 360)


def angles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(rot=degrees, tilt=degrees, psi=degrees)
def test_euler_to_matrix_is_scipys_intrinsic_zyz(rot, tilt, psi):
    expected = Rotation.from_euler("ZYZ", [rot, tilt, psi], degrees=True).as_matrix()
    assert np.allclose(euler_to_matrix(angles(rot, tilt, psi)).numpy(), expected, atol=1e-12)


@given(rot=degrees, tilt=st.one_of(degrees, st.sampled_from([0.0, 180.0, -180.0, 1e-14, 1e-7])), psi=degrees)
def test_matrix_to_euler_round_trip(rot, tilt, psi):
    matrix = euler_to_matrix(angles(rot, tilt, psi))
    found = matrix_to_euler(matrix)
    assert 0.0 <= found[1].item() <= 180.0
    assert torch.allclose(euler_to_matrix(found), matrix, atol=1e-9)


@given(rot=degrees, tilt=degrees, psi=degrees)
def test_the_two_names_of_one_rotation(rot, tilt, psi):
    assert torch.allclose(
        euler_to_matrix(angles(rot, tilt, psi)), euler_to_matrix(angles(rot + 180, -tilt, psi + 180)), atol=1e-9
    )


def test_untilted_rotation_is_the_in_plane_matrix():
    matrix = euler_to_matrix(angles(0, 0, 37))
    assert np.allclose(matrix[:2, :2].numpy(), in_plane_matrix(37.0))
    assert torch.allclose(viewing_directions(matrix), angles(0, 0, 1))
    assert torch.allclose(matrix_to_euler(matrix), angles(0, 0, 37))


@given(rot=degrees, tilt=degrees, psi=degrees, by=st.floats(0, 180))
def test_rotation_distance_is_the_angle_of_the_relative_rotation(rot, tilt, psi, by):
    a = euler_to_matrix(angles(rot, tilt, psi))
    b = a @ torch.from_numpy(Rotation.from_rotvec(np.deg2rad(by) * np.array([0.6, 0.0, 0.8])).as_matrix())
    assert rotation_distance_deg(a, b).item() == pytest.approx(by, abs=1e-6)


def test_direction_distance():
    x, y = angles(1, 0, 0), angles(0, 1, 0)
    assert direction_distance_deg(x, y).item() == pytest.approx(90)
    assert direction_distance_deg(x, -x).item() == pytest.approx(180)
    assert direction_distance_deg(x, angles(1, 1e-9, 0)).item() == pytest.approx(np.rad2deg(1e-9))


def test_random_rotations_are_rotations_and_repeat_with_the_seed():
    r = random_rotations(50, seed=4)
    assert torch.allclose(r @ r.mT, torch.eye(3, dtype=r.dtype).expand(50, 3, 3), atol=1e-12)
    assert torch.allclose(torch.linalg.det(r), torch.ones(50, dtype=r.dtype))
    assert torch.equal(r, random_rotations(50, seed=4))
    assert not torch.equal(r, random_rotations(50, seed=5))


def test_random_rotations_are_uniform():
    r = random_rotations(20000, seed=1)
    d = viewing_directions(r)
    assert d.mean(0).abs().max() < 0.02
    assert (d.T @ d / len(d) - torch.eye(3, dtype=d.dtype) / 3).abs().max() < 0.01
    distance = rotation_distance_deg(r[::2], r[1::2])  # density (1 - cos a) / pi
    assert distance.mean().item() == pytest.approx(np.rad2deg(np.pi / 2 + 2 / np.pi), abs=1.0)


def test_quaternions_agree_with_scipy():
    q = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = Rotation.from_quat(q[:, [1, 2, 3, 0]].numpy()).as_matrix()
    assert np.allclose(quaternions_to_matrices(q).numpy(), expected)


@pytest.mark.parametrize("nside", [1, 2, 3, 4, 8])
def test_healpix_counts_centroid_and_isotropy(nside):
    d = healpix_directions(nside)
    assert d.shape == (12 * nside**2, 3)
    assert torch.allclose(d.norm(dim=-1), torch.ones(len(d), dtype=d.dtype))
    assert d.mean(0).abs().max() < 1e-12
    moment = d.T @ d / len(d)
    assert torch.allclose(moment, torch.diag(torch.diag(moment)), atol=1e-12)
    assert (torch.diag(moment) - 1 / 3).abs().max() < 0.05 / nside**2
    assert len(torch.unique(d.round(decimals=9), dim=0)) == len(d)


@pytest.mark.parametrize("nside", [2, 4, 8])
def test_healpix_rings_have_equal_area(nside):
    """Ring by ring, z halves the area between ring boundaries: equal counts per equal area of the sphere."""
    z = healpix_directions(nside)[:, 2]
    levels = torch.linspace(-1, 1, 13, dtype=z.dtype)[1:-1]
    below = (z[:, None] < levels).double().mean(0) + 0.5 * (z[:, None] == levels).double().mean(0)
    assert (below - (levels + 1) / 2).abs().max() < 0.75 / nside


def test_healpix_nearest_neighbour_distances_are_even():
    d = healpix_directions(8)
    cosine = (d @ d.T).fill_diagonal_(-1.0).max(dim=1).values
    nearest = torch.rad2deg(torch.acos(cosine))
    side = np.rad2deg(np.sqrt(np.pi / 3) / 8)  # the root of the pixel area
    assert nearest.min() > 0.6 * side
    assert nearest.max() < 1.2 * side


def test_healpix_first_and_equatorial_pixels_are_where_the_paper_puts_them():
    d = healpix_directions(1)
    assert torch.allclose(d[:, 2], angles(*[2 / 3] * 4, *[0.0] * 4, *[-2 / 3] * 4))
    phi = torch.rad2deg(torch.atan2(d[:, 1], d[:, 0])) % 360
    assert torch.allclose(phi, angles(45, 135, 225, 315, 0, 90, 180, 270, 45, 135, 225, 315))


def test_fibonacci_directions_spread_evenly():
    d = fibonacci_directions(500)
    assert d.mean(0).abs().max() < 5e-3
    nearest = torch.rad2deg(torch.acos((d @ d.T).fill_diagonal_(-1.0).max(dim=1).values))
    even = np.rad2deg(np.sqrt(4 * np.pi / 500))
    assert nearest.min() > 0.7 * even


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="nside"):
        healpix_directions(0)
    with pytest.raises(ValueError, match="directions"):
        fibonacci_directions(0)
    with pytest.raises(ValueError, match="Euler"):
        euler_to_matrix(torch.zeros(2))


def test_distances_broadcast():
    directions, rotations = healpix_directions(2), random_rotations(5, seed=0)
    assert direction_distance_deg(directions[:, None], directions).shape == (48, 48)
    assert direction_distance_deg(directions, directions[0])[0] < 1e-9
    assert rotation_distance_deg(rotations[:, None], rotations).shape == (5, 5)
