"""Classes of several runs, matched: against brute force, and against what was hidden in the labels."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.alignment import match_classes


def best_by_brute_force(labels: np.ndarray, classes: int) -> int:
    """All ways to pair the classes of the first run with those of the others."""
    table = np.zeros((classes,) * len(labels), int)
    np.add.at(table, tuple(labels), 1)
    ways = product(permutations(range(classes)), repeat=len(labels) - 1)
    return max(sum(table[(k, *(w[k] for w in way))] for k in range(classes)) for way in ways)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999), runs=st.integers(2, 4), classes=st.integers(2, 4), n=st.integers(1, 60))
def test_small_cases_are_exact(seed, runs, classes, n):
    labels = np.random.default_rng(seed).integers(0, classes, (runs, n))
    found = match_classes(labels)
    assert found.common.sum() == best_by_brute_force(labels, classes) == found.bound


def test_matches_share_no_class_and_members_are_common():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, (3, 300))
    found = match_classes(labels, least=2)
    for run in found.classes.T:
        assert len(set(run.tolist())) == len(run)
    for match, (classes, common) in enumerate(zip(found.classes, found.common, strict=True)):
        members = np.flatnonzero((labels == classes[:, None]).all(0))
        assert len(members) == common >= 2
        assert (found.label[members] == match).all()
    assert (found.label >= 0).sum() == found.common.sum()


def test_classes_under_other_names_are_found_again():
    """Four runs of 30 classes; a fifth of the images strays in every run: 0.8^4 of them are common."""
    rng = np.random.default_rng(2)
    true = rng.integers(0, 30, 6000)
    runs = [np.where(rng.random(6000) < 0.2, rng.integers(0, 30, 6000), rng.permutation(30)[true]) for _ in range(4)]
    found = match_classes(np.stack(runs), least=20)
    assert len(found.common) == 30
    assert found.reproducible_share == pytest.approx((0.8 + 0.2 / 30) ** 4, abs=0.02)
    assert found.common.sum() == found.bound
    inside = found.label >= 0
    assert all(len(set(true[inside & (found.label == k)])) == 1 for k in range(30))


def test_images_left_out_of_a_run_are_common_to_none():
    labels = np.array([[0, 0, 0, 1], [0, 0, -1, 1]])
    found = match_classes(labels, least=2)
    assert found.label.tolist() == [0, 0, -1, -1]


def test_nothing_in_common_and_one_run():
    assert len(match_classes(np.array([[0, 1], [-1, -1]])).common) == 0
    with pytest.raises(ValueError, match="at least 2 runs"):
        match_classes(np.zeros((1, 5), int))


@pytest.mark.slow
def test_two_hundred_classes_of_a_hundred_thousand_images():
    """Neighbouring classes overlap: exact within a bound, and the greedy way is worse."""
    rng = np.random.default_rng(0)
    at = rng.random(100_000) * 200
    runs = [np.floor((at + rng.normal(0, 1, len(at)) + rng.random()) % 200).astype(int) for _ in range(4)]
    found = match_classes(np.stack(runs), least=10)
    assert found.common.sum() > 0.95 * found.bound
