"""Assignments of given sizes against SciPy's exact solver, and their certificate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from vitreous.matching import balanced


def random_scores(seed: int, n: int, classes: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, classes))
    if kind == "ties":
        return np.round(scores)
    return scores + 3 * rng.normal(size=classes) if kind == "unequal" else scores


def exact_total(scores: np.ndarray, sizes: np.ndarray) -> float:
    """Every class as often as it has places: an assignment problem."""
    columns = np.repeat(np.arange(len(sizes)), sizes)
    row, place = linear_sum_assignment(scores[:, columns], maximize=True)
    return float(scores[row, columns[place]].sum())


def exact_equal_total(scores: np.ndarray) -> float:
    """Sizes that differ by one: n // K places of every class must be filled, one more may be."""
    n, classes = scores.shape
    filled = np.repeat(np.arange(classes), n // classes)
    must = 1e4  # more than all scores together
    row, place = linear_sum_assignment(np.concatenate([scores[:, filled] + must, scores], 1), maximize=True)
    return float(scores[row, np.concatenate([filled, np.arange(classes)])[place]].sum())


cases = {
    "seed": st.integers(0, 10**6),
    "n": st.integers(1, 40),
    "classes": st.integers(1, 7),
    "kind": st.sampled_from(["plain", "ties", "unequal"]),
}


@given(**cases)
@settings(deadline=None, max_examples=60)
def test_equal_sizes_reach_the_exact_optimum(seed, n, classes, kind):
    scores = random_scores(seed, n, classes, kind)
    found = balanced(scores)
    sizes = np.bincount(found.labels, minlength=classes)
    assert sizes.max() - sizes.min() <= 1
    assert found.total == pytest.approx(float(scores[np.arange(n), found.labels].sum()), abs=1e-9)
    assert found.total == pytest.approx(exact_equal_total(scores), abs=1e-8)
    assert found.gap < 1e-8


@given(**cases)
@settings(deadline=None, max_examples=60)
def test_given_sizes_reach_the_exact_optimum(seed, n, classes, kind):
    scores = random_scores(seed, n, classes, kind)
    sizes = np.random.default_rng(seed + 1).multinomial(n, np.ones(classes) / classes)
    found = balanced(scores, sizes)
    np.testing.assert_array_equal(np.bincount(found.labels, minlength=classes), sizes)
    assert found.total == pytest.approx(exact_total(scores, sizes), abs=1e-8)
    assert found.gap < 1e-8


def test_the_gap_bounds_every_other_assignment():
    """The dual at any prices is an upper bound; at the prices returned every image prefers its class."""
    scores = random_scores(3, 300, 6, "unequal")
    found = balanced(scores)
    value = scores - found.prices
    assert (value[np.arange(300), found.labels] >= value.max(1) - 1e-9).all()
    others = np.stack([np.random.default_rng(s).permutation(np.arange(300) % 6) for s in range(20)])
    totals = scores[np.arange(300), others].sum(1)
    assert totals.max() < found.total
    assert found.moved > 0  # the first prices alone do not balance these classes


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=20)
def test_permuted_images_and_classes_get_permuted_labels(seed):
    rng = np.random.default_rng(seed)
    scores = random_scores(seed, 60, 5, "unequal")
    images, classes = rng.permutation(60), rng.permutation(5)
    found, permuted = balanced(scores), balanced(scores[images][:, classes])
    np.testing.assert_array_equal(classes[permuted.labels], found.labels[images])


@given(seed=st.integers(0, 10**6), shift=st.floats(-1e3, 1e3))
@settings(deadline=None, max_examples=20)
def test_what_all_classes_gain_changes_nothing(seed, shift):
    """Only differences between classes count, so a constant per image or per class leaves the labels alone."""
    scores = random_scores(seed, 50, 4, "plain")
    labels = balanced(scores, np.array([20, 10, 15, 5])).labels
    other = scores + shift * np.random.default_rng(seed).random(50)[:, None] + np.array([0.0, 1.0, -2.0, 5.0])
    np.testing.assert_array_equal(balanced(other, np.array([20, 10, 15, 5])).labels, labels)


@pytest.mark.parametrize("scores", [np.zeros((1000, 7)), np.repeat(np.arange(7.0)[:, None], 3, 1)])
def test_equal_scores_are_dealt_out(scores):
    found = balanced(scores)
    sizes = np.bincount(found.labels, minlength=scores.shape[1])
    assert sizes.max() - sizes.min() <= 1
    assert found.gap == 0


def test_many_images_in_single_precision():
    """20,000 x 40 with rounding of float32 only: the certificate is exact to 1e-9 of the total."""
    rng = np.random.default_rng(0)
    scores = (20 * rng.normal(size=(20000, 40)) + 50 * rng.normal(size=40)).astype(np.float32)
    found = balanced(scores)
    assert (np.bincount(found.labels, minlength=40) == 500).all()
    assert found.gap <= 1e-9 * abs(found.total)


def test_what_cannot_be_assigned_is_refused():
    with pytest.raises(ValueError, match="found nan for image 1, class 0"):
        balanced(np.array([[1.0, 2.0], [np.nan, 0.0]]))
    with pytest.raises(ValueError, match="add up to 3"):
        balanced(np.zeros((3, 2)), np.array([1, 1]))
