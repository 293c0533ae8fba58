"""The five ways to undo a CTF, and the matched filter, on simulated truth."""

import numpy as np
import pytest
import torch

from vitreous.fourier import centred_irfft2, centred_rfft2, shift_phase
from vitreous.optics import (
    CTFParameters,
    add_noise_images,
    ctf_2d,
    empty_noise_sums,
    matched_filter,
    noise_power,
    phase_flip,
    radial_to_plane,
    ssnr_from_frc,
    wiener_multi,
    wiener_single,
    wiener_ssnr,
)
from vitreous.quality import ring_correlation

N, PIXEL_A = 64, 4.0


def ctfs(count: int) -> torch.Tensor:
    same = {
        "defocus_angle_deg": 0.0, "voltage_kV": 300.0, "cs_mm": 2.7,
        "amplitude_contrast": 0.1, "phase_shift_deg": 0.0, "b_factor_A2": 0.0,
    }  # fmt: skip
    defocus = np.linspace(9000, 23000, count)
    params = CTFParameters(defocus_u_A=defocus, defocus_v_A=defocus, **{k: np.full(count, v) for k, v in same.items()})
    return ctf_2d(params, N, PIXEL_A, dtype=torch.float64)


def blobs() -> torch.Tensor:
    axis = torch.arange(N, dtype=torch.float64) - N // 2
    places = [(6, 3, 3.0), (-8, 5, 2.0), (0, -9, 4.0), (-3, -2, 1.5)]
    return sum(torch.exp(-((axis[:, None] - y) ** 2 + (axis - x) ** 2) / (2 * s * s)) for x, y, s in places)


def noisy(count: int, sd: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(truth (n, n), Fourier images (count, ...), CTFs)."""
    truth, c = blobs(), ctfs(count)
    noise = torch.from_numpy(np.random.default_rng(seed).normal(scale=sd, size=(count, N, N)))
    return truth, centred_rfft2(truth) * c + centred_rfft2(noise), c


def error(ft: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return ((centred_irfft2(ft, N) - truth) ** 2).sum((-2, -1)).mean()


def true_ssnr(sd: float) -> torch.Tensor:
    """Signal power per ring / noise power, of the phantom itself."""
    sums = add_noise_images(empty_noise_sums(1, N), blobs()[None], torch.zeros(1, dtype=torch.int64))
    return noise_power(sums)[0] / sd**2


def test_phase_flip_makes_every_transfer_positive():
    truth, fts, c = noisy(3, 0.0)
    flipped = phase_flip(fts, c)
    assert torch.allclose(flipped, centred_rfft2(truth) * c.abs())


def test_wiener_reduces_the_error_step_by_step():
    sd = 0.5
    truth, fts, c = noisy(24, sd)
    single = error(wiener_single(fts, c, 1.0), truth)
    multi = error(wiener_multi(fts, c, 0.1), truth)
    with_ssnr = error(wiener_ssnr(fts, c, true_ssnr(sd)), truth)
    assert single < error(fts, truth)
    assert multi < error(phase_flip(fts, c).mean(0), truth)
    assert multi < single
    assert with_ssnr < 0.8 * multi


def test_the_true_ssnr_beats_every_constant_and_every_wrong_ssnr():
    sd = 0.5
    truth, fts, c = noisy(24, sd)
    best = error(wiener_ssnr(fts, c, true_ssnr(sd)), truth)
    assert all(best < error(wiener_multi(fts, c, k), truth) for k in (0.01, 0.1, 1.0, 10.0))
    assert all(best < error(wiener_ssnr(fts, c, factor * true_ssnr(sd)), truth) for factor in (0.05, 20.0))


def test_without_noise_many_images_give_the_object_back():
    truth, fts, c = noisy(24, 0.0)
    assert error(wiener_multi(fts, c, 1e-9), truth) < 1e-6 * (truth**2).sum()


def test_limits_of_the_ssnr_filter():
    _, fts, c = noisy(4, 0.5)
    assert wiener_ssnr(fts, c, torch.zeros(N // 2 + 1)).abs().max() == 0.0
    k = 0.25
    assert torch.allclose(wiener_ssnr(fts, c, torch.full((N // 2 + 1,), 1 / k)), wiener_multi(fts, c, k))
    with pytest.raises(ValueError, match="positive"):
        wiener_multi(fts, c, 0.0)


def test_ssnr_recovers_the_ratio_that_was_put_in():
    """Signal power 1, noise power 1/2 per half: FRC = 2/3, SSNR 2 per half, 4 of the sum."""
    rng = np.random.default_rng(1)
    signal = torch.from_numpy(rng.normal(size=(400, 32, 32)))
    halves = [signal + torch.from_numpy(rng.normal(size=(400, 32, 32))) * 0.5**0.5 for _ in range(2)]
    frc = ring_correlation(*halves)[:, 4:].mean()
    assert frc.item() == pytest.approx(2 / 3, abs=0.01)
    assert ssnr_from_frc(frc, full=False).item() == pytest.approx(2.0, abs=0.1)
    assert ssnr_from_frc(frc).item() == pytest.approx(4.0, abs=0.2)
    assert ssnr_from_frc(torch.tensor([-0.5, 0.0])).tolist() == [0.0, 0.0]
    assert torch.isfinite(ssnr_from_frc(torch.tensor(1.0)))


def test_amplitude_snr_of_an_average_grows_as_the_square_root():
    truth = blobs()
    rng = np.random.default_rng(3)
    images = truth + torch.from_numpy(rng.normal(scale=2.0, size=(400, N, N)))
    snr = [truth.std() / (images[:m].mean(0) - truth).std() for m in (1, 4, 25, 100, 400)]
    assert torch.stack(snr).div(snr[0]).tolist() == pytest.approx([1, 2, 5, 10, 20], rel=0.06)


@pytest.mark.parametrize("shift", [(0, 0), (11, -17)])
def test_matched_filter_finds_the_template_with_the_stated_snr(shift):
    c, template = ctfs(1)[0], blobs()
    power = 0.2 + 3.0 / (1.0 + torch.arange(N // 2 + 1, dtype=torch.float64) ** 2 / 9.0)
    rng = np.random.default_rng(0)
    white = torch.from_numpy(rng.normal(size=(200, N, N)))
    noise = centred_irfft2(centred_rfft2(white) * radial_to_plane(power.sqrt(), N), N)
    noise_maps = torch.stack([matched_filter(x, template, c, power) for x in noise])
    assert noise_maps.var().item() == pytest.approx(1.0, abs=0.05)

    ramp = shift_phase(torch.tensor(shift, dtype=torch.float64), N)
    seen = centred_irfft2(centred_rfft2(template) * c * ramp, N)
    detected = matched_filter(3.0 * seen + noise[0], template, c, power)
    peak = divmod(int(detected.argmax()), N)
    assert peak == (N // 2 + shift[1], N // 2 + shift[0])
    clean = matched_filter(3.0 * seen, template, c, power).max()
    assert (detected.max() - clean).abs() < 5.0


def test_matched_filter_takes_many_templates_and_refuses_other_boxes():
    c, power = ctfs(1)[0], torch.ones(N // 2 + 1)
    stack = torch.stack([blobs(), blobs().T])
    assert matched_filter(blobs(), stack, c, power).shape == (2, N, N)
    with pytest.raises(ValueError, match="box"):
        matched_filter(blobs(), torch.zeros(8, 8), c, power)
