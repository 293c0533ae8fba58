"""Fourier correlation, resolution, masks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitreous.quality import resolution_at, ring_correlation, shell_correlation, soft_ball, soft_disc


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@given(n=st.integers(4, 17), scale=st.floats(0.1, 10), seed=st.integers(0, 1000))
def test_identical_up_to_scale_is_one_and_inverted_is_minus_one(n, scale, seed):
    x = noise(3, n, n, seed=seed)
    assert torch.allclose(ring_correlation(x, scale * x), torch.ones(3, n // 2 + 1, dtype=x.dtype))
    assert torch.allclose(ring_correlation(x, -x), -torch.ones(3, n // 2 + 1, dtype=x.dtype))


@pytest.mark.parametrize("n", [8, 9])
def test_against_a_loop_over_the_full_plane(n):
    a, b = noise(n, n, seed=1), noise(n, n, seed=2)
    fa, fb = np.fft.fft2(a.numpy()), np.fft.fft2(b.numpy())
    k = np.fft.fftfreq(n, 1 / n)
    shell = np.floor(np.hypot(k[:, None], k) + 0.5)
    for s in range(n // 2 + 1):
        ring = shell == s
        expected = (fa[ring] * fb[ring].conj()).sum().real
        expected /= np.sqrt((abs(fa[ring]) ** 2).sum() * (abs(fb[ring]) ** 2).sum())
        assert ring_correlation(a, b)[s].item() == pytest.approx(expected)


def test_shell_correlation_of_volumes_counts_shells_right():
    a, b = noise(2, 7, 7, 7, seed=1), noise(2, 7, 7, 7, seed=2)
    fa, fb = np.fft.fftn(a[1].numpy()), np.fft.fftn(b[1].numpy())
    k = np.fft.fftfreq(7, 1 / 7)
    shell = np.floor(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2) + 0.5) == 2
    expected = (fa[shell] * fb[shell].conj()).sum().real
    expected /= np.sqrt((abs(fa[shell]) ** 2).sum() * (abs(fb[shell]) ** 2).sum())
    assert shell_correlation(a, b).shape == (2, 4)
    assert shell_correlation(a, b)[1, 2].item() == pytest.approx(expected)


def test_unrelated_noise_does_not_correlate():
    frc = ring_correlation(noise(200, 32, 32, seed=1), noise(200, 32, 32, seed=2))
    assert frc[:, 1:].mean(0).abs().max() < 0.15
    assert frc[:, 8:].std(0).max() < 0.3


def test_an_empty_image_gives_zero():
    assert ring_correlation(torch.zeros(8, 8), torch.ones(8, 8)).tolist() == [0.0] * 5


def test_resolution_interpolates_between_shells():
    curve = torch.tensor([1.0, 1.0, 0.8, 0.2, 0.1])
    assert resolution_at(curve, 0.5, 8, 2.0).item() == pytest.approx(16.0 / 2.5)


def test_resolution_takes_the_first_crossing_of_every_curve():
    curves = torch.tensor([[1.0, 0.9, 0.1, 0.9, 0.9], [1.0, 0.9, 0.9, 0.9, 0.9], [1.0, 0.1, 0.9, 0.9, 0.9]])
    found = resolution_at(curves, 0.5, 8, 1.0)
    assert found.tolist() == pytest.approx([8 / 1.5, 2.0, math.inf])
    assert math.isinf(resolution_at(torch.full((5,), torch.nan), 0.5, 8, 1.0).item())


@given(frc=st.lists(st.floats(-1, 1), min_size=9, max_size=9), threshold=st.floats(0.05, 0.9))
def test_resolution_lies_in_the_shell_before_the_first_one_below(frc, threshold):
    found = resolution_at(torch.tensor(frc, dtype=torch.float64), threshold, 16, 1.0).item()
    below = [s for s in range(1, 9) if frc[s] < threshold]
    if not below:
        assert found == pytest.approx(2.0)
    elif below[0] == 1:
        assert math.isinf(found)
    else:
        assert 16 / below[0] - 1e-9 <= found <= 16 / (below[0] - 1) + 1e-9


def test_masks():
    disc = soft_disc(32, 8.0, 4.0)
    assert disc[16, 16] == 1.0
    assert disc[16, 24] == 1.0
    assert disc[16, 26].item() == pytest.approx(0.5)
    assert disc[16, 28] == 0.0
    assert torch.equal(soft_ball(32, 8.0, 4.0)[16], disc)
    assert soft_disc(9, 2.0, 0.0).sum() == 13


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="equal last axes"):
        ring_correlation(torch.zeros(4, 5), torch.zeros(4, 5))
    with pytest.raises(ValueError, match="shells"):
        resolution_at(torch.zeros(4), 0.5, 8, 1.0)
