"""Reconstruction with known poses: on small objects with known truth, resumed, with offsets, and bad input."""

from dataclasses import replace

import numpy as np
import pytest

from mixtures import random_mixture
from vitreous.iterate import check_finite, run, state_from_arrays, state_to_arrays
from vitreous.mixtures import (
    KnownPoses,
    KnownPosesState,
    MixturePrior,
    count_images,
    evaluate,
    known_poses_algorithm,
    project,
    reconstruct_known,
    rotate,
    sample_prior,
    symmetrise,
)
from vitreous.mixtures.gibbs_projections import default_prior
from vitreous.mixtures.known.start import back_projected_start
from vitreous.rotations import random_rotations, symmetry_matrices

ONE = np.eye(3)[None]
BOX, PIXEL = 24, 6.0
QUICK = KnownPoses(components=40, counts=2000, burn_in_steps=60, samples=10, steps_between=5)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


@pytest.fixture(scope="module")
def scene():
    """A lopsided object of twelve blobs off the centre, its poses and 12 images."""
    truth = random_mixture(12, spread_A=20.0, sigma_A=8.0, seed=4)
    g = random_rotations(12, seed=5).numpy()
    return truth, g, project(truth, g, BOX, PIXEL)


@pytest.fixture(scope="module")
def found(scene):
    _, g, images = scene
    messages = []
    return reconstruct_known(images, g, PIXEL, QUICK, on_step=messages.append), messages


def test_it_finds_the_density_in_the_frame_of_the_poses(scene, found):
    truth, g, images = scene
    result, _ = found
    mean = result.mean.data
    assert correlation(mean, evaluate(truth, BOX, PIXEL)) > 0.97
    assert mean.sum() * PIXEL**3 == pytest.approx(1.0, abs=0.03)
    assert result.mean.pixel_size_A == pytest.approx(PIXEL)
    assert np.array_equal(result.rotations, g)
    assert (result.origins_A == 0).all()
    seen = project(result.mixture, g, BOX, PIXEL)
    assert min(correlation(a, b) for a, b in zip(seen, images, strict=True)) > 0.98


def test_mean_is_better_than_a_sample_and_the_variance_says_why(scene, found):
    result, _ = found
    reference = evaluate(scene[0], BOX, PIXEL)
    sample = evaluate(result.mixture, BOX, PIXEL)
    assert correlation(result.mean.data, reference) > correlation(sample, reference)
    assert (result.variance.data >= 0).all()
    error, deviation = np.abs(sample - result.mean.data), np.sqrt(result.variance.data)
    assert np.corrcoef(error.ravel(), deviation.ravel())[0, 1] > 0.5


def test_posterior_intervals_cover_the_truth():
    """Objects from the prior, counts drawn from their images: intervals of the density hold it at their rate."""
    prior = MixturePrior(mean_precision_per_A2=1 / 18**2)
    settings = KnownPoses(components=6, counts=300, burn_in_steps=150, samples=60, steps_between=8)
    scores = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        truth, g = sample_prior(prior, 6, 3, rng), random_rotations(6, seed=seed).numpy()
        share = project(truth, g, 20, 7.0).astype(float).reshape(6, -1)
        drawn = rng.multinomial(300, share / share.sum(axis=1, keepdims=True)).reshape(6, 20, 20)
        result = reconstruct_known(drawn, g, 7.0, replace(settings, seed=seed))
        density = evaluate(truth, 20, 7.0)
        there = density > 0.1 * density.max()
        scores.append((density - result.mean.data)[there] / np.sqrt(result.variance.data[there]))
    for within, low, high in ((0.674, 0.38, 0.60), (1.645, 0.78, 0.95)):  # of a normal distribution 50 and 90 %
        assert low < np.mean([(np.abs(z) < within).mean() for z in scores]) < high


def test_what_it_reports(found):
    result, messages = found
    assert [m["stage"] for m in messages] == ["burn-in"] * 12 + ["samples"] * 10
    assert np.array_equal(result.log_posteriors, [m["log_posterior"] for m in messages])
    assert result.log_posteriors[12:].min() > result.log_posteriors[0]


def test_it_starts_where_all_images_have_density(scene):
    truth, g, images = scene
    data = count_images(images, PIXEL, 2000)
    start = back_projected_start(data, g[:, None], np.zeros((12, 2)), 300, default_prior(data), seed=1)
    density = evaluate(truth, BOX, PIXEL)
    x, y, z = (np.rint(start.means_A / PIXEL).astype(int) + BOX // 2).T.clip(0, BOX - 1)
    assert density[z, y, x].mean() > 5 * density.mean()
    assert len(np.unique(start.means_A, axis=0)) == 300


def test_origins_move_the_images_to_the_centre(scene):
    truth, g, _ = scene
    where = np.random.default_rng(2).uniform(-14, 14, (12, 2))
    images = project(truth, g, 2 * BOX, PIXEL / 1.5, offsets_A=where)
    mean = reconstruct_known(images, g, PIXEL / 1.5, QUICK, origins_A=-where).mean.data
    reference = evaluate(truth, 2 * BOX, PIXEL / 1.5)
    assert correlation(mean, reference) > 0.96
    assert correlation(reconstruct_known(images, g, PIXEL / 1.5, QUICK).mean.data, reference) < 0.93


def test_wrong_origins_are_found_when_they_are_drawn(scene):
    truth, g, _ = scene
    where = np.random.default_rng(3).normal(size=(12, 2)) * 5.0
    images = project(truth, g, BOX, PIXEL, offsets_A=where)
    fixed, drawn = (
        reconstruct_known(images, g, PIXEL, replace(QUICK, offset_sd_A=sd), origins_A=np.zeros((12, 2)))
        for sd in (0.0, 6.0)
    )
    # What all offsets have in common is a move of the particle.
    planes = g[:, :, :2].swapaxes(1, 2).reshape(-1, 3)
    by, *_ = np.linalg.lstsq(planes, where.ravel(), rcond=None)
    own = where.ravel() - planes @ by
    assert np.abs(-drawn.origins_A.ravel() - own).max() < 1.5
    reference = evaluate(replace(truth, means_A=truth.means_A + by), BOX, PIXEL)
    assert correlation(drawn.mean.data, reference) > max(0.96, correlation(fixed.mean.data, reference))
    seen = project(drawn.mixture, g, BOX, PIXEL, offsets_A=-drawn.origins_A)
    assert min(correlation(a, b) for a, b in zip(seen, images, strict=True)) > 0.98


@pytest.mark.parametrize("offset_sd_A", [0.0, 4.0])
def test_resumed_from_its_arrays_it_ends_with_the_same_bits(scene, offset_sd_A):
    _, g, images = scene
    quick = replace(QUICK, burn_in_steps=6, samples=3, steps_between=2, offset_sd_A=offset_sd_A)
    algorithm = known_poses_algorithm(images, g, PIXEL, quick)
    states = []
    straight, _ = run(algorithm, seed=0, save=states.append)
    for state in (states[0], states[2], states[4]):
        back = state_from_arrays(KnownPosesState, state_to_arrays(state))
        check_finite(back)
        resumed, _ = run(algorithm, seed=0, state=back)
        assert np.array_equal(resumed.mean.data, straight.mean.data)
        assert np.array_equal(resumed.origins_A, straight.origins_A)
        assert np.array_equal(resumed.log_posteriors, straight.log_posteriors)
    one_thread = reconstruct_known(images, g, PIXEL, quick, threads=1)
    assert np.array_equal(one_thread.variance.data, straight.variance.data)


def test_a_seed_is_one_seed_however_it_is_given(scene):
    _, g, images = scene
    quick = replace(QUICK, burn_in_steps=4, samples=2, steps_between=2)
    by_settings = reconstruct_known(images, g, PIXEL, replace(quick, seed=5))
    by_run, _ = run(known_poses_algorithm(images, g, PIXEL, quick), seed=5)
    assert np.array_equal(by_settings.mean.data, by_run.mean.data)
    assert not np.array_equal(reconstruct_known(images, g, PIXEL, quick).mean.data, by_run.mean.data)


@pytest.mark.parametrize("offset_sd_A", [0.0, 4.0])
def test_symmetry_is_exact_and_helps(offset_sd_A):
    group = symmetry_matrices("C3").numpy()
    unit = random_mixture(4, spread_A=22.0, sigma_A=8.0, seed=7)
    g = random_rotations(4, seed=8).numpy()
    truth = symmetrise(unit, group)
    settings = replace(QUICK, symmetry="C3", offset_sd_A=offset_sd_A)
    result = reconstruct_known(project(truth, g, BOX, PIXEL), g, PIXEL, settings)
    density = evaluate(result.mixture, BOX, PIXEL)
    assert np.allclose(evaluate(rotate(result.mixture, group[1]), BOX, PIXEL), density, atol=1e-5 * density.max())
    assert correlation(result.mean.data, evaluate(truth, BOX, PIXEL)) > 0.95


GOOD = np.ones((3, 12, 12))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.where(np.arange(3)[:, None, None] == 1, np.nan, GOOD), r"average 2 .*NaN"),
        (GOOD * np.array([1.0, 1.0, -1.0])[:, None, None], r"average 3 .*negative.*Deconvolve"),
        (GOOD * np.array([0.0, 1.0, 1.0])[:, None, None], r"average 1 .*zero everywhere"),
        (GOOD[:1], "one direction of view"),
        (np.ones((3, 12, 10)), "square"),
        ([np.ones((12, 12)), np.ones((10, 10))], "same box"),
    ],
)
def test_bad_images_are_explained(images, words):
    with pytest.raises(ValueError, match=words):
        reconstruct_known(images, np.stack([np.eye(3)] * len(images)), PIXEL, QUICK)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"rotations": np.stack([np.eye(3)] * 2)}, "one for each of 3 images, found 2"),
        ({"rotations": np.ones((3, 3))}, "shape"),
        ({"rotations": np.stack([np.diag([1.0, 1.0, -1.0])] * 3)}, "determinant"),
        ({"origins_A": np.zeros(3)}, "origins_A"),
        ({"origins_A": np.full((3, 2), np.nan)}, "origins_A"),
        ({"origins_A": np.array([[0.0, 0.0], [4000.0, 0.0], [0.0, 0.0]])}, r"average 2: .*origins in Angstrom"),
        ({"settings": replace(QUICK, symmetry="Z9")}, "symmetry group"),
    ],
)
def test_bad_poses_are_explained(more, words):
    given = {"rotations": random_rotations(3, seed=1).numpy(), "settings": QUICK} | more
    with pytest.raises(ValueError, match=words):
        reconstruct_known(GOOD, pixel_size_A=PIXEL, **given)


def test_bad_settings_are_explained():
    for name, value in (("components", 1), ("counts", 0), ("samples", 0), ("offset_sd_A", -1.0)):
        with pytest.raises(ValueError, match=name):
            KnownPoses(**{name: value})
    with pytest.raises(ValueError, match="offset_sd_A"):
        KnownPoses(offset_sd_A=float("nan"))
