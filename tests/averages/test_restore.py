"""Averages from original pixels: known poses, no or known noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sets import BOX, PIXEL_A, SHAPES, defocus, simulate

from vitreous.fourier import centred_rfft2
from vitreous.matching import Alignments, ImagePreparation, aligned_images, restore
from vitreous.testing import Blobs, twin_ctf

WIDE = [Blobs.random(300 + k, reach_px=6, width_px=2.0) for k in range(2)]


def preparation(box: int = BOX) -> ImagePreparation:
    return ImagePreparation(box_px=box, pixel_size_A=PIXEL_A, particle_diameter_A=0.85 * box * PIXEL_A, normalise=False)


def aligned(truth) -> Alignments:
    n = len(truth.label)
    return Alignments(
        particle=np.arange(n),
        reference=truth.label,
        psi_rad=np.deg2rad(truth.psi_deg),
        origin_A=truth.origin_px * PIXEL_A,
        mirror=np.zeros(n, bool),
    )


def halves(truth) -> np.ndarray:
    return np.arange(len(truth.label)) // 2 % 2


def correlation(a: np.ndarray, b: np.ndarray, radius: float = 13.0) -> float:
    y, x = np.indices(a.shape) - a.shape[0] // 2
    inside = np.hypot(x, y) < radius
    return float(np.corrcoef(a[inside], b[inside])[0, 1])


@pytest.mark.parametrize("box", [32, 33])
def test_images_without_noise_give_back_the_classes(box):
    particles, truth = simulate(60, np.inf, 1, shapes=WIDE, box=box)
    averages = restore(particles.read, preparation(box), None, aligned(truth), halves(truth), 2)
    for k in (0, 1):
        true = WIDE[k].image(box)
        assert correlation(averages.full[k].numpy(), true) > 0.995
        assert np.abs(averages.full[k].numpy() - true).max() < 0.1 * true.max()
        assert correlation(averages.full[k].numpy(), WIDE[1 - k].image(box)) < 0.9


@pytest.mark.parametrize("astigmatism_A", [0.0, 8000.0])
def test_the_ctf_is_undone_with_its_sign_and_its_astigmatism(astigmatism_A):
    ctf = defocus(80, 2, astigmatism_A)
    particles, truth = simulate(80, np.inf, 1, shapes=WIDE, ctf=ctf)
    averages = restore(particles.read, preparation(), ctf, aligned(truth), halves(truth), 2)
    for k in (0, 1):
        assert correlation(averages.full[k].numpy(), WIDE[k].image(BOX)) > 0.99


def test_the_squared_ctf_is_turned_with_the_particle():
    """In the frame of the class an image is C^2 A, with C turned by psi: the weight must be that very C^2."""
    ctf = defocus(6, 3, 8000.0)
    particles, truth = simulate(6, np.inf, 5, shapes=SHAPES[:1], ctf=ctf)
    a, mirrored = centred_rfft2(torch.from_numpy(SHAPES[0].image(BOX))), []
    kx = np.fft.rfftfreq(BOX)[None, :]
    ky = np.fft.fftfreq(BOX)[:, None]
    inside = torch.from_numpy((np.hypot(kx, ky) < 0.3) & (np.hypot(kx, ky) > 0.02))
    for _, images, weight in aligned_images(particles.read, preparation(), ctf, aligned(truth)):
        for i in range(6):
            psi = np.deg2rad(truth.psi_deg[i])
            c, s = np.cos(psi), np.sin(psi)
            # k of the class frame is R(psi) k of the image.
            x, y = (c * kx + s * ky) / PIXEL_A, (-s * kx + c * ky) / PIXEL_A
            expected = torch.from_numpy(twin_ctf(ctf, i, x, y) ** 2)
            assert float((weight[i] - expected)[inside].abs().max()) < 1e-3
            found, model = centred_rfft2(images[i])[inside], (a * expected)[inside]
            assert float((found - model).abs().square().sum() / model.abs().square().sum()) < 0.01
            x, y = (c * kx - s * ky) / PIXEL_A, (s * kx + c * ky) / PIXEL_A
            wrong = (a * torch.from_numpy(twin_ctf(ctf, i, x, y) ** 2))[inside]
            mirrored.append(float((found - wrong).abs().square().sum() / model.abs().square().sum()))
    assert max(mirrored) > 0.1  # turned the wrong way round it would not fit


def test_halves_hold_their_own_particles():
    particles, truth = simulate(40, np.inf, 1, shapes=WIDE)
    one_class = replace(aligned(truth), reference=np.zeros(40, np.int64))
    averages = restore(particles.read, preparation(), None, one_class, truth.label, 2)
    # The filter keeps only what both halves share, and here they share little.
    for half in (0, 1):
        own, other = (correlation(averages.halves[half, 0].numpy(), WIDE[h].image(BOX)) for h in (half, 1 - half))
        assert own > other + 0.2
    assert not averages.halves[:, 1].any()
    assert not averages.full[1].any()
    assert not averages.frc[1].any()


def test_frc_and_ssnr_tell_signal_from_noise():
    signal, truth = simulate(200, 1.0, 1)
    averages = restore(signal.read, preparation(), None, aligned(truth), halves(truth), 4)
    assert (averages.frc[:, 1:5] > 0.9).all()
    assert (averages.ssnr[:, 1:5] > 5).all()
    noise, truth = simulate(200, 0, 1)
    nothing = restore(noise.read, preparation(), None, aligned(truth), halves(truth), 4)
    assert nothing.frc[:, 2:].abs().mean() < 0.3
    assert nothing.ssnr[:, 2:].mean() < 0.3
    assert nothing.full.square().mean() < 0.2 * nothing.halves.new_tensor(noise.images).square().mean() / 50


def test_ssnr_is_the_ratio_of_powers():
    """Known signal in white noise: SSNR of an average of n images is n |A|^2 / sigma^2, ring by ring.

    The noise on a ring is known from few coefficients: its power, over the true one, has a standard deviation of 0.5
    on the smallest ring and 0.13 on the mean of all of them. With 16 sets these are 0.12 and 0.033: three times that.
    """
    n, image, rings = 128, SHAPES[0].image(BOX), range(1, 8)
    shell = np.round(np.hypot(np.fft.fftfreq(BOX)[:, None], np.fft.fftfreq(BOX)[None]) * BOX).astype(int)
    power = np.abs(np.fft.fft2(image)) ** 2
    area = (np.hypot(*(np.indices((BOX, BOX)) - BOX // 2)) < preparation().radius_px).mean()
    expected = np.array([n * power[shell == ring].mean() / (BOX**2 * area) for ring in rings])
    one_class = replace(Alignments.unknown(n), reference=np.zeros(n, np.int64))
    noise = []
    for seed in range(16):
        images = (image + np.random.default_rng(seed).normal(size=(n, BOX, BOX))).astype(np.float32)
        averages = restore(images.__getitem__, preparation(), None, one_class, np.arange(n) % 2, 1)
        noise.append(expected / averages.ssnr[0, list(rings)].numpy())
    np.testing.assert_allclose(np.mean(noise, 0), 1, atol=0.36)
    assert np.mean(noise) == pytest.approx(1, abs=0.1)
