"""The parts of the report: pictures, axes, charts."""

import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.jobs.report.axes import axis, frequency_axis, fsc_axis, number
from vitreous.jobs.report.charts import Curve, curves, histogram, scatter, stacked
from vitreous.pictures import GROUND, fourier_crop, low_pass, png, show

numbers = st.floats(-1e9, 1e9, allow_nan=False)


@given(numbers, numbers)
def test_axes_cover_their_range_with_few_round_ticks(a, b):
    low, high = sorted((a, b))
    made = axis(low, high, "x")
    slack = 1e-6 * max(abs(low), abs(high), made.high - made.low)
    assert made.low <= low + slack
    assert made.high >= high - slack
    assert 2 <= len(made.ticks) <= 9
    assert 0 <= made.fraction((low + high) / 2) <= 1


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0.25, 0.05, "0.25"),
        (3.0, 1, "3"),
        (-1500.0, 500, "−1500"),
        (25000, 5000, "25 k"),
        (2.5e6, 5e5, "2.5 M"),
        (0, 1e5, "0"),
    ],
)
def test_numbers_for_labels(value, step, text):
    assert number(value, step) == text


def test_resolution_ticks_are_apart_and_inside():
    ticks = frequency_axis(0.25).ticks
    positions = [position for position, _ in ticks]
    assert [label for _, label in ticks] == ["30", "15", "10", "7", "5", "4"]
    assert min(np.diff(positions)) > 0.024
    assert max(positions) <= 0.25


def parse(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def count(drawing: str, kind: str) -> int:
    return sum(1 for e in parse(drawing).iter() if kind in (e.get("class") or "").split())


def test_correlations_fill_their_axis():
    found = fsc_axis()
    assert (found.low, found.high) == pytest.approx((-0.2, 1.0))
    assert len(found.ticks) == 7


def test_a_gap_interrupts_a_line():
    line = Curve(x=np.arange(5.0), y=np.array([1, 2, np.nan, 3, 4]), name="<a & b>")
    drawing = curves([line], x=axis(0, 4, "x"), y=axis(0, 4, "y"), title="t", guides=[(2, "two")])
    path = next(e for e in parse(drawing).iter() if "line" in (e.get("class") or "").split())
    assert path.get("d").count("M") == 2
    assert path[0].text == "<a & b>"


def test_bars_add_up_to_the_frame_and_empty_bins_are_left_out():
    drawing = histogram(np.array([0.1, 0.1, 0.9, np.nan]), horizontal=axis(0, 1, "x"), title="t", bins=10)
    assert count(drawing, "bar") == 2


def test_layers_fill_the_whole():
    drawing = stacked(np.arange(3.0), np.array([[1, 1, 0], [1, 3, 0]]), names=["a", "b"], x_label="x", title="t")
    assert count(drawing, "layer") == 2


def test_points_carry_their_class_and_missing_ones_are_left_out():
    drawing = scatter(
        np.array([1.0, 2.0]),
        np.array([np.inf, 2.0]),
        horizontal=axis(0, 2, "x"),
        vertical=axis(0, 2, "y"),
        names=["a", "b"],
        keys=[3, 4],
        title="t",
    )
    assert [e.get("data-class") for e in parse(drawing).iter() if e.get("data-class")] == ["4"]


def test_pictures_share_their_ground_whatever_the_scale():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(48, 48)) * 0.01
    image[20:28, 20:28] += 5
    for scale, offset in ((1, 0), (1e4, -3e5), (1e-6, 2)):
        grey = show(image * scale + offset)
        assert grey.shape == (48, 48)
        assert abs(int(grey[0, 0]) - round(255 * GROUND)) <= 1
        assert grey[24, 24] > 240


@pytest.mark.parametrize("image", [np.zeros((16, 16)), np.full((16, 16), np.nan), np.full((17, 17), 3.0)])
def test_a_flat_or_broken_picture_is_flat(image):
    assert set(np.unique(show(image))) == {round(255 * GROUND)}


def test_a_picture_of_known_span_has_its_black_and_white():
    """A mask that is 1 everywhere is white, and not the grey of a background."""
    for value, grey in ((0.0, 0), (0.5, 128), (1.0, 255)):
        assert set(np.unique(show(np.full((16, 16), value), fade=False, span=(0.0, 1.0)))) == {grey}


def test_large_pictures_are_made_smaller_about_their_centre():
    r2 = ((np.indices((400, 400)) - 200) ** 2).sum(axis=0)
    grey = show(np.exp(-r2 / 5000), largest=100)
    assert grey.shape == (100, 100)
    np.testing.assert_array_equal(grey[1:, 1:], grey[1:, 1:][::-1, ::-1])


def test_fourier_crop_keeps_a_wave():
    x = np.arange(60)
    wave = np.cos(2 * np.pi * 3 * (x - 30) / 60)[None, :] * np.ones((60, 1))
    expected = np.cos(2 * np.pi * 3 * (np.arange(20) - 10) / 20)[None, :] * np.ones((20, 1))
    np.testing.assert_allclose(fourier_crop(wave, 20), expected, atol=1e-12)


def test_low_pass_halves_the_amplitude_where_it_says():
    wave = np.cos(2 * np.pi * 5 * np.arange(40) / 40)[None, :] * np.ones((40, 1))
    np.testing.assert_allclose(low_pass(wave, 5), wave / 2, atol=1e-12)


def test_png_holds_the_pixels():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    content = png(grey)
    start = content.index(b"IDAT") + 4
    length = int.from_bytes(content[start - 8 : start - 4], "big")
    rows = np.frombuffer(zlib.decompress(content[start : start + length]), np.uint8).reshape(3, 5)
    assert (rows[:, 0] == 0).all()
    assert (rows[:, 1:] == grey).all()
