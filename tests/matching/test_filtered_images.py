"""Images that hold nothing beyond some resolution: nothing is compared there, and nothing claimed."""

from dataclasses import replace

import numpy as np
import pytest

from vitreous.averages.align import Align, align, prepare_alignment
from vitreous.averages.class2d import Class2D, class2d
from vitreous.averages.covariance.prepare import steerable_plan
from vitreous.averages.denoise import denoise
from vitreous.averages.isac import ISAC, prepare_isac
from vitreous.averages.mra import MRA, prepare_mra
from vitreous.matching import ImagePreparation
from vitreous.particles import ParticleFileError, Volume, judged, read_particles, write_mrc_stack
from vitreous.volumes import half_map_fsc

BOX, PIXEL, N = 32, 6.0, 240


def views(low_pass_A: float | None = None, high_pass_A: float | None = None) -> np.ndarray:
    """Two views, turned at random, in white noise, and what a filter leaves of them."""
    rng, axis = np.random.default_rng(7), np.arange(BOX) - BOX // 2
    stack = rng.standard_normal((N, BOX, BOX))
    for i, angle in enumerate(rng.uniform(0, 2 * np.pi, N)):
        for x, y, height in ((5, 0, 1.2), (-5, 2, 0.8), (0, -6 if i % 2 else 7, 1.0)):
            u, v = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
            stack[i] += 1.5 * height * np.exp(-((axis - u) ** 2 + (axis[:, None] - v) ** 2) / 8)
    k = np.hypot(np.fft.fftfreq(BOX, PIXEL)[:, None], np.fft.rfftfreq(BOX, PIXEL))
    kept = np.ones_like(k)
    if low_pass_A is not None:
        kept = kept * (k < 1 / low_pass_A)
    if high_pass_A is not None:
        kept = kept * (k > 1 / high_pass_A)
    return np.fft.irfft2(np.fft.rfft2(stack) * kept, s=(BOX, BOX)).astype(np.float32)


def read(folder, images):
    write_mrc_stack(folder / "p.mrcs", images, PIXEL)
    return judged(read_particles(folder / "p.mrcs"), poses=False)


SETTINGS = Class2D(classes=2, iterations=8, folds=4, seed=1)


@pytest.mark.parametrize("high_pass_A", [None, 150.0], ids=["low pass", "band pass"])
def test_a_classification_claims_no_more_than_images_hold(tmp_path, high_pass_A):
    particles = read(tmp_path, views(40.0, high_pass_A))
    assert 30 < particles.finest_A < 50
    result = class2d(particles, SETTINGS)
    assert (result.resolution_A >= particles.finest_A).all()
    beyond = int(BOX * PIXEL / particles.finest_A) + 1
    assert not result.ssnr[:, beyond:].any()
    assert np.isfinite(result.averages).all()


@pytest.mark.parametrize(
    ("prepare", "settings"),
    [(prepare_alignment, Align()), (prepare_isac, ISAC(img_per_grp=50)), (prepare_mra, MRA(classes=2))],
    ids=["align", "isac", "mra"],
)
def test_no_method_prepares_rings_beyond_the_limit(tmp_path, prepare, settings):
    particles = read(tmp_path, views(40.0))
    run = prepare(particles, settings)
    assert run.laid.preparation.finest_A == particles.finest_A
    assert run.data.basis.window_px * run.data.pixel_size_A / run.data.basis.rings >= 0.99 * particles.finest_A


def test_an_alignment_claims_no_more_than_images_hold(tmp_path):
    particles = read(tmp_path, views(40.0))
    assert align(particles, Align(starts=2, iterations=4, folds=4)).resolution_A >= particles.finest_A


def test_an_unfiltered_set_knows_of_no_limit(tmp_path):
    particles = read(tmp_path, views())
    assert particles.finest_A is None
    assert ImagePreparation.for_box(BOX, PIXEL, finest_A=None) == ImagePreparation.for_box(BOX, PIXEL)


def test_denoising_works_up_to_the_limit(tmp_path):
    particles = read(tmp_path, views(40.0))
    model = denoise(particles).model
    assert model.cutoff_A >= 0.99 * particles.finest_A
    assert np.isfinite(model.mean_image).all()


def test_rings_and_working_boxes_end_at_the_limit():
    free = ImagePreparation.for_box(64, 4.0)
    held = replace(free, finest_A=20.0)
    full = free.working_basis(1 << 20)
    window_A = free.working_basis(1).window_px * free.pixel_size_A * free.box_px / free.working_basis(1).box_px
    basis = held.working_basis(1 << 20)
    assert basis.rings < full.rings
    assert window_A / basis.rings >= 20.0 > window_A / (basis.rings + 1) - 0.5
    assert (free.shells, held.shells) == (32, 12)
    assert 2 * steerable_plan(held).pixel_size_A == pytest.approx(20.0, rel=0.05)
    assert held.working_basis(3) == free.working_basis(3)


def test_half_maps_claim_no_more_either():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((24, 24, 24))
    halves = [Volume(data=signal + 0.3 * rng.standard_normal(signal.shape), pixel_size_A=3.0) for _ in range(2)]
    assert half_map_fsc(*halves).resolution_A == pytest.approx(6.0)
    assert half_map_fsc(*halves, finest_A=14.0).resolution_A >= 14.0


def test_rings_without_any_power_do_not_crash(tmp_path):
    """Integer pixels of a smooth image: whole rings are exactly zero."""
    flat = np.zeros((N, BOX, BOX), np.float32)
    flat += np.sin(np.arange(BOX) * 2 * np.pi / BOX)[None, :, None] * np.linspace(1, 2, N)[:, None, None]
    try:
        result = class2d(read(tmp_path, flat.astype(np.float32)), SETTINGS)
    except ParticleFileError:
        return
    assert np.isfinite(result.averages).all()
