"""The frame that poses and a map were found in is found again, with its hand, and so are their errors."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.truth_scores import FLIP, frame_of, fsc_figures, pose_figures, rotation_errors

from vitreous.particles import Volume
from vitreous.rotations import random_rotations
from vitreous.structures import Poses

PIXEL_A, BOX_PX = 5.0, 64
SHIFT_A = np.array([7.0, -4.0, 11.0])
TURN = random_rotations(1, seed=5)[0].numpy()


def poses_of(rotation: np.ndarray, origin_A: np.ndarray) -> Poses:
    n = len(rotation)
    return Poses(particle=np.arange(n), volume=np.zeros(n, int), rotation=rotation, origin_A=origin_A)


def moved(truth: Poses, *, mirrored: bool, error_rad: np.ndarray) -> Poses:
    """The same particles in another frame, with errors (n, 3) of rotation about the axes of the images."""
    true = FLIP @ truth.rotation @ FLIP if mirrored else truth.rotation
    small = torch.linalg.matrix_exp(torch.from_numpy(np.cross(error_rad[:, None], -np.eye(3)))).numpy()
    rotation = TURN @ true @ small
    return poses_of(rotation, truth.origin_A + rotation.swapaxes(1, 2)[:, :2] @ SHIFT_A)


def blobs(centres_A: np.ndarray) -> Volume:
    """Gaussians at x, y, z."""
    x = (np.arange(BOX_PX) - BOX_PX // 2) * PIXEL_A
    each = [np.exp(-((x[:, None] - c) ** 2) / (2 * 12.0**2)) for c in centres_A.T]
    return Volume(data=np.einsum("xi,yi,zi->zyx", *each).astype(np.float32), pixel_size_A=PIXEL_A)


@pytest.mark.parametrize("mirrored", [False, True])
def test_frame_errors_and_map_are_found_again(mirrored):
    random = np.random.default_rng(3)
    truth = poses_of(random_rotations(600, seed=1).numpy(), random.normal(0, 4, (600, 2)))
    error = random.normal(0, 0.02, (600, 3))
    error[::10] = random.normal(0, 1.0, (60, 3))  # particles that are lost
    found = moved(truth, mirrored=mirrored, error_rad=error)
    frame = frame_of(found, truth)
    assert frame.mirrored == mirrored
    # 540 poses with errors of 0.02 rad and, from them, no error of origins of their own
    np.testing.assert_allclose(frame.rotation, TURN, atol=5 * 0.02 / 540**0.5)
    np.testing.assert_allclose(frame.shift_A, SHIFT_A, atol=0.1)
    good = np.arange(600) % 10 > 0
    np.testing.assert_allclose(rotation_errors(found, truth, frame)[good], error[good], atol=0.006)
    figures = pose_figures(found, truth, frame)
    lost = np.rad2deg(np.linalg.norm(error, axis=1)) > 10
    assert figures["within_10_deg"] == pytest.approx(1 - lost.mean(), abs=0.01)
    assert figures["median_deg"] == pytest.approx(np.rad2deg(np.median(np.linalg.norm(error, axis=1))), abs=0.05)
    centres = random.normal(0, 35, (12, 3))
    hand = centres * [1, 1, -1] if mirrored else centres
    map_found = blobs(hand @ TURN.T + SHIFT_A)
    right = fsc_figures(map_found, blobs(centres), frame)
    wrong = fsc_figures(map_found, blobs(centres * [1, 1, -1]), frame)
    assert right["fsc_0.5_A"] < 25  # Gaussians of 12 A leave nothing beyond
    assert wrong["fsc_0.5_A"] > 2 * right["fsc_0.5_A"]
