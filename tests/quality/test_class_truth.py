"""The comparison of classes with the true poses of their particles."""

import numpy as np
import pytest
import torch

from vitreous.fourier import central_slices, centred_irfft2, prepare_volume
from vitreous.particles import Table
from vitreous.quality import class_directions, class_frame_poses, pair_angle_deg, projection_match
from vitreous.rotations import euler_to_matrix, random_rotations, viewing_directions
from vitreous.simulate import phantom

BOX = 32


def tilted(*tilt_deg: float) -> torch.Tensor:
    """Viewing directions at these angles from z."""
    angles = torch.tensor([[20.0, tilt, 0.0] for tilt in tilt_deg], dtype=torch.float64)
    return viewing_directions(euler_to_matrix(angles))


def test_pair_angles_are_weighted_by_class_size():
    label = np.array([0, 0, 1, 1, 1, 2])
    # Class 0: one pair at 10; class 1: pairs at 30, 30, 60; class 2 has no pair.
    assert pair_angle_deg(tilted(5, 15, 20, 50, 80, 170), label) == pytest.approx((2 * 10 + 3 * 40) / 5)


def test_random_classes_differ_by_ninety_degrees():
    directions = viewing_directions(random_rotations(400, seed=1))
    label = np.arange(400) % 4
    assert pair_angle_deg(directions, label) == pytest.approx(90.0, abs=2.0)


def test_the_direction_of_a_class_ignores_stray_members():
    found = class_directions(tilted(10, 12, 14, 120), np.array([3, 3, 3, 3]))
    torch.testing.assert_close(found[3], tilted(12)[0], atol=1e-3, rtol=0)


def test_found_angles_turn_true_poses_into_the_class_frame():
    truth = Table.from_arrays({"rlnAngleRot": [10.0], "rlnAngleTilt": [40.0], "rlnAnglePsi": [50.0]})
    poses = class_frame_poses(Table.from_arrays({"rlnAnglePsi": [20.0]}), truth)
    expected = euler_to_matrix(torch.tensor([[10.0, 40.0, 30.0]], dtype=torch.float64))
    torch.testing.assert_close(poses, expected)


def test_clean_projections_match_themselves_and_not_their_mirrors():
    volume = phantom(BOX, 9.0)
    poses = random_rotations(3, seed=2)
    clean = centred_irfft2(central_slices(prepare_volume(volume), poses.float(), BOX), BOX)
    label = np.array([0, 1, 2])
    moved = torch.roll(clean, (1, -2), dims=(1, 2)) * 3 + 1
    assert (projection_match(moved, volume, poses, label) > 0.96).all()
    assert (projection_match(clean.flip(2), volume, poses, label) < 0.95).all()
    empty = projection_match(clean, volume, poses[:2], label[:2])
    assert empty[2] == 0
