"""Agreement of poses beyond chance."""

import numpy as np
import pytest

from vitreous.rotations import compare_poses, mirrored_poses, random_rotations, symmetry_matrices


@pytest.mark.parametrize("name", ["C1", "O", "I"])
def test_unrelated_poses_agree_no_more_than_by_chance(name):
    """Under a large group the best of many rotations makes a third of so few poses agree."""
    group = symmetry_matrices(name).numpy()
    first, second = random_rotations(60, seed=1).numpy(), random_rotations(60, seed=2).numpy()
    found = compare_poses(first, second, group=group, within_deg=20.0, chance=True)
    assert abs(found.beyond_chance) < 0.15
    if name == "I":
        assert found.fraction > 0.2


@pytest.mark.parametrize("name", ["C1", "D2", "I"])
def test_the_same_structure_agrees_whatever_copies_are_taken(name):
    """Three poses of four are the same but for frame, copy and some degrees; the rest is unrelated."""
    group = symmetry_matrices(name).numpy()
    first, other = random_rotations(60, seed=1).numpy(), random_rotations(60, seed=2).numpy()
    copies = group[np.random.default_rng(0).integers(0, len(group), 60)]
    second = random_rotations(1, seed=3).numpy() @ copies @ first
    second[45:] = other[45:]
    found = compare_poses(first, second, group=group, within_deg=20.0, chance=True)
    assert found.fraction >= 0.75
    assert 0.6 < found.beyond_chance < 0.85


def test_views_along_one_axis_agree_by_chance():
    """Without in-plane angles in common: the direction alone makes many poses agree, and says nothing."""
    rng = np.random.default_rng(5)

    def about_z(count: int) -> np.ndarray:
        angle = rng.uniform(0, 2 * np.pi, count)
        c, s, zero = np.cos(angle), np.sin(angle), np.zeros(count)
        return np.stack([np.stack([c, -s, zero], 1), np.stack([s, c, zero], 1), np.stack([zero, zero, zero + 1], 1)], 1)

    found = compare_poses(about_z(200), about_z(200), group=np.eye(3)[None], within_deg=40.0, chance=True)
    assert found.fraction > 0.2
    assert abs(found.beyond_chance) < 0.15


def test_mirrored_poses_show_the_same_images_of_the_mirror_image():
    """X(x, y) is the sum over z of V(G (x, y, z)); of V(x, y, -z) it is the same at F G F."""
    rotation = random_rotations(5, seed=4).numpy()
    points = np.random.default_rng(0).normal(size=(7, 3))  # a map of points: they are seen at (G^T p)_xy
    other = points * [1, 1, -1]
    seen = [
        np.einsum("nba,pb->npa", g, p)[:, :, :2] for g, p in ((rotation, points), (mirrored_poses(rotation), other))
    ]
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(mirrored_poses(rotation)), 1.0)
