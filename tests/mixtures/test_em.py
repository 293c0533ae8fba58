"""EM climbs, counts the data once, and finds what it should."""

import numpy as np
import pytest

from mixtures import random_mixture, require_shared
from vitreous.iterate import run
from vitreous.mixtures import (
    FitData,
    Mixture,
    MixtureFit,
    MixturePrior,
    PointCloud,
    cloud_data,
    em_step,
    evaluate,
    expect_grid,
    expect_points,
    fit_algorithm,
    grid_data,
    grid_fit_data,
    log_prior,
    sample_points,
)
from vitreous.particles import Volume
from vitreous.simulate import read_atoms, volume_from_atoms

PRIOR = MixturePrior(mean_precision_per_A2=1e-3, precision_shape=3.0, precision_rate_A2=60.0, concentration=2.0)


def fitted(data: FitData, components: int, *, steps: int, seed: int) -> tuple[Mixture, np.ndarray]:
    """(mixture, log posterior before every step)."""
    seen: list[float] = []
    settings = MixtureFit(components=components, steps=steps, tolerance=0.0)
    mixture, _ = run(fit_algorithm(data, settings), seed=seed, on_step=lambda info: seen.append(info["log_posterior"]))
    return mixture, np.array(seen)


def seen_as(values: np.ndarray, pixel_size_A: float, counts: float) -> FitData:
    """An image or a map to fit."""
    return grid_fit_data(Volume(data=np.atleast_3d(values.T).T, pixel_size_A=pixel_size_A), counts)


@pytest.mark.parametrize("dimension", [2, 3])
def test_log_posterior_increases_with_every_step(dimension):
    m = random_mixture(12, dimension=dimension)
    _, trace = fitted(seen_as(evaluate(m, 20, 5.0), 5.0, 2e4), 20, steps=60, seed=1)
    assert len(trace) == 60
    assert np.diff(trace).min() > -1e-6 * abs(trace[-1])
    assert trace[-1] - trace[0] > 100


def test_log_posterior_of_points_increases_with_every_step():
    points = sample_points(random_mixture(12), 800, np.random.default_rng(2))
    cloud = PointCloud(points_A=points, times=np.ones(800, np.int64))
    _, trace = fitted(cloud_data(cloud), 10, steps=60, seed=3)
    assert np.diff(trace).min() > -1e-9 * abs(trace[-1])


@pytest.mark.parametrize("dimension", [2, 3])
def test_grid_and_weighted_points_and_repeated_points_are_one(dimension):
    """Misprint 1 of the thesis: a count that is met y times counts y times, not y^2."""
    rng = np.random.default_rng(4)
    m = random_mixture(7, dimension=dimension, spread_A=12.0)
    values = rng.poisson(1.5, (9,) * dimension)
    data = grid_data(values, 5.0, values.sum())
    x = data.points_A
    times = values[tuple(np.round(x[:, ::-1] / 5.0).astype(int).T + 4)].astype(float)
    grid = expect_grid(data, m, reach_sigmas=40.0)
    weighted = expect_points(x, m, times)
    repeated = expect_points(np.repeat(x, times.astype(int), axis=0), m, np.ones(int(times.sum())))
    for other in (weighted, repeated):
        assert np.allclose(grid.members, other.members)
        assert np.allclose(grid.first_A, other.first_A)
        assert grid.squares_A2 == pytest.approx(other.squares_A2)
        assert grid.total == pytest.approx(other.total)
        assert grid.log_likelihood == pytest.approx(other.log_likelihood)
    cut = expect_grid(data, m)
    assert np.allclose(cut.members, grid.members, atol=1e-6 * times.sum())
    assert cut.log_likelihood == pytest.approx(grid.log_likelihood, rel=1e-8)


def test_step_is_the_mode_of_the_expected_log_joint():
    """Numerical derivatives of Q at the new means, weights and precision vanish."""
    rng = np.random.default_rng(5)
    m = random_mixture(3, dimension=2)
    x = sample_points(m, 50, rng)
    expected = expect_points(x, m, np.ones(50))
    new = em_step(m, expected, PRIOR)
    share = np.exp(-0.5 * m.precision_per_A2 * ((x[:, None] - m.means_A) ** 2).sum(-1)) * m.weights
    share /= share.sum(1, keepdims=True)

    def q(means, free, s):
        w = np.exp(free) / np.exp(free).sum()
        normal = np.log(s / (2 * np.pi)) - 0.5 * s * ((x[:, None] - means) ** 2).sum(-1)
        mixture = Mixture(means_A=means, weights=w, precision_per_A2=s)
        return (share * (np.log(w) + normal)).sum() + log_prior(mixture, PRIOR)

    free, h = np.log(new.weights), 1e-5
    for k in range(3):
        step = np.zeros((3, 2))
        step[k, 0] = h
        # EM maximises the means at the old precision: a conditional maximisation step.
        s_old = m.precision_per_A2
        slope = (q(new.means_A + step, free, s_old) - q(new.means_A - step, free, s_old)) / (2 * h)
        assert abs(slope) < 1e-5
        up, down = (q(new.means_A, free + h * np.eye(3)[k] * sign, new.precision_per_A2) for sign in (1, -1))
        slope = (up - down) / (2 * h)
        assert abs(slope) < 1e-5
    s = new.precision_per_A2
    assert abs(q(new.means_A, free, s * (1 + h)) - q(new.means_A, free, s * (1 - h))) / (2 * h) < 1e-4


def test_points_outside_all_windows_do_not_break_it():
    values = np.zeros((31, 31))
    values[15, 15], values[0, 30] = 5.0, 1.0
    data = grid_data(values, 10.0, 60)
    tight = Mixture(means_A=[[0.0, 0.0], [5.0, 0.0]], weights=[0.5, 0.5], precision_per_A2=1.0)
    expected = expect_grid(data, tight)
    assert expected.members.sum() == pytest.approx(60)
    exact = expect_points(data.points_A, tight, data.weights)
    assert np.allclose(expected.members, exact.members)
    assert expected.log_likelihood == pytest.approx(exact.log_likelihood)


def test_it_recovers_separate_components():
    truth = Mixture(
        means_A=[[-30.0, 0, 0], [25.0, 10, 0], [0.0, 0, 40.0]], weights=[0.5, 0.3, 0.2], precision_per_A2=1 / 49
    )
    fits = [fitted(seen_as(evaluate(truth, 40, 4.0), 4.0, 1e5), 3, steps=80, seed=i) for i in range(5)]
    best, _ = max(fits, key=lambda fit: fit[1][-1])
    order = np.argsort(-best.weights)
    assert np.allclose(best.means_A[order], truth.means_A, atol=0.05)
    assert np.allclose(best.weights[order], truth.weights, atol=1e-3)
    assert best.sigma_A == pytest.approx(7.0, rel=0.01)


def test_empty_corners_of_a_smooth_map_are_left_out():
    """A Gaussian is nowhere zero; of 40^3 points a millionth of the sum is spread over most."""
    smooth = evaluate(Mixture(means_A=[[0.0, 0, 0]], weights=[1.0], precision_per_A2=6.0**-2), 40, 4.0).astype(float)
    smooth += 1e-30
    data = grid_data(smooth, 4.0, 1000.0)
    assert len(data.weights) < 0.2 * smooth.size
    assert data.weights.sum() == pytest.approx(1000.0)
    left_out = data.values == 0
    assert 0 < smooth[left_out].sum() <= 1e-6 * smooth.sum()
    assert smooth[left_out].max() <= smooth[~left_out].min()


@pytest.mark.data
def test_polymerase_at_15_A():
    atoms = read_atoms(require_shared("models/1wcm.pdb.gz"), exclude_chains=("D", "G"))
    at_15, at_20 = (volume_from_atoms(atoms, 50, 4.0, resolution).numpy() for resolution in (15.0, 20.0))
    mixture, _ = fitted(seen_as(at_15, 4.0, 1e6), 500, steps=40, seed=0)
    found = evaluate(mixture, 50, 4.0)
    for reference, least in ((at_15, 0.985), (at_20, 0.985)):
        assert (found * reference).sum() / np.sqrt((found**2).sum() * (reference**2).sum()) > least


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((8, 8), np.nan), "NaN"),
        (np.zeros((8, 8)), "zero everywhere"),
        (-np.ones((8, 8, 8)), "negative"),
        (np.zeros((2, 2, 2, 2)), "shape"),
    ],
)
def test_bad_grids_are_explained(values, words):
    with pytest.raises(ValueError, match=words):
        grid_data(values, 1.0, 100)


def test_bad_numbers_are_explained():
    with pytest.raises(ValueError, match="counts"):
        grid_data(np.ones((4, 4)), 1.0, 0)
