"""The point group of a map, found in any frame, off centre, under noise; and not found where there is none."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitreous.particles import Volume
from vitreous.rotations import random_rotations, symmetry_matrices
from vitreous.volumes import find_symmetry, in_standard_frame, low_pass, symmetry_merit

BOX, PIXEL_A, DIAMETER_A, RESOLUTION_A = 40, 6.0, 200.0, 25.0
OFF_A = np.array([6.0, -4.0, 5.0])


def map_of(name: str, *, noise: float = 0.0, seed: int = 1, turn: np.ndarray | None = None) -> Volume:
    """Blobs of 20 A and their copies under a group, turned and off centre; noise: share of the power within 25 A."""
    rng = np.random.default_rng(seed)
    rotation = random_rotations(1, seed=seed + 5)[0].numpy() if turn is None else turn
    z, y, x = ((np.indices((BOX, BOX, BOX)) - BOX // 2) * PIXEL_A)[:]
    group = symmetry_matrices(name).numpy()
    data = np.zeros((BOX, BOX, BOX))
    for centre, height in zip(
        rng.normal(size=(6 if len(group) > 1 else 14, 3)), rng.uniform(0.5, 1.5, 14), strict=False
    ):
        at = centre / np.linalg.norm(centre) * rng.uniform(30.0, 75.0)
        for element in group:
            px, py, pz = rotation.T @ element @ at + (OFF_A if turn is None else 0.0)
            data += height * np.exp(-((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2) / (2 * 9.0**2))
    clean = Volume(data=data.astype(np.float32), pixel_size_A=PIXEL_A)
    if not noise:
        return clean
    white = low_pass(clean.with_data(rng.normal(size=data.shape).astype(np.float32)), RESOLUTION_A)
    scale = np.sqrt(noise / (1 - noise)) * clean.data.std() / white.data.std()
    return clean.with_data(clean.data + scale * white.data)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("C3", "D7", "T", "I")]


@pytest.mark.parametrize("name", ["C4", "D2", "O", *SLOW])
def test_the_group_is_named_and_its_frame_found(name):
    found = find_symmetry(map_of(name), resolution_A=RESOLUTION_A, diameter_A=DIAMETER_A, largest_cycle=7)
    assert found.name == name
    assert found.merit > 0.9
    if name[0] != "C":  # the centre of Cn is anywhere on its axis
        assert np.abs(found.centre_A - OFF_A).max() < 1.5
    standard = in_standard_frame(map_of(name), found)
    assert standard.symmetry == name
    assert symmetry_merit(standard, name, resolution_A=RESOLUTION_A, diameter_A=DIAMETER_A) > 0.9
    assert symmetry_merit(map_of(name), name, resolution_A=RESOLUTION_A, diameter_A=DIAMETER_A) < 0.5


def test_noise_lowers_the_merit_to_the_share_of_the_signal():
    """A third of the power is noise; the group is found all the same."""
    found = find_symmetry(map_of("D3", noise=0.3), resolution_A=RESOLUTION_A, diameter_A=DIAMETER_A, largest_cycle=6)
    assert found.name == "D3"
    assert 0.55 < found.merit < 0.9


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_a_map_without_symmetry_is_c1(seed):
    found = find_symmetry(map_of("C1", seed=seed), resolution_A=RESOLUTION_A, diameter_A=DIAMETER_A, largest_cycle=7)
    assert found.name == "C1"
    assert found.merit < 0.3
    assert all(abs(one.share - one.chance) < 0.2 for one in found.candidates)


def test_an_ellipsoid_has_no_group_beyond_chance():
    """Degree 2 alone has D2 for any map, and a solid of revolution every Cn: neither is a point group that is found."""
    z, y, x = (np.indices((BOX, BOX, BOX)) - BOX // 2) * PIXEL_A
    rod = Volume(data=np.exp(-((x / 30) ** 2 + (y / 30) ** 2 + (z / 60) ** 2)).astype(np.float32), pixel_size_A=PIXEL_A)
    noise = np.random.default_rng(0).normal(size=rod.data.shape).astype(np.float32)
    noisy = rod.with_data(rod.data + 0.1 * low_pass(rod.with_data(noise), RESOLUTION_A).data)
    found = find_symmetry(noisy, resolution_A=RESOLUTION_A, diameter_A=DIAMETER_A, largest_cycle=7)
    assert found.name in ("C1", "C2", "D2")
    assert all(one.merit < 0.6 for one in found.candidates if one.name not in ("C2", "D2"))


def test_a_group_that_is_given_is_the_only_candidate():
    found = find_symmetry(map_of("D2"), resolution_A=RESOLUTION_A, diameter_A=DIAMETER_A, groups=("d2",))
    assert [one.name for one in found.candidates] == ["D2"]
    assert found.candidate("D2").share > 0.95


def test_a_frame_is_the_one_that_the_map_was_turned_by():
    turn = Rotation.from_euler("zyz", [20, 40, 70], degrees=True).as_matrix()
    found = find_symmetry(map_of("O", turn=turn), resolution_A=RESOLUTION_A, diameter_A=DIAMETER_A, groups=("O",))
    left = found.rotation @ turn.T  # an element of the group, since O is its own normaliser
    angle = min(np.degrees(Rotation.from_matrix(left @ s.T).magnitude()) for s in symmetry_matrices("O").numpy())
    assert angle < 2.0


def test_a_map_of_nothing_is_refused():
    empty = Volume(data=-np.ones((16, 16, 16)), pixel_size_A=PIXEL_A)
    with pytest.raises(ValueError, match="without positive density"):
        find_symmetry(empty, resolution_A=RESOLUTION_A)
