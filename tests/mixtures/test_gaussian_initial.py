"""The whole algorithm under Gaussian noise on a small problem, and what it says about bad input."""

from dataclasses import replace

import numpy as np
import pytest

from mixtures import random_mixture
from vitreous.iterate import check_finite, run, state_from_arrays, state_to_arrays
from vitreous.mixtures import (
    GaussianInitialModel,
    GaussianState,
    evaluate,
    gaussian_initial_model,
    gaussian_initial_model_algorithm,
    project,
    rotate,
    symmetrise,
    translate,
)
from vitreous.mixtures.gaussian_noise.forward import apply_ctf
from vitreous.rotations import compare_poses, random_rotations, symmetry_matrices

ONE = np.eye(3)[None]
FLIP = np.diag([1.0, 1.0, -1.0])
PIXEL = 6.0
QUICK = GaussianInitialModel(
    restarts=2, components=25, box_px=24, rounds=32, rounds_annealed=26, global_rotations=400, mixture_steps=4,
    pose_steps=3, fine_components=40, fine_box_px=24, burn_in_steps=30, samples=5, steps_between=3,
)  # fmt: skip
SHORT = replace(QUICK, rounds=3, rounds_annealed=3, samples=2, burn_in_steps=5)


@pytest.fixture(scope="module")
def scene():
    """A lopsided object of twelve blobs, its poses, and 15 noisy images of different scale, background and centre."""
    truth = random_mixture(12, spread_A=22.0, sigma_A=8.0, seed=4)
    truth = translate(truth, -truth.weights @ truth.means_A)
    g = random_rotations(15, seed=5).numpy()
    rng = np.random.default_rng(6)
    images = project(truth, g, 24, PIXEL, offsets_A=rng.uniform(-5, 5, (15, 2)))
    images = images / images.std() + rng.standard_normal(images.shape) * 0.3
    images = images * rng.uniform(0.8, 1.2, (15, 1, 1)) - rng.uniform(0.0, 3.0, (15, 1, 1))
    return truth, g, images


@pytest.fixture(scope="module")
def found(scene):
    messages = []
    return gaussian_initial_model(scene[2], PIXEL, QUICK, on_step=messages.append), messages


def test_it_finds_poses_and_density(scene, found):
    truth, g, images = scene
    result, _ = found
    assert images.min() < -1.0
    poses = compare_poses(result.rotations, g, group=ONE, within_deg=20.0)
    assert poses.fraction > 0.9
    frame = (FLIP if poses.other_hand else np.eye(3)) @ poses.rotation.T
    framed = replace(truth, means_A=truth.means_A @ frame.T)
    mean = result.mean.data
    # By the mass in the box: a component that has left the field of all images is free to be anywhere.
    axis = (np.arange(24) - 12) * PIXEL
    centre = np.array([mean.sum(axis=others) @ axis for others in ((0, 1), (0, 2), (1, 2))]) / mean.sum()
    reference = evaluate(translate(framed, centre), 24, PIXEL)
    assert (mean * reference).sum() / np.sqrt((mean**2).sum() * (reference**2).sum()) > 0.93
    assert mean.sum() * PIXEL**3 == pytest.approx(1.0, abs=0.15)
    assert (result.variance.data >= 0).all()
    assert result.variance.data.max() > 0


def test_what_it_reports(found):
    result, messages = found
    assert [m["stage"] for m in messages].count("initial") == 32
    assert len(messages) == 32 + 10 + 5
    assert result.agreements[result.best].fraction == 1.0
    assert messages[31]["log_posterior"] > messages[5]["log_posterior"]
    assert np.mean([m["acceptance"] for m in messages[-5:]]) > 0.5


def test_resumed_from_its_arrays_it_ends_with_the_same_bits(scene):
    algorithm = gaussian_initial_model_algorithm(scene[2], PIXEL, SHORT)
    states = []
    straight, _ = run(algorithm, seed=0, save=states.append)
    for state in (states[2], states[4], states[5]):
        back = state_from_arrays(GaussianState, state_to_arrays(state))
        check_finite(back)
        resumed, _ = run(algorithm, seed=0, state=back)
        assert np.array_equal(resumed.mean.data, straight.mean.data)
        assert np.array_equal(resumed.rotations, straight.rotations)
    one_thread = gaussian_initial_model(scene[2], PIXEL, SHORT, threads=1)
    assert np.array_equal(one_thread.mean.data, straight.mean.data)


def test_a_seed_is_one_seed_however_it_is_given(scene):
    by_settings = gaussian_initial_model(scene[2], PIXEL, replace(SHORT, seed=5))
    by_run, _ = run(gaussian_initial_model_algorithm(scene[2], PIXEL, SHORT), seed=5)
    assert np.array_equal(by_settings.mean.data, by_run.mean.data)
    assert np.array_equal(by_settings.rotations, by_run.rotations)


def test_step_sizes_rest_while_samples_are_taken(scene):
    states = []
    run(gaussian_initial_model_algorithm(scene[2], PIXEL, SHORT), seed=0, save=states.append)
    before, first, second = (state.refined.steps for state in states[-3:])
    assert first.means.log_step == second.means.log_step
    assert np.array_equal(first.poses.log_step, second.poses.log_step)
    assert before.means.count > 0
    assert first.means.count == 0


def test_symmetry_is_exact_and_ctf_is_taken(scene):
    group = symmetry_matrices("C3").numpy()
    unit = random_mixture(4, spread_A=25.0, sigma_A=8.0, seed=7)
    images = project(symmetrise(unit, group), random_rotations(8, seed=8).numpy(), 24, PIXEL)
    k = np.hypot(np.fft.fftfreq(24)[:, None], np.fft.rfftfreq(24))
    ctf = np.stack([np.cos(c * k**2 - 0.4) for c in np.linspace(20, 40, 8)])
    result = gaussian_initial_model(apply_ctf(images, ctf), PIXEL, replace(SHORT, symmetry="C3"), ctf=ctf)
    density = evaluate(result.mixture, 24, PIXEL)
    turned = evaluate(rotate(result.mixture, group[1]), 24, PIXEL)
    assert np.allclose(turned, density, atol=1e-5 * density.max())


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.where(np.arange(3)[:, None, None] == 1, np.nan, np.eye(12)[None]), r"average 2 .*NaN"),
        (np.eye(12) * np.array([0.0, 1.0, 1.0])[:, None, None], r"average 1 .*everywhere"),
        (np.eye(12)[None], "one direction of view"),
        (np.ones((3, 12, 10)), "square"),
        ([np.ones((12, 12)), np.ones((10, 10))], "same box"),
    ],
)
def test_bad_averages_are_explained(images, words):
    with pytest.raises(ValueError, match=words):
        gaussian_initial_model(images, PIXEL, QUICK)


def test_bad_settings_are_explained():
    images = np.random.default_rng(0).normal(size=(3, 12, 12))
    with pytest.raises(ValueError, match="restarts"):
        replace(QUICK, restarts=0)
    with pytest.raises(ValueError, match="power_first"):
        replace(QUICK, power_first=0.0)
    with pytest.raises(ValueError, match="acceptance"):
        replace(QUICK, acceptance=0.99)
    with pytest.raises(ValueError, match="pixel_size_A"):
        gaussian_initial_model(images, 0.0, QUICK)
    with pytest.raises(ValueError, match="symmetry group"):
        gaussian_initial_model(images, PIXEL, replace(QUICK, symmetry="Z9"))
    with pytest.raises(ValueError, match="ctf"):
        gaussian_initial_model(images, PIXEL, QUICK, ctf=np.ones((3, 12, 12)))
