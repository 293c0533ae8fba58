"""The fast random assignment draws from the exact distribution, whatever the reach of a component's window."""

import numpy as np
import pytest

from mixtures import random_mixture
from vitreous.mixtures import Counts, Mixture, log_density
from vitreous.mixtures._kernels.assign_counts import assign_planes
from vitreous.mixtures.gibbs_points import assign_image, assign_map

BOX, PIXEL = 12, 4.0


def positions(box: int, dimension: int) -> np.ndarray:
    axis = (np.arange(box) - box // 2) * PIXEL
    return np.stack(np.meshgrid(*[axis] * dimension, indexing="ij"), -1).reshape(-1, dimension)[:, ::-1]


def responsibilities(m: Mixture, x: np.ndarray) -> np.ndarray:
    exponent = np.log(m.weights) - 0.5 * m.precision_per_A2 * ((x[:, None] - m.means_A) ** 2).sum(-1)
    p = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def check_moments(drawn, times, p, x):
    """Drawn members and first moments (repeats, ...) against the multinomial's, in standard errors."""
    members, first = drawn
    repeats = len(members)
    mean, variance = times @ p, times @ (p * (1 - p))
    error = np.sqrt(variance / repeats) + 0.05 / np.sqrt(repeats)
    assert np.abs((members.mean(0) - mean) / error).max() < 5
    assert np.allclose(members.var(0), variance, rtol=0.35, atol=0.1)
    for axis in range(x.shape[1]):
        mean = (times * x[:, axis]) @ p
        error = np.sqrt((times * x[:, axis] ** 2) @ (p * (1 - p)) / repeats) + 1.0 / np.sqrt(repeats)
        assert np.abs((first[..., axis].mean(0) - mean) / error).max() < 5


@pytest.mark.parametrize("reach", [0.6, 1.5, 3.0, 6.0])
def test_the_draw_is_exact_for_any_reach(reach):
    """With a short reach most counts take the far branches; the distribution must not notice."""
    rng = np.random.default_rng(0)
    m = random_mixture(9, dimension=2, spread_A=12.0, sigma_A=5.0, seed=1)
    counts = rng.poisson(2.0, (1, BOX, BOX)).astype(np.int32)
    data = Counts(counts=counts, pixel_size_A=PIXEL)
    members, first = np.zeros((400, 9)), np.zeros((400, 9, 2))
    for row in range(400):
        assign_planes(
            data.counts, np.log(m.weights)[None], (m.means_A / PIXEL + BOX // 2)[None],
            m.precision_per_A2 * PIXEL**2, reach, rng.integers(0, 2**64, 1, dtype=np.uint64),
            members[row : row + 1], first[row : row + 1],
        )  # fmt: skip
    assert np.array_equal(members.sum(1), np.full(400, counts.sum()))
    x = positions(BOX, 2)
    check_moments(
        (members, (first - members[..., None] * (BOX // 2)) * PIXEL), counts.ravel(), responsibilities(m, x), x
    )


@pytest.mark.parametrize(("components", "sigma"), [(1, 3.0), (150, 5.0), (400, 30.0), (300, 1.5)])
def test_images(components, sigma):
    """Many components at a pixel and few, wide ones, and ones between the pixels."""
    rng = np.random.default_rng(2)
    m = random_mixture(components, dimension=2, spread_A=10.0, sigma_A=sigma, seed=3)
    counts = rng.poisson(20.0, (1, BOX, BOX)).astype(np.int32)
    counts[0, 3] = 0
    data = Counts(counts=counts, pixel_size_A=PIXEL)
    drawn = [assign_image(data, m, rng) for _ in range(200)]
    x = positions(BOX, 2)
    check_moments(
        (np.array([d.members for d in drawn]), np.array([d.first_A for d in drawn])),
        counts.ravel(),
        responsibilities(m, x),
        x,
    )
    expected = counts.ravel() @ log_density(m, x)
    assert drawn[0].log_likelihood == pytest.approx(expected, abs=2e-3 * counts.sum())
    assert drawn[0].squares_A2 == pytest.approx(counts.ravel() @ (x**2).sum(1))


def test_maps():
    rng = np.random.default_rng(4)
    m = random_mixture(40, spread_A=10.0, sigma_A=5.0, seed=5)
    counts = rng.poisson(1.0, (BOX, BOX, BOX)).astype(np.int32)
    data = Counts(counts=counts, pixel_size_A=PIXEL)
    drawn = [assign_map(data, m, rng) for _ in range(200)]
    x = positions(BOX, 3)
    check_moments(
        (np.array([d.members for d in drawn]), np.array([d.first_A for d in drawn])),
        counts.ravel(),
        responsibilities(m, x),
        x,
    )
    expected = counts.ravel() @ log_density(m, x)
    assert drawn[0].log_likelihood == pytest.approx(expected, rel=2e-3)
    assert drawn[0].squares_A2 == pytest.approx(counts.ravel() @ (x**2).sum(1))


def test_counts_far_from_everything_are_assigned_to_the_nearest():
    m = Mixture(means_A=[[-2000.0, 0], [3000.0, 0]], weights=[0.5, 0.5], precision_per_A2=1.0)
    counts = np.zeros((1, BOX, BOX), np.int32)
    counts[0, 2, 5] = 7
    drawn = assign_image(Counts(counts=counts, pixel_size_A=PIXEL), m, np.random.default_rng(0))
    assert drawn.members.tolist() == [7, 0]
    assert np.isfinite(drawn.log_likelihood)


def test_same_seed_same_draw():
    m = random_mixture(20, dimension=2)
    data = Counts(counts=np.full((1, BOX, BOX), 3, np.int32), pixel_size_A=PIXEL)
    a, b, c = (assign_image(data, m, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(a.members, b.members)
    assert not np.array_equal(a.members, c.members)
