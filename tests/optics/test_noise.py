"""Noise spectra: what was put in comes out, in a stream, by groups."""

import numpy as np
import pytest
import torch

from vitreous.fourier import centred_rfft2
from vitreous.optics import (
    add_noise_images,
    colour_noise,
    empty_noise_sums,
    merge_noise_sums,
    noise_power,
    radial_to_plane,
    whiten,
)

N = 32
POWER = 0.5 + 4.0 / (1.0 + (torch.arange(N // 2 + 1) / 4.0) ** 2)


def white(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, N, N)).astype(np.float32))


def ring_groups(count: int, groups: int) -> torch.Tensor:
    return torch.arange(count) % groups


def test_white_noise_of_variance_s_has_power_s():
    found = noise_power(add_noise_images(empty_noise_sums(1, N), 3.0 * white(300), ring_groups(300, 1)))[0]
    assert (found[1:] / 9.0 - 1).abs().max() < 0.1


def test_coloured_noise_is_recovered_by_group():
    images = colour_noise(white(600), POWER)
    images[1::2] *= 2.0
    sums = add_noise_images(empty_noise_sums(2, N), images, ring_groups(600, 2))
    found = noise_power(sums)
    assert (found[0, 2:] / POWER[2:] - 1).abs().max() < 0.12
    assert (found[1, 2:] / (4 * POWER[2:]) - 1).abs().max() < 0.12


def test_background_alone_gives_the_same_level():
    axis = torch.arange(N) - N // 2
    inside = axis[:, None] ** 2 + axis**2 < 9**2
    images = white(300) + 5.0 * inside
    whole = noise_power(add_noise_images(empty_noise_sums(1, N), images, ring_groups(300, 1)))[0]
    outside = noise_power(add_noise_images(empty_noise_sums(1, N), images, ring_groups(300, 1), (~inside).float()))[0]
    assert whole[1] > 50
    assert (outside[2:] - 1).abs().max() < 0.1


def test_a_stream_in_pieces_is_the_whole():
    images, group = white(40), ring_groups(40, 3)
    whole = add_noise_images(empty_noise_sums(3, N), images, group)
    first = add_noise_images(empty_noise_sums(3, N), images[:7], group[:7])
    second = add_noise_images(empty_noise_sums(3, N), images[7:], group[7:])
    merged = merge_noise_sums(first, second)
    assert torch.allclose(merged.power, whole.power)
    assert torch.equal(merged.images, whole.images)


def test_a_group_without_images_gets_the_mean_and_no_images_at_all_is_an_error():
    found = noise_power(add_noise_images(empty_noise_sums(2, N), white(5), torch.zeros(5, dtype=torch.int64)))
    assert torch.allclose(found[1], found[0])
    with pytest.raises(ValueError, match="no images"):
        noise_power(empty_noise_sums(2, N))


def test_whitening_undoes_colouring():
    images = white(4)
    coloured = centred_rfft2(colour_noise(images, POWER))
    assert torch.allclose(whiten(coloured, POWER), centred_rfft2(images), atol=1e-3)
    dead = POWER.clone()
    dead[3] = 0.0
    gone = whiten(coloured, dead)
    assert torch.isfinite(torch.view_as_real(gone)).all()
    assert gone[:, 3, 0].abs().max() == 0.0


def test_rings_spread_over_the_plane():
    plane = radial_to_plane(torch.arange(9.0), 16)
    assert plane.shape == (16, 9)
    assert plane[3, 4] == 5.0
    assert plane[8, 8] == 8.0
