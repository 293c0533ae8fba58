"""Normalisation: statistics of the background, ramps, bad images."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitreous.optics import invert_contrast, normalise_images


def noise(count: int, n: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, n, n)).astype(np.float32))


def outside(n: int, radius: float) -> torch.Tensor:
    axis = torch.arange(n) - n // 2
    return axis[:, None] ** 2 + axis**2 > radius**2


@given(n=st.integers(12, 40), mean=st.floats(-1e3, 1e3), sd=st.floats(0.1, 1e3), seed=st.integers(0, 99))
def test_background_has_mean_0_and_sd_1(n, mean, sd, seed):
    images, bad = normalise_images(mean + sd * noise(3, n, seed), 0.4 * n)
    background = images[:, outside(n, 0.4 * n)]
    assert not bad.any()
    assert background.mean(1).abs().max() < 2e-3
    assert (background.std(1, correction=0) - 1).abs().max() < 2e-3


def test_the_particle_does_not_count():
    images = noise(2, 32)
    with_particle = images + 50.0 * ~outside(32, 10)
    a, b = normalise_images(images, 12.0)[0], normalise_images(with_particle, 12.0)[0]
    assert torch.allclose(a[:, outside(32, 12)], b[:, outside(32, 12)], atol=1e-5)
    assert b[:, 16, 16].min() > 30


def test_ramp_removal_takes_the_plane_and_leaves_the_particle():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    images = noise(2, 32)
    ramp = 3.0 + 0.2 * x - 0.5 * y
    clean, _ = normalise_images(images, 12.0, remove_ramp=True)
    found, bad = normalise_images(images + ramp, 12.0, remove_ramp=True)
    assert not bad.any()
    assert torch.allclose(found, clean, atol=1e-4)
    kept, _ = normalise_images(images + ramp, 12.0)
    assert (kept[:, 31, 0] - kept[:, 0, 31]).abs().min() > 1.0


def test_bad_images_are_told_and_zeroed_and_do_not_touch_the_others():
    images = noise(6, 16)
    images[1, 3, 3] = torch.nan
    images[2, 0, 0] = torch.inf
    images[3] = 7.25
    images[4] = 0.0
    images[5, :, :] = 3e38
    found, bad = normalise_images(images, 6.0)
    assert bad.tolist() == [False, True, True, True, True, True]
    assert (found[1:] == 0).all()
    assert torch.allclose(found[:1], normalise_images(images[:1], 6.0)[0])


@given(value=st.floats(-(2.0**100), 2.0**100, width=32), n=st.integers(12, 70))
def test_constant_images_are_bad_whatever_the_constant(value, n):
    image = torch.full((1, n, n), value)
    image[0, n // 2, n // 2] += 5.0
    assert normalise_images(image, 0.4 * n, remove_ramp=True)[1].all()
    assert normalise_images(image, 0.4 * n)[1].all()


def test_a_large_offset_costs_no_precision():
    images = noise(2, 32).double()
    exact, _ = normalise_images(images, 12.0)
    rounded = (images + 1e5).float()
    found, bad = normalise_images(rounded, 12.0)
    assert not bad.any()
    assert (found - exact).abs().max() < 0.02  # what rounding to single precision had already cost


def test_integer_images_are_accepted_and_double_stays_double():
    integers = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (2, 16, 16)).astype(np.uint8))
    assert normalise_images(integers, 6.0)[0].dtype == torch.float32
    assert normalise_images(noise(1, 16).double(), 6.0)[0].dtype == torch.float64


def test_a_circle_that_leaves_no_background_is_refused():
    with pytest.raises(ValueError, match="leaves no background"):
        normalise_images(noise(1, 16), 12.0)


def test_contrast():
    assert torch.equal(invert_contrast(torch.tensor([[1.0, -2.0]])), torch.tensor([[-1.0, 2.0]]))
