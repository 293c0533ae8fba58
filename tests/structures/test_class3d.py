"""K maps: two structures told apart, shares kept, one structure not split, and what is said about bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from posed_scenes import DIAMETER_A, error_deg, scene

from vitreous.rotations import random_rotations
from vitreous.structures import Poses
from vitreous.structures.class3d import Class3D, class3d, prepare_class3d
from vitreous.structures.class3d.agreement import adjusted_rand_index, not_told_apart, together
from vitreous.structures.class3d.align import at_found_poses
from vitreous.structures.class3d.passes import responsibilities

QUICK = Class3D(particle_diameter_A=DIAMETER_A, starts=1, iterations=6, resolution_limit_A=16.0)
N = 240


def mixture(share: float, *, seed: int = 0) -> tuple:
    """Particles of the map, a share of them of one that lacks a part of it; and who shows which."""
    made = scene(N, snr=2.0, seed=seed)
    other = scene(N, snr=2.0, seed=seed + 100, lacking=True)
    label = (np.random.default_rng(seed).random(N) < share).astype(np.int64)
    images = np.where(label[:, None, None] == 1, other.particles.images, made.particles.images)
    ctf = made.particles.ctf.take(np.arange(N))
    mixed = {
        name: np.where(label == 1, getattr(other.particles.ctf, name), value)
        for name, value in vars(ctf).items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    }
    poses = Poses(
        particle=np.arange(N),
        volume=np.zeros(N, np.int64),
        rotation=np.where(label[:, None, None] == 1, other.truth.rotation, made.truth.rotation),
        origin_A=np.where(label[:, None] == 1, other.truth.origin_A, made.truth.origin_A),
    )
    return replace(made.particles, images=images, ctf=replace(ctf, **mixed)), poses, label, (made.map, other.map)


@pytest.fixture(scope="module")
def uneven():
    particles, poses, label, maps = mixture(0.25)
    return particles, poses, label, maps, class3d(particles, QUICK, poses=poses, threads=1)


def test_two_structures_are_told_apart(uneven):
    _, _, label, maps, result = uneven
    assert adjusted_rand_index(result.poses.volume, label) > 0.95
    assert [one.particles for one in result.classes] == [(label == 0).sum(), (label == 1).sum()]  # the largest first
    assert result.found_classes
    assert result.messages == []
    for one, own, other in zip(result.classes, maps, reversed(maps), strict=True):
        correlation = [np.corrcoef(one.full.data.ravel(), true.data.ravel())[0, 1] for true in (own, other)]
        assert correlation[0] > correlation[1]


def test_the_difference_is_where_the_maps_differ(uneven):
    *_, (first, second), result = uneven
    true = first.data - second.data
    assert np.corrcoef(result.classes[0].difference.data.ravel(), true.ravel())[0, 1] > 0.6
    assert result.classes[0].peak > 6.0  # standard deviations
    noise = result.classes[0].difference.data + result.classes[1].difference.data
    assert np.abs(noise).max() < 1e-3 * result.classes[0].peak  # of two classes, one is the other's turned over


def test_one_structure_is_not_split():
    made = scene(N, snr=1.0)
    result = class3d(made.particles, QUICK, poses=made.truth, threads=1)
    assert not result.found_classes
    assert result.best.halves_agree < 0.1
    assert result.messages[0].startswith("No evidence for 2 classes")


def test_noise_claims_nothing():
    made = scene(120, snr=1.0, signal=False)
    result = class3d(made.particles, replace(QUICK, iterations=3), poses=made.truth, threads=1)
    assert not result.found_classes
    assert all(not np.isfinite(one.resolution_A) for one in result.classes)


def test_copies_of_one_image_are_refused():
    made = scene(1, snr=10.0)
    same = np.repeat(made.particles.images, 60, axis=0)
    ctf = made.particles.ctf.take(np.zeros(60, np.int64))
    poses = Poses(
        particle=np.arange(60),
        volume=np.zeros(60, np.int64),
        rotation=np.repeat(made.truth.rotation, 60, axis=0),
        origin_A=np.repeat(made.truth.origin_A, 60, axis=0),
    )
    particles = replace(made.particles, images=same, ctf=ctf)
    with pytest.raises(ValueError, match="the images are copies of each other"):
        class3d(particles, QUICK, poses=poses, threads=1)


def test_a_reference_for_each_class_names_them():
    particles, poses, label, maps = mixture(0.5, seed=3)
    references = tuple(replace(one, data=one.data[2:-2, 2:-2, 2:-2]) for one in maps)  # on another grid
    result = class3d(particles, replace(QUICK, iterations=2), poses=poses, references=references, threads=1)
    assert adjusted_rand_index(result.poses.volume, label) > 0.95


def test_alignment_mends_poses():
    particles, poses, label, _ = mixture(0.5, seed=4)
    rng = np.random.default_rng(1)
    shifted = replace(poses, origin_A=poses.origin_A + rng.normal(0, 2.0, poses.origin_A.shape))
    result = class3d(particles, replace(QUICK, alignment="local", iterations=2), poses=shifted, threads=1)
    before, after = (np.abs(p.origin_A - poses.origin_A).mean() for p in (shifted, result.poses))
    assert after < 0.7 * before
    assert adjusted_rand_index(result.poses.volume, label) > 0.95


def test_probabilities_follow_from_likelihoods_and_shares():
    gain = np.array([[0.0, 2.0], [5.0, 5.0]])
    values, mixed = responsibilities(gain, np.log([0.75, 0.25]))
    odds = 3 * np.exp(-2.0)
    np.testing.assert_allclose(values, [[odds / (1 + odds), 1 / (1 + odds)], [0.75, 0.25]])
    np.testing.assert_allclose(mixed, [np.log(0.75 + 0.25 * np.exp(2.0)), 5.0])
    hard, best = responsibilities(gain, np.log([0.75, 0.25]), hard=True)
    assert hard.tolist() == [[0, 1], [1, 0]]
    assert best.tolist() == [2.0, 5.0]


def test_the_index_is_that_of_hubert_and_arabie():
    a, b = np.array([0, 0, 1, 1, 2, 2]), np.array([1, 1, 0, 0, 2, 0])
    # pairs together in both 2, in a 3, in b 4, of 15: (2 - 12/15) / (3.5 - 12/15)
    assert adjusted_rand_index(a, b) == pytest.approx((2 - 0.8) / (3.5 - 0.8))
    assert adjusted_rand_index(a, (a + 1) % 3) == 1.0
    assert adjusted_rand_index(np.zeros(5, int), np.zeros(5, int)) == 0.0
    assert together(np.array([[1, 5, 0], [2, 3, 9], [7, 0, 1]])).tolist() == [1, 2, 0]


def test_a_class_that_was_cut_in_two_is_named():
    rng = np.random.default_rng(4)
    true = rng.permutation(np.repeat([0, 1], 200))
    own, other = (np.where(true == 0, 0, 1 + rng.integers(0, 2, 400)) for _ in range(2))  # the second is dealt out
    assert not_told_apart(own, other, 3, 0.1, 10) == [(1, 2)]
    assert not_told_apart(own, own, 3, 0.1, 10) == []
    assert not_told_apart(own, other, 3, 0.1, 150) == []  # too few to ask


def test_what_cannot_be_done_is_said():
    made = scene(60, snr=1.0)
    with pytest.raises(ValueError, match="expected poses, or a reference map"):
        prepare_class3d(made.particles, QUICK)
    few = prepare_class3d(made.particles, replace(QUICK, classes=9), poses=made.truth)
    with pytest.raises(ValueError, match="60 usable particles with a pose are too few for 9 classes"):
        few.algorithm.init(0)
    with pytest.raises(
        ValueError, match=r"classes: expected at least 2 \(a single map is what `vitreous refine` makes"
    ):
        replace(QUICK, classes=1)
    three = (made.map,) * 3
    with pytest.raises(ValueError, match="expected one reference, or one for each of the 2 classes; found 3"):
        prepare_class3d(made.particles, QUICK, poses=made.truth, references=three)
    with pytest.raises(ValueError, match=r"memory: 90 classes at 17\.1 A need"):
        prepare_class3d(made.particles, replace(QUICK, classes=90), poses=made.truth, memory_bytes=840 << 20)


def test_lost_particles_find_their_view():
    """A tenth of the poses is anything at all, and all views of both classes are searched."""
    particles, poses, label, _ = mixture(0.5, seed=5)
    lost = np.random.default_rng(2).random(N) < 0.1
    rotation = np.where(lost[:, None, None], random_rotations(N, seed=3).numpy(), poses.rotation)
    result = class3d(
        particles,
        replace(QUICK, alignment="global", iterations=3),
        poses=replace(poses, rotation=rotation),
        threads=1,
    )
    error = error_deg(result.poses.rotation, poses.rotation)
    assert (error[lost] < 10).mean() > 0.9
    assert adjusted_rand_index(result.poses.volume, label) > 0.95


@pytest.mark.slow
def test_references_for_each_class_and_no_poses():
    particles, poses, label, maps = mixture(0.5, seed=6)
    settings = replace(QUICK, iterations=4, initial_lowpass_A=25.0)
    result = class3d(particles, settings, references=maps, threads=1)
    assert np.median(error_deg(result.poses.rotation, poses.rotation)) < 4.0
    assert adjusted_rand_index(result.poses.volume, label) > 0.9
    assert any("began with references" in text for text in result.messages)


def test_classes_that_are_the_mean_map_gain_nothing_where_poses_are_found():
    """What a pose is worth by itself, its origin in the prior among it, is no gain of a class."""
    made = scene(60, snr=2.0)
    ready = prepare_class3d(made.particles, QUICK, poses=made.start(4.0, 2.0), threads=1)
    state = ready.algorithm.step(ready.algorithm.init(0))[0]
    view = ready.scene(state, 0)
    labeller = at_found_poses(offset_range_A=8.0, seed=0, turn=0, everywhere=False)
    label = labeller(view, (torch.zeros_like(state.mean),) * 2, np.log([0.5, 0.5]))
    found = label(np.arange(60))[1]
    assert np.abs(found.origin_A - made.start(4.0, 2.0).origin_A).max() > 0.5  # they have moved
    np.testing.assert_allclose(found.gain, 0, atol=0.05)
    np.testing.assert_allclose(found.values, 0.5)
