"""Fits of maps, images and points by EM and Gibbs sampling: boxes of any sides, exact answers, resumed chains."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures import random_mixture
from vitreous.iterate import run
from vitreous.mixtures import (
    Mixture,
    MixtureFit,
    MixtureSampling,
    PointCloud,
    assign_points,
    cloud_data,
    cloud_grid,
    effective_sample_size,
    evaluate,
    expect_points,
    fit_algorithm,
    grid_fit_data,
    prepare_map,
    sample_points,
    sampling_algorithm,
)
from vitreous.particles import Volume

SHORT = MixtureSampling(components=6, start_steps=5, burn_in_steps=6, samples=4, steps_between=3, counts=3000)


def uneven() -> Volume:
    """A map of three different sides, one of them odd."""
    m = random_mixture(6, spread_A=10.0, sigma_A=6.0, seed=3)
    return Volume(data=evaluate(m, (14, 21, 18), 4.0) * 700, pixel_size_A=4.0)


def in_a_cube(volume: Volume, side: int) -> Volume:
    before = [side // 2 - n // 2 for n in volume.data.shape]
    pads = [(b, side - n - b) for b, n in zip(before, volume.data.shape, strict=True)]
    return Volume(data=np.pad(volume.data, pads), pixel_size_A=volume.pixel_size_A)


def test_em_in_a_box_of_three_sides_is_em_in_a_cube():
    """The origin is at n // 2 of every axis, so that zeros about a map change nothing."""
    box = uneven()
    fits = []
    for volume in (box, in_a_cube(box, 22)):
        data = grid_fit_data(volume, 1e4)
        mixture, last = run(fit_algorithm(data, MixtureFit(components=6, steps=15, tolerance=0)), seed=2)
        fits.append((mixture, last.log_posterior))
    (one, log_p), (two, other) = fits
    assert log_p == pytest.approx(other)
    assert np.allclose(one.means_A, two.means_A, atol=1e-6)
    assert np.allclose(one.weights, two.weights, atol=1e-9)


@pytest.mark.parametrize("flat", [False, True])
def test_both_questions_about_a_grid_are_those_about_its_points(flat):
    """EM and Gibbs see x, y(, z) of the same points, whatever the sides."""
    volume = uneven()
    if flat:
        volume = Volume(data=volume.data[7:8, :, :17], pixel_size_A=4.0)
    data = grid_fit_data(volume, 1e5)
    m = random_mixture(5, dimension=data.points_A.shape[1], spread_A=12.0, sigma_A=9.0)
    expected, direct = data.expect(m), expect_points(data.points_A, m, data.weights)
    assert np.allclose(expected.members, direct.members, rtol=1e-5)
    assert np.allclose(expected.first_A, direct.first_A, rtol=1e-4, atol=1e-2)
    assert expected.log_likelihood == pytest.approx(direct.log_likelihood, rel=1e-7)
    rng = np.random.default_rng(0)
    drawn = [data.assign(m, rng) for _ in range(10)]
    error = 6 * np.sqrt(1e5 / 10)  # of a number of counts; rounding adds little
    assert np.mean([d.members for d in drawn], axis=0).sum() == pytest.approx(1e5)
    assert np.abs(np.mean([d.members for d in drawn], axis=0) - direct.members).max() < error
    assert np.abs(np.mean([d.first_A for d in drawn], axis=0) - direct.first_A).max() < 20.0 * error
    assert drawn[0].log_likelihood == pytest.approx(direct.log_likelihood, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 7)] * 3), counts=st.integers(1, 500), seed=st.integers(0, 999))
def test_counts_stand_for_the_map_to_the_last_one(shape, counts, seed):
    """Every stretch of the map has its share of the counts, to one; rounding voxels would lose faint outskirts."""
    values = np.random.default_rng(seed).random(shape) ** 4 + 1e-6
    data = grid_fit_data(Volume(data=values, pixel_size_A=2.0), counts)
    whole = data.assign.args[0].counts.ravel()  # type: ignore[attr-defined]
    assert whole.sum() == counts
    assert np.abs(np.cumsum(whole) - np.cumsum(values / values.sum() * counts)).max() < 0.5 + 1e-3


@pytest.mark.parametrize("box", [10, 15, 30])
def test_a_smaller_grid_keeps_place_and_sum_along_every_axis(box):
    volume = uneven()
    reduced = prepare_map(volume, MixtureFit(box_px=box))
    assert max(reduced.data.shape) == min(box, 21)
    assert reduced.data.sum() * reduced.pixel_size_A**3 == pytest.approx(volume.data.sum() * 64.0, rel=0.02)
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        centres = [
            np.average((np.arange(n) - n // 2) * v.pixel_size_A, weights=v.data.sum(others))
            for v, n in ((volume, volume.data.shape[axis]), (reduced, reduced.data.shape[axis]))
        ]
        assert centres[0] == pytest.approx(centres[1], abs=0.4)
    image = Volume(data=volume.data[:1] + 1, pixel_size_A=4.0)
    flat = prepare_map(image, MixtureFit(box_px=10))
    assert len(flat.data) == 1
    assert flat.data.mean() == pytest.approx(image.data.mean(), rel=0.25)  # a mean over pixels, less a ragged border


def test_the_chain_has_the_exact_posterior_of_one_gaussian():
    """One component on points in a plane: the posterior is a normal times a gamma, integrated over the precision."""
    rng = np.random.default_rng(7)
    points = rng.normal(size=(12, 3)) * 8.0 + [3.0, -2.0, 0.0]
    data = cloud_data(PointCloud(points_A=points, times=np.ones(12, np.int64)))
    chosen = MixtureSampling(components=1, start_steps=2, burn_in_steps=50, samples=400, steps_between=10, seed=3)
    entries: list[dict] = []
    run(sampling_algorithm(data, chosen, shape=(4, 4, 4), pixel_size_A=8.0), seed=3, on_step=entries.append)
    sigma = np.concatenate([entry["sigmas_A"] for entry in entries if entry["stage"] == "sampling"])
    # p(s | x) with the mean integrated out, on a fine grid of log s.
    prior, n = data.prior, len(points)
    s = np.exp(np.linspace(np.log(1e-3), np.log(0.3), 4000))
    r, a, b = prior.mean_precision_per_A2, prior.precision_shape, prior.precision_rate_A2
    scatter = ((points - points.mean(0)) ** 2).sum()
    between = n * r * s / (n * s + r) * (points.mean(0) ** 2).sum()
    log_p = (a + 1.5 * n) * np.log(s) - b * s - 0.5 * s * scatter  # with the ds = s dlog(s) of the grid
    log_p += 1.5 * np.log(r / (n * s + r)) - 0.5 * between
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    exact = p @ s**-0.5
    error = np.sqrt(p @ (s**-0.5 - exact) ** 2 / effective_sample_size(sigma))
    assert abs(sigma.mean() - exact) < 4 * error
    assert sigma.std() == pytest.approx(np.sqrt(p @ (s**-0.5 - exact) ** 2), rel=0.1)


def test_posterior_mean_and_variance_are_those_of_the_samples():
    cloud = PointCloud(points_A=sample_points(random_mixture(3), 60, np.random.default_rng(1)), times=np.ones(60, int))
    data = cloud_data(cloud)
    shape, pixel = cloud_grid(cloud, 8)
    chosen = replace(SHORT, components=3)
    kept: list[Mixture] = []
    algorithm = sampling_algorithm(data, chosen, shape=shape, pixel_size_A=pixel)
    result, _ = run(algorithm, seed=0, save=lambda state: kept.append(state.mixture))
    densities = np.stack([evaluate(m, shape, pixel) for m in kept[-4:]])
    assert result.samples == 4
    assert np.allclose(result.mean, densities.mean(0), rtol=1e-4)
    assert np.allclose(result.variance, densities.var(0, ddof=1), rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("start_steps", [0, 5])
def test_a_resumed_chain_ends_with_the_same_bits(start_steps):
    chosen = replace(SHORT, start_steps=start_steps)
    volume = uneven()
    data = grid_fit_data(volume, chosen.counts)
    algorithm = sampling_algorithm(data, chosen, shape=volume.data.shape, pixel_size_A=4.0)
    states, one = [], []
    result, _ = run(algorithm, seed=0, save=states.append, on_step=one.append)
    for middle in (states[2], states[5]):
        two: list[dict] = []
        again, _ = run(algorithm, seed=0, state=middle, on_step=two.append)
        assert np.array_equal(result.mean, again.mean)
        assert np.array_equal(result.mixture.means_A, again.mixture.means_A)
        assert [e["log_posterior"] for e in two] == [e["log_posterior"] for e in one[middle.iteration :]]
    gibbs = [entry for entry in one if entry["stage"] != "em"]
    assert all(len(entry["log_posteriors"]) == len(entry["log_densities"]) == 3 for entry in gibbs)
    assert len(one) == start_steps + 2 + 4


def test_a_seed_is_one_seed_however_it_is_given():
    volume, means = uneven(), []
    data = grid_fit_data(volume, SHORT.counts)
    for chosen in (SHORT, replace(SHORT, seed=5)):
        algorithm = sampling_algorithm(data, chosen, shape=volume.data.shape, pixel_size_A=4.0)
        means.append(run(algorithm, seed=5)[0].mean)
    assert np.array_equal(*means)


def test_points_that_count_twice_are_two_points():
    points = np.random.default_rng(5).normal(size=(30, 3)) * 10
    times = np.random.default_rng(6).integers(1, 4, size=30)
    data = cloud_data(PointCloud(points_A=points, times=times))
    repeated = np.repeat(points, times, axis=0)
    m = random_mixture(4)
    one, two = data.expect(m), expect_points(repeated, m, np.ones(len(repeated)))
    assert np.allclose(one.members, two.members)
    assert data.total == len(repeated)
    drawn = data.assign(m, np.random.default_rng(0))
    assert drawn.log_likelihood == pytest.approx(assign_points(repeated, m, np.random.default_rng(1)).log_likelihood)
    assert drawn.members.sum() == len(repeated)


@pytest.mark.parametrize("kind", [MixtureFit, MixtureSampling])
def test_bad_settings_are_explained(kind):
    bad = {"components": 0, "counts": np.nan, "box_px": 3, "threshold": -1.0}
    bad |= {"tolerance": -1.0, "steps": 0} if kind is MixtureFit else {"samples": 0, "steps_between": 0}
    bad |= {} if kind is MixtureFit else {"burn_in_steps": -1, "start_steps": -1}
    for name, value in bad.items():
        with pytest.raises(ValueError, match=name):
            kind(**{name: value})
