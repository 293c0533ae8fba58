"""Filters of frequency: what they do to waves, to noise, and what the Guinier plot finds again."""

import numpy as np
import pytest

from vitreous.particles import Volume
from vitreous.volumes import (
    apply_b_factor,
    fsc_weights,
    guinier,
    high_pass,
    low_pass,
    sharpen,
    shell_filter,
)

N, PIXEL = 24, 2.0


def noise(n: int = N, seed: int = 0) -> Volume:
    return Volume(data=np.random.default_rng(seed).normal(size=(n, n, n)), pixel_size_A=PIXEL, origin_A=(1.0, 2.0, 3.0))


def gain(before: Volume, after: Volume) -> tuple[np.ndarray, np.ndarray]:
    """|k| in Fourier pixels, and by what every coefficient was multiplied."""
    ft = [np.fft.fftn(v.data.astype(float)) for v in (before, after)]
    axis = np.fft.fftfreq(len(before.data)) * len(before.data)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    ratio = ft[1] / ft[0]
    assert np.abs(ratio.imag).max() < 1e-3  # nothing is moved
    return radius, ratio.real


def test_low_and_high_pass_are_cosines_and_complements():
    volume = noise()
    resolution = N * PIXEL / 6.0  # shell 6
    low, high = low_pass(volume, resolution), high_pass(volume, resolution)
    radius, ratio = gain(volume, low)
    expected = 0.5 * (1 + np.cos(np.pi * np.clip((radius - 6.0) / 2.0 + 0.5, 0, 1)))
    assert np.abs(ratio - expected).max() < 1e-3
    assert np.abs(low.data + high.data - volume.data).max() < 1e-5
    assert low.origin_A == volume.origin_A
    radius, ratio = gain(volume, low_pass(volume, resolution, edge_per_A=0.0))
    assert np.abs(ratio - (radius <= 6)).max() < 1e-3


def test_b_factors_add_up_and_are_found_again():
    volume = noise()
    radius, ratio = gain(volume, apply_b_factor(volume, 80.0))
    assert np.abs(ratio - np.exp(-20.0 * (radius / (N * PIXEL)) ** 2)).max() < 1e-3
    assert np.abs(apply_b_factor(apply_b_factor(volume, 80.0), -80.0).data - volume.data).max() < 1e-4
    perfect = np.ones(N // 2 + 1)
    plot = guinier(apply_b_factor(noise(48), 60.0), np.ones(25), 4.0)
    assert plot.b_factor_A2 == pytest.approx(60.0, abs=4.0)  # white noise of shells with 1e3 and more coefficients
    assert plot.sharpening_A2 == -plot.b_factor_A2
    assert plot.correlation < -0.98
    few = guinier(volume, perfect, 9.0)
    assert np.isnan(few.b_factor_A2)
    assert few.sharpening_A2 == 0.0
    assert not few.fitted.any()


def test_weighting_takes_the_noise_out_of_the_guinier_plot():
    n, b, level = 64, 120.0, 0.15
    true = apply_b_factor(noise(n), b)
    noisy = true.with_data(true.data + level * noise(n, seed=1).data)
    k = np.arange(n // 2 + 1) / (n * PIXEL)
    signal, white = np.exp(-0.5 * b * k**2), level**2
    fsc = signal / (signal + 2 * white)  # of halves, each with twice the noise of the whole
    resolution = 1.0 / k[fsc > 0.143][-1]
    weighted, raw = guinier(noisy, fsc, resolution), guinier(noisy, np.ones_like(fsc), resolution)
    assert weighted.b_factor_A2 == pytest.approx(b, rel=0.05)
    assert raw.b_factor_A2 < 0.92 * b  # flattened by noise


def test_weights_by_shell():
    weights = fsc_weights(np.array([1.0, 1.0, 0.6, 0.143, 0.05, 0.6]), resolution_A=10.0, field_A=30.0)
    assert weights == pytest.approx([1, 1, np.sqrt(1.2 / 1.6), np.sqrt(0.286 / 1.143), 0, 0])
    assert fsc_weights(np.ones(4), np.inf, 30.0).tolist() == [1, 0, 0, 0]
    volume = noise()
    table = np.linspace(1.0, 0.25, N // 2 + 1)
    radius, ratio = gain(volume, shell_filter(volume, table))
    inside = radius <= N // 2
    assert np.abs(ratio[inside] - np.interp(radius[inside], np.arange(N // 2 + 1), table)).max() < 1e-3
    assert np.abs(ratio[radius > N // 2 + 0.5]).max() < 1e-3
    with pytest.raises(ValueError, match="a box of 24 has 13 shells"):
        shell_filter(volume, np.ones(12))


def test_sharpening_is_all_of_it_in_one():
    volume, fsc = noise(), np.linspace(1.0, 0.1, N // 2 + 1)
    radius, ratio = gain(volume, sharpen(volume, fsc, 6.0, -50.0))
    shell = np.arange(N // 2 + 1)
    weights = fsc_weights(fsc, 6.0, N * PIXEL)
    on_grid = np.isclose(radius, np.round(radius)) & (radius <= 8)
    expected = weights[radius[on_grid].round().astype(int)] * np.exp(12.5 * (radius[on_grid] / (N * PIXEL)) ** 2)
    assert np.abs(ratio[on_grid] - expected).max() < 2e-3
    assert weights[shell > 8].max() == 0


def test_filters_that_are_none_are_refused():
    for make in (lambda v: low_pass(v, 0.0), lambda v: high_pass(v, np.nan)):
        with pytest.raises(ValueError, match="resolution_A: expected a positive number"):
            make(noise())
    with pytest.raises(ValueError, match="b_factor_A2: expected a finite number"):
        apply_b_factor(noise(), np.inf)
    with pytest.raises(ValueError, match="has 13 shells, found 5"):
        guinier(noise(), np.ones(5), 5.0)
