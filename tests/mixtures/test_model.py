"""A mixture against its definition, and its projections against integrals and against Fourier slices."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mixtures import random_mixture
from vitreous.fourier import central_slices, centred_irfft2, prepare_volume
from vitreous.mixtures import (
    Mixture,
    evaluate,
    log_density,
    mirror,
    project,
    rotate,
    sample_points,
    symmetrise,
    translate,
)
from vitreous.rotations import euler_to_matrix, random_rotations, symmetry_matrices


def grid_points(shape: tuple[int, ...], pixel: float) -> np.ndarray:
    axes = [(np.arange(n) - n // 2) * pixel for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(shape))[:, ::-1]


@pytest.mark.parametrize("dimension", [2, 3])
@settings(max_examples=15, deadline=None)
@given(box=st.tuples(*[st.integers(1, 17)] * 3), pixel=st.floats(0.5, 8), k=st.integers(1, 9), seed=st.integers(0, 99))
def test_evaluate_is_the_density_at_the_grid_points(dimension, box, pixel, k, seed):
    m = random_mixture(k, dimension=dimension, seed=seed)
    shape = box[:dimension]
    x = grid_points(shape, pixel)
    square = ((x[:, None] - m.means_A) ** 2).sum(-1)
    s = m.precision_per_A2
    direct = (m.weights * (s / (2 * np.pi)) ** (dimension / 2) * np.exp(-s / 2 * square)).sum(1)
    found = evaluate(m, shape, pixel)
    assert found.shape == shape
    assert found.dtype == np.float32
    assert np.allclose(found.ravel(), direct, rtol=1e-5, atol=1e-6 * direct.max())
    assert np.allclose(log_density(m, x), np.log(direct), atol=1e-9)
    assert np.array_equal(evaluate(m, shape[0], pixel), evaluate(m, (shape[0],) * dimension, pixel))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 0), (4, 4, 4, 4)])
def test_a_grid_of_another_dimension_is_refused(shape):
    with pytest.raises(ValueError, match="3 positive sides"):
        evaluate(random_mixture(2), shape, 2.0)


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_integral_is_the_sum_of_weights(dimension):
    m = random_mixture(30, dimension=dimension)
    assert evaluate(m, 64, 3.0).sum() * 3.0**dimension == pytest.approx(1.0, rel=1e-4)


def test_memory_chunks_do_not_change_the_result(monkeypatch):
    m, g = random_mixture(20), random_rotations(7, seed=0).numpy()
    volume, images = evaluate(m, 16, 5.0), project(m, g, 16, 5.0)
    monkeypatch.setattr("vitreous.mixtures.model._CHUNK_VALUES", 600)
    assert np.allclose(evaluate(m, 16, 5.0), volume, rtol=1e-5)
    assert np.array_equal(project(m, g, 16, 5.0), images)


def test_projection_is_the_integral_along_the_view():
    """Quadrature of V(G (x, y, z)) over z, for every pixel."""
    m, g, box, pixel = random_mixture(12), random_rotations(1, seed=3).numpy(), 9, 7.0
    xy = grid_points((box, box), pixel)
    z = np.arange(-120, 121, 1.0)
    r = np.concatenate([np.repeat(xy, len(z), axis=0), np.tile(z, len(xy))[:, None]], axis=1)
    direct = np.exp(log_density(m, r @ g[0].T)).reshape(-1, len(z)).sum(1)
    assert np.allclose(project(m, g, box, pixel).ravel(), direct, rtol=1e-4, atol=1e-5 * direct.max())


def test_projection_is_the_central_slice_of_the_map():
    m, box, pixel = random_mixture(40, spread_A=14.0, sigma_A=7.0), 48, 4.0
    g = euler_to_matrix(torch.tensor([[0.0, 0, 0], [20, 70, -40], [111, 35, 200]], dtype=torch.float64))
    volume_ft = prepare_volume(torch.from_numpy(evaluate(m, box, pixel)), 2)
    slices = centred_irfft2(central_slices(volume_ft, g.float(), box), box).numpy() * pixel
    ours = project(m, g.numpy(), box, pixel)
    assert np.abs(slices - ours).max() < 0.02 * ours.max()


def test_offsets_are_where_the_particle_sits():
    m, g = random_mixture(10), random_rotations(2, seed=1).numpy()
    moved = project(m, g, 32, 4.0, offsets_A=np.array([[8.0, -12.0], [0.0, 4.0]]))
    still = project(m, g, 32, 4.0)
    assert np.allclose(moved[0], np.roll(still[0], (-3, 2), (0, 1)), atol=1e-3 * still.max())
    assert np.allclose(moved[1], np.roll(still[1], (1, 0), (0, 1)), atol=1e-3 * still.max())


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_rotation_and_poses_cancel(seed):
    m, g, a = (
        random_mixture(8, seed=seed),
        random_rotations(3, seed=seed).numpy(),
        Rotation.random(rng=seed).as_matrix(),
    )
    assert np.allclose(project(rotate(m, a), a @ g, 16, 6.0), project(m, g, 16, 6.0), atol=1e-8)


def test_the_other_hand_has_the_same_images_in_mirrored_poses():
    m, g, f = random_mixture(8), random_rotations(3, seed=2).numpy(), np.diag([1.0, 1.0, -1.0])
    assert np.allclose(project(mirror(m), f @ g @ f, 16, 6.0), project(m, g, 16, 6.0), atol=1e-8)
    assert np.allclose(mirror(mirror(m)).means_A, m.means_A)


def test_translate_moves_the_density():
    m = random_mixture(8)
    x = np.random.default_rng(0).normal(size=(5, 3)) * 10
    assert np.allclose(log_density(translate(m, np.array([1.0, 2, 3])), x + np.array([1.0, 2, 3])), log_density(m, x))


def test_symmetrise_has_the_symmetry_and_the_weight():
    g = symmetry_matrices("D3").numpy()
    m = symmetrise(random_mixture(4), g)
    assert len(m) == 24
    assert m.weights.sum() == pytest.approx(1.0)
    x = np.random.default_rng(0).normal(size=(5, 3)) * 10
    for s in g:
        assert np.allclose(log_density(m, x @ s.T), log_density(m, x))


def test_log_density_far_away_is_finite():
    m = random_mixture(3)
    assert log_density(m, np.full((1, 3), 1e4))[0] == pytest.approx(-0.5 * m.precision_per_A2 * 3e8, rel=0.02)


def test_sampled_points_have_the_moments_of_the_mixture():
    m = random_mixture(5, dimension=2)
    x = sample_points(m, 40_000, np.random.default_rng(1))
    mean = m.weights @ m.means_A
    assert np.allclose(x.mean(0), mean, atol=5 * x.std() / 200)
    covariance = (m.weights[:, None] * (m.means_A - mean)).T @ (m.means_A - mean) + np.eye(2) / m.precision_per_A2
    assert np.allclose(np.cov(x.T), covariance, rtol=0.05, atol=6.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"means_A": np.zeros((2, 4))}, "means_A"),
        ({"means_A": np.full((2, 3), np.nan)}, "means_A"),
        ({"weights": np.array([1.0, -1.0])}, "weights"),
        ({"weights": np.ones(3)}, "weights"),
        ({"precision_per_A2": 0.0}, "precision_per_A2"),
        ({"precision_per_A2": np.inf}, "precision_per_A2"),
    ],
)
def test_bad_mixtures_are_refused(change, words):
    good = {"means_A": np.zeros((2, 3)), "weights": np.full(2, 0.5), "precision_per_A2": 0.01}
    with pytest.raises(ValueError, match=words):
        Mixture(**{**good, **change})


def test_bad_poses_and_dimensions_are_refused():
    m = random_mixture(3)
    with pytest.raises(ValueError, match=r"\(n, 3, 3\)"):
        project(m, np.eye(3), 8, 1.0)
    with pytest.raises(ValueError, match="determinant"):
        project(m, -np.eye(3)[None], 8, 1.0)
    with pytest.raises(ValueError, match="3D mixture"):
        project(random_mixture(3, dimension=2), np.eye(3)[None], 8, 1.0)
