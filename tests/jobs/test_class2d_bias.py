"""What a classification's report says of model bias: of classes with a signal and of noise; folders without it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vitreous.jobs.report.class2d_bias import noise_alone, noise_alone_chart, noise_alone_words
from vitreous.jobs.report.class2d_content import ReportContent
from vitreous.testing import Blobs

BOX, PIXEL_A = 32, 5.0


@pytest.fixture
def content() -> ReportContent:
    """Two classes of 60 and 200 particles; the halves of the first share a signal, those of the second do not."""
    rng, image = np.random.default_rng(1), Blobs.random(4, count=7, reach_px=8.0, width_px=1.5).image(BOX)
    halves = np.stack([
        image + 0.05 * rng.normal(size=(2, BOX, BOX)), 0.02 * image + rng.normal(size=(2, BOX, BOX))
    ])  # fmt: skip
    summary = {"particle_diameter_used_A": 130.0, "offset_range_used_A": 10.0}
    return ReportContent(
        folder=Path("classes"), manifest=SimpleNamespace(summary=summary), pixel_size_A=PIXEL_A,
        averages=halves.mean(1), halves=halves, population=np.array([60, 200]), distribution=np.array([0.23, 0.77]),
        effective_number=np.array([60.0, 200.0]), resolution_A=np.array([15.0, np.inf]),
        frequency=np.arange(17) / (BOX * PIXEL_A), frc=np.zeros((2, 17)), noise_power=np.ones((1, 17)), particles={},
        particle_count=260, refused_count=0, found_signal=True, history=[{"search_resolution_A": 20.0}], examples=None,
    )  # fmt: skip


def test_a_class_of_noise_is_no_better_than_noise(content):
    found = noise_alone(content)
    assert found.halves[0] > 0.9 > found.noise[0] > 0.05
    assert abs(found.halves[1]) < found.noise[1] < 1
    words = noise_alone_words(found)
    assert "1 of 2 classes are no better" in words
    assert "to 20 Å" in words
    assert "All classes are better" in noise_alone_words(noise_alone(replace(content, population=np.array([60, 0]))))
    assert "noise alone" in noise_alone_chart(found, content)[1]


def test_more_noise_looks_more_like_its_reference(content):
    more = noise_alone(replace(content, population=10 * content.population))
    assert (more.noise > noise_alone(content).noise).all()


def test_other_folders_have_no_such_line(content):
    for other in (
        replace(content, manifest=None),
        replace(content, halves=None),
        replace(content, history=[]),
        replace(content, population=np.array([0, 0])),
        replace(content, averages=np.zeros((2, BOX, BOX))),
    ):
        assert noise_alone(other) is None
