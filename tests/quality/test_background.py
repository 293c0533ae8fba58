"""Background and contrast of averages on any scale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.quality import average_contrast, background_levels

BOX = 32


def disc(radius: float, inner: float = 0.0) -> np.ndarray:
    axis = np.arange(BOX) - BOX // 2
    r = np.hypot(axis[:, None], axis)
    return ((r < radius) & (r >= inner)).astype(float)


def averages(n: int = 8, noise: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.stack([disc(7 + i % 3) + noise * rng.standard_normal((BOX, BOX)) for i in range(n)])


@given(scale=st.floats(1e-6, 1e6), offset=st.floats(-1e3, 1e3), dark=st.booleans())
def test_contrast_knows_no_scale(scale, offset, dark):
    images = (averages() + offset) * scale * (-1 if dark else 1)
    found = average_contrast(images)
    assert found.verdict == ("dark" if dark else "white")
    assert (found.lighter, found.darker) == ((0, 8) if dark else (8, 0))


def test_background_is_that_of_the_border_whatever_reaches_into_it():
    images = 60.0 + 100 * averages(noise=0.05)
    images[:, :12, :4] = 200.0  # a neighbour
    assert background_levels(images) == pytest.approx(60.0, abs=2.0)


def test_rings_and_noise_alone_do_not_decide():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((40, BOX, BOX))
    assert average_contrast(noise).verdict == "unclear"
    rings = np.stack([disc(13, 11) + 0.05 * n for n in noise[:8]])
    assert average_contrast(rings).neither == 8 or average_contrast(rings).darker == 0
    flat = np.full((3, BOX, BOX), 127.0)
    assert average_contrast(flat).neither == 3


def test_both_contrasts_are_mixed_and_a_few_odd_ones_are_not():
    images = averages()
    images[:4] *= -1
    assert average_contrast(images).verdict == "mixed"
    images = averages()
    images[0] *= -1
    assert average_contrast(images).verdict == "white"
