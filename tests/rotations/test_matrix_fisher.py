"""Matrix Fisher samples against numerical integration over SO(3)."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitreous.rotations import proper_svd, sample_matrix_fisher

N = 40_000
PARAMETERS = {
    "uniform": np.zeros((3, 3)),
    "isotropic": 2.0 * np.eye(3),
    "one axis": np.diag([6.0, 0.0, 0.0]),
    "reflecting": Rotation.random(rng=3).as_matrix() @ np.diag([3.0, 2.0, -1.5]) @ Rotation.random(rng=4).as_matrix(),
    "general": np.random.default_rng(5).normal(size=(3, 3)) * 3.0,
}


def moments_on_a_grid(f: np.ndarray, steps: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """E X and E vec(X) vec(X)^T by the product rule over Euler angles: periodic in two, Gauss-Legendre in cos tilt."""
    turn = np.arange(steps) * 2 * np.pi / steps
    cosine, share = np.polynomial.legendre.leggauss(steps // 2)
    a, b, c = np.meshgrid(turn, np.arccos(cosine), turn, indexing="ij")
    x = Rotation.from_euler("ZYZ", np.stack([a, b, c], -1).reshape(-1, 3)).as_matrix()
    exponent = np.einsum("nij,ij->n", x, f)
    p = np.exp(exponent - exponent.max()) * np.broadcast_to(share[None, :, None], a.shape).ravel()
    p /= p.sum()
    flat = x.reshape(-1, 9)
    return p @ flat, (flat * p[:, None]).T @ flat


@pytest.mark.parametrize("f", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_moments_agree_with_numerical_integration(f):
    x = sample_matrix_fisher(np.broadcast_to(f, (N, 3, 3)), np.random.default_rng(1))
    assert np.allclose(x @ np.swapaxes(x, 1, 2), np.eye(3), atol=1e-10)
    assert np.allclose(np.linalg.det(x), 1.0)
    flat = x.reshape(N, 9)
    first, second = moments_on_a_grid(f)
    assert np.abs(flat.mean(0) - first).max() < 5.0 / np.sqrt(N)
    assert np.abs(flat.T @ flat / N - second).max() < 5.0 / np.sqrt(N)


def test_high_concentration_is_a_gaussian_about_the_mode():
    """tr(F^T X) = sum d - (1/2) sum_i v_i^2 (d_j + d_k) for a small rotation vector v in the singular frame."""
    u, v = Rotation.random(2, rng=7).as_matrix()
    d = np.array([9e6, 4e6, -1e6])
    x = sample_matrix_fisher(np.broadcast_to(u @ np.diag(d) @ v.T, (20_000, 3, 3)), np.random.default_rng(2))
    vector = Rotation.from_matrix(u.T @ x @ v).as_rotvec()
    expected = 1.0 / np.sqrt(d.sum() - d)
    assert np.allclose(vector.std(axis=0), expected, rtol=0.03)
    assert np.abs(vector.mean(axis=0) / expected).max() < 0.04


def test_every_matrix_has_its_own_distribution_and_samples_repeat():
    modes = Rotation.random(50, rng=8).as_matrix()
    x = sample_matrix_fisher(1e8 * modes, np.random.default_rng(3))
    assert np.abs(x - modes).max() < 1e-3
    assert np.array_equal(x, sample_matrix_fisher(1e8 * modes, np.random.default_rng(3)))


def test_proper_svd():
    f = np.random.default_rng(9).normal(size=(200, 3, 3))
    u, d, v = proper_svd(f)
    assert np.allclose(u @ (d[:, :, None] * np.swapaxes(v, 1, 2)), f)
    assert np.allclose(np.linalg.det(u), 1)
    assert np.allclose(np.linalg.det(v), 1)
    assert (d[:, 0] >= d[:, 1]).all()
    assert (d[:, 1] >= np.abs(d[:, 2])).all()


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="matrix Fisher"):
        sample_matrix_fisher(np.full((1, 3, 3), np.nan), np.random.default_rng(0))
    with pytest.raises(ValueError, match="matrix Fisher"):
        sample_matrix_fisher(np.zeros((3, 3)), np.random.default_rng(0))
