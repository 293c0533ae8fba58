"""The three criteria of an alignment are one: SCIENCE.md section 2."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.alignment import alignment_criteria


@given(n=st.integers(2, 9), seed=st.integers(0, 99))
def test_sums_over_pairs_and_over_others_follow_from_the_norm(n, seed):
    images = np.random.default_rng(seed).normal(size=(n, 4, 4))
    found, power = alignment_criteria(images), float(np.square(images).sum())
    assert found.pairs == pytest.approx(n * power - found.norm)
    assert found.others == pytest.approx(n / (n - 1) ** 2 * found.pairs)


def test_they_rank_alignments_alike():
    """Whole-pixel shifts of an image keep its power; the better aligned set is better by all three."""
    rng = np.random.default_rng(1)
    image = rng.normal(size=(8, 8))
    sets = [np.stack([np.roll(image, s, 1) for s in shifts]) for shifts in ([0, 0, 0], [0, 1, 0], [0, 1, 3])]
    scores = [alignment_criteria(images) for images in sets]
    assert np.argsort([s.pairs for s in scores]).tolist() == np.argsort([-s.norm for s in scores]).tolist()
    assert np.argsort([s.others for s in scores]).tolist() == np.argsort([-s.norm for s in scores]).tolist()


def test_one_image_is_refused():
    with pytest.raises(ValueError, match="images: expected at least 2, found 1"):
        alignment_criteria(np.zeros((1, 4, 4)))
