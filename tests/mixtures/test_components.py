"""The number of components chosen from the data: the rule, the score, both kinds of chains, resuming."""

from dataclasses import replace

import numpy as np
import pytest

from vitreous.iterate import run, state_from_arrays, state_to_arrays
from vitreous.mixtures import (
    ComponentChoice,
    Counts,
    GaussianInitialModel,
    GaussianState,
    InitialModel,
    Mixture,
    PosedMixture,
    choose_components,
    gaussian_initial_model_algorithm,
    initial_model_algorithm,
    project,
)
from vitreous.mixtures.choose_components import LADDER, held_out_views, log_predictive_of_views, tried
from vitreous.mixtures.gaussian_noise import Chain, NoisyImages, NoisyMixture, Sampler
from vitreous.mixtures.gaussian_noise.held_out import predict_views as predict_noisy_views
from vitreous.mixtures.gaussian_noise.noisy_stages import first_steps
from vitreous.mixtures.gaussian_noise.prepare import default_noise_prior
from vitreous.mixtures.poisson_poses import PoissonState
from vitreous.mixtures.poisson_poses.held_out import predict_views
from vitreous.rotations import random_rotations

ONE = np.eye(3)[None]
PIXEL = 6.0
BOX = 20
VIEWS = 16
TINY = InitialModel(
    restarts=1, components=12, box_px=16, counts=200, rounds=2, rounds_annealed=2, global_rotations=40,
    fine_components="auto", fine_box_px=16, fine_counts=300, burn_in_steps=2, samples=2, steps_between=1,
)  # fmt: skip
TINY_GAUSSIAN = GaussianInitialModel(
    restarts=1, components=12, box_px=12, rounds=2, rounds_annealed=2, global_rotations=40, mixture_steps=1,
    pose_steps=1, fine_components="auto", fine_box_px=12, burn_in_steps=1, samples=2, steps_between=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def truth():
    """Six blobs far from each other, seen from known directions."""
    corners = np.concatenate([np.eye(3), -np.eye(3)]) * np.array([[24.0], [27.0], [30.0], [33.0], [36.0], [21.0]])
    mixture = Mixture(means_A=corners - corners.mean(axis=0), weights=np.full(6, 1 / 6), precision_per_A2=7.0**-2)
    return PosedMixture(
        mixture=mixture, rotations=random_rotations(VIEWS, seed=2).numpy(), offsets_A=np.zeros((VIEWS, 2))
    )


def coarse(truth: PosedMixture) -> PosedMixture:
    """The start of a refinement that knows the poses and the extent, and not much else."""
    blurred = replace(truth.mixture, precision_per_A2=18.0**-2)
    return replace(truth, mixture=blurred)


def test_the_fewest_within_one_standard_error_of_the_best_are_chosen():
    best = np.array([10.0, 12.0, 9.0, 11.0])
    near, far = best - np.array([2.0, -1.5, 1.0, -1.0]), best - np.array([2.0, 2.5, 1.5, 2.0])
    choice = ComponentChoice(components=np.array([5, 10, 20, 40]), log_predictive=np.stack([far, near, best, near]))
    assert choice.chosen == 10
    assert choice.behind == pytest.approx([8.0, 0.5, 0.0, 0.5])
    assert choice.standard_errors[0] == pytest.approx(2.0 * np.std([2.0, 2.5, 1.5, 2.0], ddof=1))
    assert tried(choice)["components"] == 10
    assert tried(choice)["components_tried"] == [5, 10, 20, 40]
    certain = replace(choice, log_predictive=np.stack([far, far, best, best]))
    assert certain.chosen == 20


def test_rungs_are_tried_in_order_whatever_the_threads():
    seen = [choose_components(lambda k: np.array([k, k + 1.0]), (8, 2, 4, 2), threads=t) for t in (1, 3)]
    assert all(np.array_equal(choice.components, [2, 4, 8]) for choice in seen)
    assert np.array_equal(seen[0].log_predictive, seen[1].log_predictive)
    assert seen[0].chosen == 8


def test_a_fifth_of_the_views_is_held_out():
    held_out = held_out_views(25, seed=3)
    assert held_out.sum() == 5
    assert np.array_equal(held_out, held_out_views(25, seed=3))
    assert any(not np.array_equal(held_out, held_out_views(25, seed=s)) for s in range(4))
    assert held_out_views(6, seed=0).sum() == 2
    with pytest.raises(ValueError, match="at least 6 averages"):
        held_out_views(5, seed=0)


def test_log_predictive_under_noise_against_least_squares():
    rng = np.random.default_rng(1)
    predicted = rng.normal(size=(3, 9, 9))
    images = np.array([2.0, 0.5, -1.0])[:, None, None] * predicted + 3.0 + rng.normal(size=(3, 9, 9))
    found = log_predictive_of_views(images, predicted)
    for i in range(2):
        system = np.stack([predicted[i].ravel(), np.ones(81)], axis=1)
        _, squares, *_ = np.linalg.lstsq(system, images[i].ravel(), rcond=None)
        assert found[i] == pytest.approx(-40.5 * np.log(squares[0]))
    # A scale cannot be negative: the best for a mirrored contrast is 0.
    assert found[2] == pytest.approx(-40.5 * np.log(((images[2] - images[2].mean()) ** 2).sum()))


def test_count_model_finds_about_as_many_components_as_there_are(truth):
    share = project(truth.mixture, truth.rotations, BOX, PIXEL).astype(float).reshape(VIEWS, -1)
    share /= share.sum(axis=1, keepdims=True)
    drawn = np.random.default_rng(5).multinomial(500, share).reshape(VIEWS, BOX, BOX)
    data, held_out = Counts(counts=drawn, pixel_size_A=PIXEL), held_out_views(VIEWS, seed=0)

    def predict(components: int) -> np.ndarray:
        return predict_views(data, coarse(truth), InitialModel(), ONE, components=components, held_out=held_out)

    choice = choose_components(predict, (3, 6, 12, 96))
    assert choice.chosen in (6, 12)
    assert choice.behind[0] > 3.0 * choice.standard_errors[0]
    assert choice.log_predictive.shape == (4, held_out.sum())


def test_noise_model_finds_about_as_many_components_as_there_are(truth):
    images = project(truth.mixture, truth.rotations, BOX, PIXEL)
    images = images / images.std() + np.random.default_rng(6).standard_normal(images.shape) * 0.5
    data = NoisyImages(images=images, pixel_size_A=PIXEL)
    sampler = Sampler(data=data, prior=default_noise_prior(data, 10.0), group=ONE)
    scale = 1.0 / project(truth.mixture, truth.rotations, BOX, PIXEL).std()
    model = NoisyMixture(
        posed=coarse(truth),
        scales=np.full(VIEWS, scale),
        backgrounds=np.zeros(VIEWS),
        noise_precisions=np.full(VIEWS, 2.0),
    )
    chain, held_out = Chain(model=model, steps=first_steps(VIEWS)), held_out_views(VIEWS, seed=0)

    def predict(components: int) -> np.ndarray:
        return predict_noisy_views(sampler, chain, GaussianInitialModel(), components=components, held_out=held_out)

    choice = choose_components(predict, (3, 6, 12))
    assert choice.chosen in (6, 12)
    assert choice.behind[0] > 3.0 * choice.standard_errors[0]


@pytest.mark.parametrize(
    ("algorithm_of", "settings", "state_type"),
    [
        (initial_model_algorithm, TINY, PoissonState),
        (gaussian_initial_model_algorithm, TINY_GAUSSIAN, GaussianState),
    ],
)
def test_the_choice_is_made_once_and_kept_by_a_checkpoint(truth, algorithm_of, settings, state_type):
    images = project(truth.mixture, truth.rotations[:6], 16, PIXEL)
    algorithm = algorithm_of(images, PIXEL, settings)
    states, messages = [], []
    straight, last = run(algorithm, seed=0, save=states.append, on_step=messages.append)
    assert [m["components"] for m in messages if "components" in m] == [last.choice.chosen]
    assert last.choice.components.tolist() == list(LADDER)
    assert len(straight.mixture) == last.choice.chosen
    assert [state.choice is None for state in states] == [True] * 3 + [False] * (len(states) - 3)
    for state in (states[2], states[3]):
        resumed, final = run(algorithm, seed=0, state=state_from_arrays(state_type, state_to_arrays(state)))
        assert np.array_equal(final.choice.log_predictive, last.choice.log_predictive)
        assert np.array_equal(resumed.mean.data, straight.mean.data)


def test_too_few_averages_and_other_words_are_refused(truth):
    images = project(truth.mixture, truth.rotations[:4], 16, PIXEL)
    for algorithm_of, settings in ((initial_model_algorithm, TINY), (gaussian_initial_model_algorithm, TINY_GAUSSIAN)):
        with pytest.raises(ValueError, match="at least 6 averages"):
            algorithm_of(images, PIXEL, settings)
        for value in ("many", 1):
            with pytest.raises(ValueError, match="fine_components"):
                replace(settings, fine_components=value)
