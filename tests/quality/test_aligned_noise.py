"""Model bias: the largest of a random field against simulation, what theory says of limits, and what is measured."""

import numpy as np
import pytest

from vitreous.averages.model_bias import ModelBias, model_bias
from vitreous.quality import aligned_noise, maximum_over_poses
from vitreous.testing import Blobs

SHAPE = Blobs.random(3, count=6, reach_px=9.0, width_px=1.6)


def test_the_maximum_of_a_single_wave_is_that_of_a_rayleigh_variable():
    """cos(psi) a + sin(psi) b: its maximum over psi is sqrt(a^2 + b^2), mean sqrt(pi / 2)."""
    mean, sd = maximum_over_poses(2 * np.pi, 0.0)
    assert mean == pytest.approx(np.sqrt(np.pi / 2), rel=0.06)
    assert sd == pytest.approx(np.sqrt(2 - np.pi / 2), rel=0.25)


def test_the_maximum_grows_with_the_search_and_is_zero_without_one():
    assert maximum_over_poses(1e-9, 0.0) == pytest.approx((0.0, 1.0), abs=0.01)
    means = [maximum_over_poses(length, radius)[0] for length, radius in ((10, 0), (40, 0), (40, 2), (40, 8))]
    assert means == sorted(means)
    # Simulated: a field on a circle with waves 1 to 9 of equal power, of which the metric is mean q^2.
    rng, q, psi = np.random.default_rng(1), np.arange(1, 10), np.linspace(0, 2 * np.pi, 400)
    a, b = rng.normal(size=(2, 2000, 9))
    peaks = ((a @ np.cos(np.outer(q, psi)) + b @ np.sin(np.outer(q, psi))) / 3).max(1)
    mean, sd = maximum_over_poses(2 * np.pi * np.sqrt(np.mean(q**2)), 0.0)
    assert peaks.mean() == pytest.approx(mean, rel=0.04)
    assert peaks.std() == pytest.approx(sd, rel=0.2)


def test_limits_of_the_correlation():
    noise = aligned_noise(SHAPE.image(32), radius_px=13.0, offset_px=2.0, highest_per_px=0.4)
    n = np.array([1.0, 10.0, 100.0, 1e12])
    found = noise.correlation(n)
    assert (np.diff(found) > 0).all()
    assert found[-1] == pytest.approx(np.sqrt(1 - noise.common))
    assert noise.power.sum() == pytest.approx(1.0)
    assert noise.shell_coefficients.sum() == pytest.approx(noise.coefficients)
    assert (noise.frc(1000.0) >= noise.frc(100.0)).all()
    assert noise.frc(1e12)[noise.power > 1e-6].min() > 0.99
    assert noise.frc(100.0)[14:].max() == 0.0  # no frequency above 0.4 per pixel = shell 12.8 was used


def test_a_round_reference_hardly_appears():
    """All poses of a disc of blobs around the centre are nearly the same: c is nearly 1."""
    ring = Blobs(centres_px=np.zeros((1, 2)), heights=np.ones(1), width_px=5.0)
    round_one = aligned_noise(ring.image(32), radius_px=13.0, offset_px=0.01, highest_per_px=0.2)
    assert round_one.common > 0.95
    assert aligned_noise(SHAPE.image(32), radius_px=13.0, offset_px=0.01, highest_per_px=0.2).common < 0.6


def test_noise_reproduces_the_reference_as_theory_says():
    """512 images: within 15 % of theory; without alignment there is nothing."""
    found = model_bias(SHAPE.image(32), ModelBias(fewest=64, most=512))
    assert found.counts.tolist() == [64, 128, 256, 512]
    assert (np.diff(found.correlation) > 0).all()
    ratio = found.correlation / found.theory
    assert (ratio > 0.85).all()
    assert (ratio < 1.1).all()
    chance = 1 / np.sqrt(found.noise.coefficients)
    assert np.abs(found.unaligned_correlation).max() < 4 * chance
    assert found.correlation[-1] > 0.6
    expected = np.sqrt(1 - found.noise.common) * found.noise.mean
    assert found.peaks.mean() == pytest.approx(expected, rel=0.15)
    # The picture shows it too: the last average resembles the reference as it was compared.
    likeness = np.corrcoef(found.averages[-1].ravel(), found.reference.ravel())[0, 1]
    assert likeness == pytest.approx(found.correlation[-1], abs=0.1)


def test_what_is_no_reference_is_refused():
    with pytest.raises(ValueError, match=r"reference: expected a square image \(L, L\), found \(4, 5\)"):
        model_bias(np.ones((4, 5)))
    with pytest.raises(ValueError, match="reference: expected an image with contrast and finite values"):
        model_bias(np.ones((32, 32)))
    with pytest.raises(ValueError, match="most: expected at least fewest = 128, found 64"):
        ModelBias(most=64)
    with pytest.raises(ValueError, match="does not leave a background"):
        model_bias(SHAPE.image(32), particle_diameter_A=200.0)
