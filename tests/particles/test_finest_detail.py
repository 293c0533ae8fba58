"""What filters have taken from images is noticed, and what nobody took is not missed."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from vitreous.fourier import shell_index_rfft2
from vitreous.optics import colour_noise
from vitreous.particles import check_particles, judged, read_particles, write_mrc_stack
from vitreous.particles.finest_detail import finest_detail

BOX, PIXEL, N = 48, 5.0, 60


def particle() -> np.ndarray:
    axis = np.arange(BOX) - BOX // 2
    r2 = axis[:, None] ** 2 + axis**2
    return np.exp(-r2 / 60) - 0.4 * np.exp(-((axis[:, None] - 4) ** 2 + axis**2) / 8)


def images(falls: float = 0.3, contrast: float = 0.8) -> np.ndarray:
    """Particles in noise whose power falls to ``falls`` at Nyquist, as a detector's does."""
    power = torch.linspace(1.0, falls, BOX // 2 + 1)
    white = torch.randn(N, BOX, BOX, generator=torch.Generator().manual_seed(1))
    return colour_noise(white, power).numpy() + contrast * particle().astype(np.float32)


def low_passed(stack: np.ndarray, at_A: float, edge: float = 2.0) -> np.ndarray:
    shell = shell_index_rfft2(BOX).numpy()
    k = BOX * PIXEL / at_A
    gain = 0.5 + 0.5 * np.cos(np.pi * np.clip((shell - k) / edge + 0.5, 0, 1))
    return np.fft.irfft2(np.fft.rfft2(stack) * gain, s=(BOX, BOX)).astype(np.float32)


def eight_bits(stack: np.ndarray) -> np.ndarray:
    low, high = stack.min(axis=(1, 2), keepdims=True), stack.max(axis=(1, 2), keepdims=True)
    return np.round(255 * (stack - low) / (high - low)).astype(np.float32)


def disc(stack: np.ndarray) -> np.ndarray:
    """Zero beyond a disc, as masked particles are."""
    axis = np.arange(BOX) - BOX // 2
    return np.where(np.hypot(axis[:, None], axis) < 0.47 * BOX, stack, 0)


def total_variation(stack: np.ndarray, weight: float = 1.5, steps: int = 40) -> np.ndarray:
    """Chambolle 2004, with reflecting borders."""
    py, px = np.zeros_like(stack), np.zeros_like(stack)
    for _ in range(steps):
        divergence = -(py + px)
        divergence[:, 1:] += py[:, :-1]
        divergence[:, :, 1:] += px[:, :, :-1]
        u = stack + divergence
        gy, gx = np.zeros_like(u), np.zeros_like(u)
        gy[:, :-1], gx[:, :, :-1] = np.diff(u, axis=1), np.diff(u, axis=2)
        size = 1 + np.hypot(gy, gx) * 0.25 / weight
        py, px = (py - 0.25 * gy) / size, (px - 0.25 * gx) / size
    return u


@pytest.mark.parametrize(
    "stack",
    [
        images(1.0),
        images(0.02),  # film, and detectors that were binned badly
        images(contrast=5.0),  # stain
        eight_bits(images()),
        np.round(images(0.05) / 0.7),  # counts in few steps
        eight_bits(np.round(images(0.05) / 0.15)),  # rounded twice, so that steps beat
        np.random.default_rng(0).poisson(1.0, (N, BOX, BOX)).astype(np.float32),
        disc(images(0.05)),
        1e4 + 300 * images(),
        np.repeat(particle()[None], N, axis=0),  # a simulation without noise
        images()[:4],
    ],
    ids=[
        "white",
        "falling",
        "strong",
        "8 bits",
        "steps",
        "rounded twice",
        "counts",
        "masked",
        "scaled",
        "clean",
        "few",
    ],
)
def test_what_nobody_filtered_is_left_alone(stack):
    assert finest_detail(stack, PIXEL) is None


@pytest.mark.parametrize("at_A", [20.0, 30.0, 45.0])
@pytest.mark.parametrize("last", [lambda v: v, eight_bits, lambda v: 1e-3 * v - 7], ids=["float", "8 bits", "scaled"])
def test_the_limit_of_a_low_pass_filter_is_found(at_A, last):
    found = finest_detail(last(low_passed(images(), at_A)), PIXEL)
    assert found is not None
    # The filter's edge of two shells, and a band of as much, make it that uncertain.
    assert abs(BOX * PIXEL / found.finest_A - BOX * PIXEL / at_A) < 3


def test_a_band_pass_filter_too():
    stack = images()
    found = finest_detail(low_passed(stack, 25.0) - low_passed(stack, 120.0), PIXEL)
    assert found is not None
    assert 18 < found.finest_A < 32


def test_plateaus_are_recognised():
    found = finest_detail(eight_bits(total_variation(images())), PIXEL)
    assert found is not None
    assert not found.gaussian
    assert 20 < found.finest_A < 60
    assert "not Gaussian" in found.words


@pytest.mark.parametrize("last", [lambda v: v, eight_bits], ids=["float", "8 bits"])
@pytest.mark.parametrize("falls", [1.0, 0.3, 0.05])
def test_a_median_over_three_pixels_is_recognised_by_equal_neighbours(falls, last):
    found = finest_detail(last(ndimage.median_filter(images(falls), (1, 3, 3))), PIXEL)
    assert found is not None
    assert found.tied
    assert "neighbouring pixels are equal" in found.words
    assert 3 * PIXEL <= found.finest_A <= 5 * PIXEL  # a mean over three pixels has its zero at three


def test_it_is_said_by_check_and_goes_with_the_set(tmp_path):
    write_mrc_stack(tmp_path / "p.mrcs", low_passed(images(), 30.0), PIXEL)
    write_mrc_stack(tmp_path / "q.mrcs", images(), PIXEL)
    filtered, plain = (judged(read_particles(tmp_path / name)) for name in ("p.mrcs", "q.mrcs"))
    assert plain.finest_A is None
    assert abs(BOX * PIXEL / filtered.finest_A - BOX * PIXEL / 30.0) < 3
    assert filtered.subset(np.arange(10)).finest_A == filtered.finest_A
    report = check_particles(read_particles(tmp_path / "p.mrcs"))
    assert any(f"nothing finer than {filtered.finest_A:.1f} A" in text for text in report.warnings)
    assert report.can_run
