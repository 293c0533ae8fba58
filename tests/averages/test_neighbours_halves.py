"""The correlation of halves is that of the signal in them, and nothing in pure noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vitreous.averages.neighbours import NeighbourLists, half_correlation
from vitreous.fourier import FourierBessel, mirror_coefficients, rotate_coefficients

BASIS = FourierBessel(box_px=24, radius_px=11.0)
N, K = 400, 7


def white(n: int, seed: int) -> torch.Tensor:
    """Coefficients (n, M) of variance 1."""
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(n, BASIS.size, dtype=torch.complex64, generator=rng)
    values[:, BASIS.orders == 0] = 2**0.5 * values[:, BASIS.orders == 0].real.to(values.dtype)
    return values


def lists_of_everything() -> NeighbourLists:
    rng = np.random.default_rng(2)
    index = np.stack([rng.choice(np.delete(np.arange(N), i), K, replace=False) for i in range(N)])
    return NeighbourLists(
        index=torch.from_numpy(index),
        mirrored=torch.from_numpy(rng.random((N, K)) < 0.5),
        psi_rad=torch.from_numpy(2 * np.pi * rng.random((N, K))).float(),
        affinity=torch.ones(N, K),
    )


def test_noise_has_no_correlation():
    lists = lists_of_everything()
    frc = half_correlation(white(N, 0).numpy(), BASIS, lists, torch.arange(N), np.arange(N))
    assert frc.shape == (N, 13)
    assert frc[:, 2:12].mean(0).abs().max() < 0.05


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_signal_correlates_as_it_should(noise):
    """Each half has 4 members: FRC = s / (s + n / 4). Rows of another table are found by their numbers."""
    signal, rng = white(1, 1), np.random.default_rng(3)
    psi = torch.from_numpy(360 * rng.random(N))
    mirrored = torch.from_numpy(rng.random(N) < 0.5)
    shown = torch.where(mirrored[:, None], mirror_coefficients(signal), signal)
    images = rotate_coefficients(shown, BASIS.orders, psi) + noise**0.5 * white(N, 4)
    lists = lists_of_everything()
    other, flipped = lists.index, mirrored[:, None] ^ mirrored[lists.index]
    turn = torch.where(flipped, psi[:, None] + psi[other], psi[:, None] - psi[other])
    lists = replace(lists, mirrored=flipped, psi_rad=torch.deg2rad(turn).float())
    table = np.zeros((2 * N, BASIS.size), np.complex64)
    table[1::2] = images.numpy()
    frc = half_correlation(table, BASIS, lists, torch.arange(100), 1 + 2 * np.arange(N))
    assert frc.shape[0] == 100
    assert float(frc[:, 3:12].mean()) == pytest.approx(1 / (1 + noise / 4), abs=0.05)
