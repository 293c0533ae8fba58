"""Groups of K-means near one another: the same as all groups where all are near, equal where few are, split in two."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from vitreous.alignment import kmeans_pass, near_groups, random_sums, split_groups
from vitreous.matching import ImagePreparation, balanced, deal, prepare_particles
from vitreous.testing import ArrayParticles

RUNS, CLASSES, N = 2, 6, 96


@pytest.fixture(scope="module")
def blobs():
    """96 images of 16 px: six pairs of blobs at distances that differ, turned, in a little noise."""
    rng = np.random.default_rng(2)
    axis = np.arange(16) - 8
    kind, angle = np.arange(N) % CLASSES, rng.uniform(0, 2 * np.pi, N)
    images = 0.2 * rng.standard_normal((N, 16, 16))
    for side, height in ((1, 1.0), (-1, 2.0)):
        x, y = (side * (1 + 0.7 * kind) * f(angle) for f in (np.cos, np.sin))
        images += height * np.exp(-((axis - x[:, None, None]) ** 2 + (axis[:, None] - y[:, None, None]) ** 2) / 3)
    particles = ArrayParticles(images=images.astype(np.float32), pixel_size_A=4.0)
    preparation = ImagePreparation.for_box(16, 4.0, 56.0)
    return prepare_particles(particles.read, N, preparation, rings=6, ctf=None), deal(np.arange(N), 4, 1).folds


def passed(data, folds, parts, near=None):
    parts, index, found = kmeans_pass(data, folds, parts, RUNS, data.group_power, 4.0, 6, near=near)
    label = np.full((N, RUNS), -1)
    label[index] = found.label
    return parts, index, found, label


def test_with_all_groups_near_nothing_changes(blobs):
    data, folds = blobs
    parts, _, _, label = passed(data, folds, random_sums(data, folds, RUNS, CLASSES, data.group_power, 1))
    near = near_groups(data, parts, label, 4.0, 6, CLASSES)
    assert (near.groups == np.arange(CLASSES)).all()
    every, narrow = passed(data, folds, parts), passed(data, folds, parts, near)
    np.testing.assert_array_equal(every[3], narrow[3])
    np.testing.assert_allclose(every[2].psi_rad, narrow[2].psi_rad, atol=1e-12)


def test_images_go_to_groups_near_their_own_and_groups_stay_equal(blobs):
    data, folds = blobs
    parts, _, _, label = passed(data, folds, random_sums(data, folds, RUNS, CLASSES, data.group_power, 1))
    for _ in range(3):
        near = near_groups(data, parts, label, 4.0, 6, 3)
        assert all((near.of(np.arange(N), r) == label[:, r, None]).any(1).all() for r in range(RUNS))
        before, (parts, _, _, label) = label, passed(data, folds, parts, near)
        for r in range(RUNS):
            allowed = near.groups[r, near.cell[r, before[:, r]]]
            assert (allowed == label[:, r, None]).any(1).all()
            for fold in folds:
                assert np.bincount(label[fold, r], minlength=CLASSES).tolist() == [4] * CLASSES


def test_halves_of_groups_are_equal_and_add_up(blobs):
    data, folds = blobs
    parts, index, found, label = passed(data, folds, random_sums(data, folds, RUNS, CLASSES, data.group_power, 1))
    halves, split = split_groups(data, folds, index, found, CLASSES, data.group_power, 3)
    np.testing.assert_array_equal(split // 2, found.label)
    of_image = np.empty((N, RUNS), int)
    of_image[index] = split
    for fold, part, half in zip(folds, parts, halves, strict=True):
        for r in range(RUNS):
            assert np.bincount(of_image[fold, r], minlength=2 * CLASSES).tolist() == [2] * (2 * CLASSES)
        pairs = half.signal.reshape(RUNS * CLASSES, 2, *half.signal.shape[1:]).sum(1)
        np.testing.assert_allclose(pairs.numpy(), part.signal.numpy(), atol=1e-3 * float(part.signal.abs().max()))
    assert (label >= 0).all()


@given(seed=st.integers(0, 10**6), classes=st.integers(2, 6), met=st.integers(1, 6))
@settings(deadline=None, max_examples=40)
def test_an_assignment_among_some_classes_is_the_best_one(seed, classes, met):
    """Against SciPy's solver, with a price on all other classes that no gain outweighs."""
    rng, met, n = np.random.default_rng(seed), min(met, classes), 5 * classes
    scores, label = rng.normal(size=(n, classes)), rng.permutation(np.arange(n) % classes)
    scores[np.arange(n), label] += 5  # so that the class it had is among the best of every image
    among = np.argsort(-scores, axis=1)[:, :met].astype(np.int32)
    among[:, -1] = np.where((among == label[:, None]).any(1), among[:, -1], label)
    offered = np.take_along_axis(scores, among, 1) - 5 * (among == label[:, None])
    found = balanced(offered, np.full(classes, 5), among=among, classes=classes)
    assert np.bincount(found.labels, minlength=classes).tolist() == [5] * classes
    assert (np.take_along_axis(among, found.column[:, None], 1)[:, 0] == found.labels).all()
    priced = np.full((n, classes), -1e4)
    np.put_along_axis(priced, among.astype(np.int64), offered, 1)
    places = np.repeat(np.arange(classes), 5)
    row, place = linear_sum_assignment(priced[:, places], maximize=True)
    assert found.total == pytest.approx(float(priced[row, places[place]].sum()), abs=1e-8)
    assert found.gap < 1e-8


def test_an_assignment_that_is_not_possible_is_refused():
    with pytest.raises(ValueError, match="no assignment"):
        balanced(np.zeros((4, 1)), np.array([2, 2]), among=np.zeros((4, 1), np.int32), classes=2)
