"""Transforms, crop, pad and shift: identities for even and odd boxes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.fourier import (
    centred_irfft2,
    centred_rfft2,
    fourier_crop,
    fourier_pad,
    frequency_grid_rfft2,
    resize_images,
    rfft2_multiplicity,
    shell_index_rfft2,
    shell_sums,
    shift_phase,
)

boxes = st.integers(min_value=4, max_value=23)
seeds = st.integers(min_value=0, max_value=2**20)


def noise(n: int, seed: int, count: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, n, n)))


@given(n=boxes, seed=seeds)
def test_round_trip(n, seed):
    x = noise(n, seed)
    assert torch.allclose(centred_irfft2(centred_rfft2(x), n), x)


@given(n=boxes)
def test_phases_are_measured_from_pixel_n_half(n):
    delta = torch.zeros(n, n, dtype=torch.float64)
    delta[n // 2, n // 2] = 1.0
    assert torch.allclose(centred_rfft2(delta), torch.ones(n, n // 2 + 1, dtype=torch.complex128))


@given(n=boxes, seed=seeds)
def test_parseval_with_the_multiplicity(n, seed):
    x = noise(n, seed)
    power = (rfft2_multiplicity(n, dtype=torch.float64) * centred_rfft2(x).abs() ** 2).sum((-2, -1)) / n**2
    assert torch.allclose(power, (x**2).sum((-2, -1)))


@given(n=boxes)
def test_multiplicity_and_shells_agree_with_the_full_plane(n):
    k = np.fft.fftfreq(n, 1 / n)
    full = np.floor(np.hypot(k[:, None], k) + 0.5).astype(int)
    expected = np.bincount(full.ravel(), minlength=n)[: n // 2 + 1]
    found = shell_sums(rfft2_multiplicity(n), shell_index_rfft2(n), n // 2 + 1)
    assert found.tolist() == expected.tolist()


def test_frequencies_are_in_inverse_angstrom():
    grid = frequency_grid_rfft2(8, 2.5)
    assert grid[0, 4].item() == pytest.approx(1 / 5.0)  # Nyquist = 1 / (2 pixels)
    assert grid[3, 0].item() == pytest.approx(3 / (8 * 2.5))


@given(n=boxes, seed=seeds, x=st.integers(-9, 9), y=st.integers(-9, 9))
def test_whole_pixel_shift_is_exact(n, seed, x, y):
    image = noise(n, seed)
    moved = centred_irfft2(centred_rfft2(image) * shift_phase(torch.tensor([x, y], dtype=torch.float64), n), n)
    assert torch.allclose(moved, torch.roll(image, (y, x), dims=(-2, -1)), atol=1e-10)


def test_whole_pixel_shift_is_exact_in_single_precision_too():
    image = noise(64, 1).float()
    moved = centred_irfft2(centred_rfft2(image) * shift_phase(torch.tensor([31.0, -30.0]), 64), 64)
    assert torch.allclose(moved, torch.roll(image, (-30, 31), dims=(-2, -1)), atol=1e-5)


@given(n=boxes, x=st.floats(-5, 5), y=st.floats(-5, 5))
def test_shift_phase_has_unit_modulus_and_its_conjugate_undoes_it(n, x, y):
    ramp = shift_phase(torch.tensor([x, y], dtype=torch.float64), n)
    assert torch.allclose(ramp * ramp.conj(), torch.ones_like(ramp))
    assert torch.allclose(shift_phase(torch.tensor([-x, -y], dtype=torch.float64), n)[1:, 1], ramp[1:, 1].conj())


def test_fractional_shift_moves_a_blob():
    n = 33
    axis = torch.arange(n, dtype=torch.float64) - n // 2
    blob = torch.exp(-(axis[:, None] ** 2 + axis**2) / 8)
    expected = torch.exp(-((axis[:, None] + 1.7) ** 2 + (axis - 2.3) ** 2) / 8)
    moved = centred_irfft2(centred_rfft2(blob) * shift_phase(torch.tensor([2.3, -1.7], dtype=torch.float64), n), n)
    assert torch.allclose(moved, expected, atol=1e-6)


@given(n=boxes, more=st.integers(0, 9), seed=seeds)
def test_pad_then_crop_is_the_identity(n, more, seed):
    ft = centred_rfft2(noise(n, seed))
    assert torch.allclose(fourier_crop(fourier_pad(ft, n, n + more), n + more, n), ft)


@given(n=boxes, more=st.integers(0, 9), seed=seeds)
def test_crop_and_pad_of_real_images_stay_transforms_of_real_images(n, more, seed):
    for ft, size in (
        (fourier_crop(centred_rfft2(noise(n + more, seed)), n + more, n), n),
        (fourier_pad(centred_rfft2(noise(n, seed)), n, n + more), n + more),
    ):
        assert torch.allclose(centred_rfft2(centred_irfft2(ft, size)), ft, atol=1e-9)


@given(half=st.integers(2, 8), factor=st.integers(2, 3), odd=st.booleans(), seed=seeds)
def test_padding_interpolates_through_the_old_pixels(half, factor, odd, seed):
    n = 2 * half + (1 if odd else 0)
    image = noise(n, seed)
    fine = resize_images(image, factor * n)
    first = (factor * n) // 2 - factor * (n // 2)  # the centre pixels coincide
    assert torch.allclose(fine[..., first::factor, first::factor], image, atol=1e-9)


@given(n=boxes, more=st.integers(0, 9), seed=seeds)
def test_crop_keeps_band_limited_values_and_the_mean(n, more, seed):
    image = noise(n + more, seed)
    assert torch.allclose(resize_images(image, n).mean((-2, -1)), image.mean((-2, -1)))


@settings(max_examples=20)
@given(n=st.integers(4, 9), seed=seeds)
def test_cross_correlation_by_fft_equals_brute_force(n, seed):
    a, b = noise(n, seed, 1)[0], noise(n, seed + 1, 1)[0]
    by_fft = centred_irfft2(centred_rfft2(a) * centred_rfft2(b).conj(), n)
    for y in range(n):
        for x in range(n):
            shifted = torch.roll(b, (y - n // 2, x - n // 2), dims=(0, 1))
            assert by_fft[y, x].item() == pytest.approx((a * shifted).sum().item(), abs=1e-9)


def test_dtypes_follow_the_input():
    assert centred_rfft2(torch.zeros(4, 4)).dtype == torch.complex64
    assert centred_rfft2(torch.zeros(4, 4, dtype=torch.float64)).dtype == torch.complex128
    assert shift_phase(torch.zeros(2), 4).dtype == torch.complex64


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="half plane"):
        centred_irfft2(torch.zeros(4, 4, dtype=torch.complex64), 4)
    with pytest.raises(ValueError, match="crop"):
        fourier_crop(torch.zeros(4, 3, dtype=torch.complex64), 4, 6)
    with pytest.raises(ValueError, match="pad"):
        fourier_pad(torch.zeros(4, 3, dtype=torch.complex64), 4, 2)
    with pytest.raises(ValueError, match="shift_px"):
        shift_phase(torch.zeros(3), 4)
