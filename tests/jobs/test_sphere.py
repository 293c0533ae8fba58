"""Figures by direction as a drawing: where dots are, and how dark."""

import re

import numpy as np
import pytest

from vitreous.jobs.report.sphere import sphere_chart, views_chart
from vitreous.rotations import random_rotations
from vitreous.volumes import angular_distribution

DOT = re.compile(r'fill-opacity:([\d.]+)" cx="([\d.]+)" cy="([\d.]+)" r="[\d.]+"><title>([^<]*)</title>')


def dots(chart: str) -> list[tuple[float, float, float, str]]:
    return [(float(a), float(x), float(y), name) for a, x, y, name in DOT.findall(chart)]


def test_directions_are_where_they_look_on_a_disc_of_equal_areas():
    directions = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.6, -0.8]])
    found = dots(sphere_chart(directions, np.array([1.0, 0.0, 0.5]), ["a", "b", "<c>"], title="t", legend=("x & y",)))
    assert found[0] == (1.0, 130.0, 130.0, "a")
    assert found[1] == (0.06, 248.0, 130.0, "b")  # the rim
    assert found[2][3] == "&lt;c&gt;"
    radius = 118.0 * 0.2**0.5  # turned over: (0, -0.6, 0.8), at sqrt(1 - z)
    assert found[2][1:3] == pytest.approx((130.0, 130.0 + radius), abs=0.1)
    assert "x &amp; y" in sphere_chart(directions, np.ones(3), ["", "", ""], title="t", legend=("x & y",))


def test_views_and_their_opposites_are_counted_together():
    found = angular_distribution(random_rotations(900, seed=1).numpy(), nside=4)
    shown = dots(views_chart(found))
    assert len(shown) == 12 * 16 // 2 + 8  # the upper half, and the equator of 16 directions, each with its opposite
    equator = np.abs(found.directions[:, 2]) < 1e-6
    assert sum(int(name) for *_, name in shown) == pytest.approx(found.counts.sum())
    assert equator.sum() == 16
    assert max(a for a, *_ in shown) == 1.0
