"""No claim without signal: images that a model has not seen decide."""

import numpy as np
import pytest
import torch
from particle_files import particle_file
from sets import BOX, PIXEL_A, defocus, simulate

from vitreous.averages.covariance import ImagePrior, log_gain, verdict
from vitreous.averages.denoise import Denoise, prepare_denoising
from vitreous.averages.neighbours import neighbours
from vitreous.fourier import FourierBessel

N = 400


def test_the_gain_is_the_ratio_of_two_gaussian_densities():
    """Against densities written out in full: real for order 0; for q > 0 of real and imaginary part alike."""
    basis = FourierBessel(box_px=12, radius_px=5.0, cutoff_per_px=0.4)
    rng = np.random.default_rng(0)

    def positive(k: int, size: float) -> torch.Tensor:
        a = rng.normal(size=(k, k))
        return torch.from_numpy(size * (a @ a.T / k + 0.1 * np.eye(k)))

    sizes = [block.stop - block.start for block in basis.blocks]
    prior = ImagePrior(
        mean=torch.from_numpy(rng.normal(size=sizes[0])), covariance=tuple(positive(k, 0.5) for k in sizes)
    )
    information = [torch.stack([positive(k, 2.0), positive(k, 1.0)]) for k in sizes]
    z = torch.from_numpy(rng.normal(size=(5, basis.size)) + 1j * rng.normal(size=(5, basis.size)))
    z[:, basis.blocks[0]].imag.zero_()
    z[:, basis.blocks[0]] = z[:, basis.blocks[0]].real.to(z.dtype)
    group = torch.tensor([0, 1, 1, 0, 1])
    expected = np.zeros(5)
    for i, g in enumerate(group.tolist()):
        for q, block in enumerate(basis.blocks):
            k, s = information[q][g].numpy(), prior.covariance[q].numpy()
            centre = k @ prior.mean.numpy() if q == 0 else np.zeros(len(k))
            share = 1.0 if q == 0 else 0.5  # of the covariance, in each of the two parts
            for part in (z[i, block].real, z[i, block].imag)[: 1 if q == 0 else 2]:
                for sign, middle, spread in ((1, centre, k + k @ s @ k), (-1, 0 * centre, k)):
                    away = part.numpy() - middle
                    c = share * spread
                    expected[i] -= sign * 0.5 * (away @ np.linalg.solve(c, away) + np.linalg.slogdet(c)[1])
    assert log_gain(basis, prior, information, z, group).numpy() == pytest.approx(expected, rel=1e-6)


def noise(kind: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    white = rng.normal(size=(N, BOX, BOX))
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(BOX), np.fft.rfftfreq(BOX), indexing="ij"))
    gain = {"white": np.ones_like(f), "coloured": 1 / (1 + f / 0.1), "filtered": np.exp(-((f / 0.25) ** 2))}[kind]
    return np.fft.irfft2(np.fft.rfft2(white) * gain, s=(BOX, BOX)).astype(np.float32)


@pytest.mark.parametrize("kind", ["white", "coloured", "filtered"])
def test_noise_of_all_colours_is_nothing(tmp_path, kind):
    particles = particle_file(tmp_path, noise(kind), PIXEL_A, defocus(N, 1))
    model = prepare_denoising(particles, Denoise(particle_diameter_A=130.0)).model()
    assert not model.found_signal
    assert len(model.orders) == 0
    assert any(text.startswith("Nothing was found") for text in model.messages)


def test_a_signal_far_below_the_noise_is_found(tmp_path):
    particles, truth = simulate(N, 0.05, 3, ctf=defocus(N, 1))
    run = prepare_denoising(
        particle_file(tmp_path, particles.images, PIXEL_A, particles.ctf, truth.origin_px),
        Denoise(particle_diameter_A=130.0),
    )
    model = run.model()
    assert model.found_signal
    found = verdict(run._filter().matched)
    assert found.gain > 5
    assert found.sigmas > 8


def test_neighbours_of_noise_with_flat_posteriors_end_with_a_verdict(tmp_path):
    """Many classes and no signal: none has a hundredth of an image's posterior, and none may be left out for that."""
    images = np.random.default_rng(0).normal(size=(1000, 32, 32)).astype(np.float32)
    found = neighbours(particle_file(tmp_path, images, 5.0), classes=150, runs=1, passes=2, averages=5)
    assert not found.found_signal
    assert np.isfinite(found.averages).all()
