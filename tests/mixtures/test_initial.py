"""The whole algorithm on a small problem, its parts, and what it says about bad input."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mixtures import random_mixture
from vitreous.iterate import check_finite, run, state_from_arrays, state_to_arrays
from vitreous.mixtures import PosedMixture, evaluate, project, rotate, symmetrise, translate
from vitreous.mixtures.averages import reduce_images
from vitreous.mixtures.poisson_poses import InitialModel, PoissonState, initial_model, initial_model_algorithm
from vitreous.mixtures.poisson_poses.attempts import attempts_of, rotations_in_round
from vitreous.mixtures.posterior_maps import add_sample, aligned_mixture, no_samples, posterior_variance
from vitreous.mixtures.restarts import best_attempts
from vitreous.quality import centres_of_mass
from vitreous.rotations import compare_poses, random_rotations, symmetry_matrices

ONE = np.eye(3)[None]
FLIP = np.diag([1.0, 1.0, -1.0])
QUICK = InitialModel(
    restarts=2, components=30, box_px=20, counts=400, rounds=26, rounds_annealed=20, global_rotations=400,
    fine_components=60, fine_box_px=24, fine_counts=1500, burn_in_steps=40, samples=5, steps_between=5,
)  # fmt: skip
PIXEL = 6.0


def rigid(seed: int) -> np.ndarray:
    return Rotation.random(rng=seed).as_matrix()


@pytest.fixture(scope="module")
def scene():
    """A lopsided object of twelve blobs, its poses and 15 images."""
    truth = random_mixture(12, spread_A=22.0, sigma_A=8.0, seed=4)
    truth = translate(truth, -truth.weights @ truth.means_A)
    g = random_rotations(15, seed=5).numpy()
    return truth, g, project(truth, g, 24, PIXEL)


@pytest.fixture(scope="module")
def found(scene):
    messages = []
    return initial_model(scene[2], PIXEL, QUICK, on_step=messages.append), messages


def test_it_finds_poses_and_density(scene, found):
    truth, g, _ = scene
    result, _ = found
    poses = compare_poses(result.rotations, g, group=ONE, within_deg=20.0)
    assert poses.fraction > 0.9
    assert result.poses_kept.fraction > 0.9
    # G = M G_found, or M F G_found F: the truth in the frame of the result.
    frame = (FLIP if poses.other_hand else np.eye(3)) @ poses.rotation.T
    framed = replace(truth, means_A=truth.means_A @ frame.T)
    reference = evaluate(translate(framed, result.mixture.weights @ result.mixture.means_A), 24, PIXEL)
    mean = result.mean.data
    assert (mean * reference).sum() / np.sqrt((mean**2).sum() * (reference**2).sum()) > 0.93
    assert result.mean.pixel_size_A == pytest.approx(PIXEL)
    assert mean.sum() * PIXEL**3 == pytest.approx(1.0, abs=0.02)
    assert (result.variance.data >= 0).all()
    assert result.variance.data.max() > 0
    assert np.abs(result.origins_A).max() < 4.0


def test_what_it_reports(found):
    result, messages = found
    assert [m["stage"] for m in messages].count("initial") == 26
    assert len(messages) == 26 + 8 + 5
    assert result.best == int(result.scores.argmax())
    assert result.agreements[result.best].fraction == 1.0
    assert 1 <= result.restarts_agreeing <= 2
    first, last = messages[5]["log_posterior"], messages[25]["log_posterior"]
    assert last > first


def test_resumed_from_its_arrays_it_ends_with_the_same_bits(scene):
    quick = InitialModel(**{**vars(QUICK), "rounds": 3, "rounds_annealed": 3, "samples": 2, "burn_in_steps": 5})
    algorithm = initial_model_algorithm(scene[2], PIXEL, quick)
    states = []
    straight, _ = run(algorithm, seed=0, save=states.append)
    for state in (states[2], states[4]):
        back = state_from_arrays(PoissonState, state_to_arrays(state))
        check_finite(back)
        resumed, _ = run(algorithm, seed=0, state=back)
        assert np.array_equal(resumed.mean.data, straight.mean.data)
        assert np.array_equal(resumed.rotations, straight.rotations)
    one_thread = initial_model(scene[2], PIXEL, quick, threads=1)
    assert np.array_equal(one_thread.mean.data, straight.mean.data)


def test_a_seed_is_one_seed_however_it_is_given(scene):
    """The steps draw by the seed of the state; that of the settings matters where a run is started with it."""
    tiny = InitialModel(**{**vars(QUICK), "rounds": 2, "rounds_annealed": 2, "samples": 2, "burn_in_steps": 5})
    by_settings = initial_model(scene[2], PIXEL, replace(tiny, seed=5))
    by_run, last = run(initial_model_algorithm(scene[2], PIXEL, tiny), seed=5)
    assert last.seed == 5
    assert np.array_equal(by_settings.mean.data, by_run.mean.data)
    assert np.array_equal(by_settings.rotations, by_run.rotations)
    assert not np.array_equal(initial_model(scene[2], PIXEL, tiny).mean.data, by_run.mean.data)


def test_symmetry_is_exact_in_the_result():
    group = symmetry_matrices("C3").numpy()
    unit = random_mixture(4, spread_A=25.0, sigma_A=8.0, seed=7)
    images = project(symmetrise(unit, group), random_rotations(8, seed=8).numpy(), 24, PIXEL)
    quick = {**vars(QUICK), "symmetry": "C3", "rounds": 4, "rounds_annealed": 3, "samples": 2, "burn_in_steps": 10}
    result = initial_model(images, PIXEL, InitialModel(**quick))
    turned = rotate(result.mixture, group[1])
    density = evaluate(result.mixture, 24, PIXEL)
    assert np.allclose(evaluate(turned, 24, PIXEL), density, atol=1e-5 * density.max())


def test_with_symmetry_the_best_of_several_attempts_goes_on():
    group = symmetry_matrices("C3").numpy()
    assert [attempts_of(symmetry_matrices(name).numpy()) for name in ("C1", "C3", "D2", "D7")] == [1, 3, 4, 4]
    images = project(symmetrise(random_mixture(4, seed=7), group), random_rotations(5, seed=8).numpy(), 16, PIXEL)
    quick = {**vars(QUICK), "symmetry": "C3", "rounds": 3, "rounds_annealed": 3, "samples": 1, "burn_in_steps": 1}
    algorithm = initial_model_algorithm(images, PIXEL, InitialModel(**quick))
    state, states, shown = algorithm.init(0), [], []
    for _ in range(3):
        state, info = algorithm.step(state)
        states.append(state)
        shown.append(info["log_posteriors"])
    assert [len(s.restarts) for s in states] == [6, 2, 2]
    assert [len(values) for values in shown] == [2, 2, 2]
    assert shown[0] == states[0].log_posteriors.reshape(2, 3).max(axis=1).tolist()
    assert states[1].log_posteriors.tolist() == shown[1]
    assert [rotations_in_round(InitialModel(**quick), group, r) for r in range(3)] == [134, 134, 400]
    assert [rotations_in_round(InitialModel(**quick), ONE, r) for r in range(3)] == [400, 400, 400]
    assert best_attempts([3.0, 5.0, 4.0, -1.0, -9.0, -2.0], 2).tolist() == [1, 3]
    assert best_attempts([3.0, 5.0], 2).tolist() == [0, 1]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999), hand=st.booleans(), name=st.sampled_from(["C1", "C4", "D2", "O"]), wrong=st.integers(0, 4)
)
def test_compare_poses_finds_the_frame_hand_and_misfits(seed, hand, name, wrong):
    rng = np.random.default_rng(seed)
    group = symmetry_matrices(name).numpy()
    g = Rotation.random(14, rng=rng).as_matrix()
    m = rigid(seed) if name == "C1" else group[rng.integers(len(group))]
    noise = Rotation.from_rotvec(rng.normal(size=(14, 3)) * 0.02).as_matrix()
    second = m @ (FLIP @ g @ FLIP if hand else g)
    copies = group[rng.integers(len(group), size=14)]
    second = copies @ noise @ second
    second[:wrong] = Rotation.random(wrong, rng=rng).as_matrix() if wrong else second[:0]
    found = compare_poses(g, second, group=group, within_deg=10.0)
    assert found.agrees[wrong:].all()
    if name == "C1":
        assert found.other_hand == hand
        assert np.rad2deg(Rotation.from_matrix(found.rotation.T @ m).magnitude()) < 4.0


def test_samples_are_brought_into_one_frame():
    model = PosedMixture(
        mixture=random_mixture(6, seed=1), rotations=random_rotations(9, seed=2).numpy(), offsets_A=np.zeros((9, 2))
    )
    a, d = rigid(3), np.array([3.0, -4.0, 5.0])
    moved = PosedMixture(
        mixture=translate(rotate(model.mixture, a), d),
        rotations=a @ model.rotations,
        offsets_A=-((a @ model.rotations).swapaxes(1, 2) @ d)[:, :2],
    )
    images = [project(p.mixture, p.rotations, 16, 6.0, offsets_A=p.offsets_A) for p in (model, moved)]
    assert np.allclose(*images, atol=1e-8)
    assert np.allclose(aligned_mixture(moved, model, ONE).means_A, model.mixture.means_A, atol=1e-9)
    group = symmetry_matrices("C5").numpy()
    about_z = Rotation.from_euler("z", 0.4).as_matrix()
    along_z = np.array([0.0, 0.0, 6.0])
    moved = PosedMixture(
        mixture=translate(rotate(model.mixture, about_z), along_z),
        rotations=about_z @ model.rotations,
        offsets_A=-((about_z @ model.rotations).swapaxes(1, 2) @ along_z)[:, :2],
    )
    assert np.allclose(
        aligned_mixture(moved, model, group).means_A, symmetrise(model.mixture, group).means_A, atol=1e-9
    )


def test_posterior_mean_and_variance():
    samples = [random_mixture(5, seed=s) for s in range(4)]
    sums = no_samples(12)
    for sample in samples:
        sums = add_sample(sums, sample, 5.0)
    densities = np.stack([evaluate(s, 12, 5.0) for s in samples])
    assert np.allclose(sums.mean, densities.mean(0), rtol=1e-4, atol=1e-9)
    assert np.allclose(posterior_variance(sums), densities.var(0, ddof=1), rtol=1e-3, atol=1e-14)


@pytest.mark.parametrize(("old", "new"), [(24, 24), (24, 16), (25, 16), (50, 32), (10, 32)])
def test_reduced_images_keep_sum_sign_and_centre(old, new):
    m = random_mixture(5, dimension=2, spread_A=6.0, sigma_A=6.0)
    image = evaluate(translate(m, np.array([7.0, -5.0])), old, 96.0 / old)[None].astype(float)
    centre = centres_of_mass(image, 96.0 / old)
    reduced = reduce_images(image, 96.0 / old, centre, new)
    assert reduced.images.shape[1] == min(old, new)
    assert reduced.images.min() >= 0
    assert reduced.images.sum() == pytest.approx(image.sum(), rel=2e-3)
    assert np.abs(centres_of_mass(reduced.images, reduced.pixel_size_A)).max() < 0.1


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.where(np.arange(3)[:, None, None] == 1, np.nan, np.ones((3, 12, 12))), r"average 2 .*NaN"),
        (np.ones((3, 12, 12)) * np.array([1.0, 1.0, -1.0])[:, None, None], r"average 3 .*negative.*Deconvolve"),
        (np.ones((3, 12, 12)) * np.array([0.0, 1.0, 1.0])[:, None, None], r"average 1 .*zero everywhere"),
        (np.ones((1, 12, 12)), "one direction of view"),
        (np.ones((3, 12, 10)), "square"),
        ([np.ones((12, 12)), np.ones((10, 10))], "same box"),
    ],
)
def test_bad_averages_are_explained(images, words):
    with pytest.raises(ValueError, match=words):
        initial_model(images, PIXEL, QUICK)


def test_bad_settings_are_explained():
    with pytest.raises(ValueError, match="restarts"):
        InitialModel(restarts=0)
    with pytest.raises(ValueError, match="counts_first"):
        InitialModel(counts_first=2000)
    with pytest.raises(ValueError, match="pixel_size_A"):
        initial_model(np.ones((3, 12, 12)), 0.0, QUICK)
    with pytest.raises(ValueError, match="symmetry group"):
        initial_model(np.ones((3, 12, 12)), PIXEL, InitialModel(symmetry="Z9"))
