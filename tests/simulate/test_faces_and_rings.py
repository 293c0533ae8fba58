"""Faces and rings: what varies in them, and where it is drawn."""

import numpy as np
import pytest

from vitreous.simulate import FACES, face_images, ring_images, with_white_noise


def test_all_faces_differ_by_their_features():
    faces = face_images(48, np.arange(FACES))
    assert faces.min() >= 0
    assert faces.max() == 1
    assert (faces[:, 0] == 0).all()  # nothing at the edge of the box
    for bit in range(3):
        changes = [faces[k ^ (1 << bit)] - faces[k] for k in range(FACES) if not k >> bit & 1]
        for change in changes[1:]:
            np.testing.assert_allclose(change, changes[0], atol=0.3)  # the same whatever the other features
        assert np.abs(changes[0]).max() > 0.8


def test_a_kind_that_is_no_face_is_refused():
    with pytest.raises(ValueError, match="kind: expected numbers from 0 to 7, found 0 to 8"):
        face_images(32, np.array([0, 8]))


def test_parts_of_the_ring_add_up():
    none, hub, arm, unit, every = ring_images(48, np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]))
    np.testing.assert_allclose(every - none, (hub - none) + (arm - none) + (unit - none), atol=1e-6)
    assert min(float((part - none).max()) for part in (hub, arm, unit)) > 0.9


def test_poses_are_those_of_the_conventions():
    """X(r) = A(R(psi) (r + o)): by 90 degrees and whole pixels, pixels only change their places."""
    straight = face_images(33, np.zeros(1, int))[0]
    turned = face_images(33, np.zeros(1, int), psi_deg=np.array([90.0]))[0]
    np.testing.assert_allclose(turned, straight[:, ::-1].T, atol=1e-5)
    shifted = face_images(33, np.zeros(1, int), origin_px=np.array([[2.0, -1.0]]))[0]
    np.testing.assert_allclose(shifted, np.roll(straight, (1, -2), (0, 1)), atol=1e-5)


def test_the_signal_to_noise_ratio_is_that_of_the_pixels():
    clean = face_images(32, np.arange(200) % 8)
    noisy = with_white_noise(clean, 0.1, seed=3)
    scale = np.polyfit(clean.ravel(), noisy.ravel(), 1)[0]
    noise = noisy - scale * clean
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert scale**2 * clean.var((1, 2)).mean() / noise.var() == pytest.approx(0.1, rel=0.05)
    np.testing.assert_allclose(with_white_noise(clean[5:], 0.1, seed=3, first=5)[0], noisy[5], atol=0.02)
