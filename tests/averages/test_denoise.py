"""Denoising: errors against the truth, units, places, and what cannot be done."""

from dataclasses import replace

import numpy as np
import pytest
from particle_files import particle_file
from sets import PIXEL_A, SHAPES, defocus, simulate

from vitreous.averages.denoise import Denoise, denoise, prepare_denoising

DIAMETER_A = 130.0
N = 1200


@pytest.fixture(scope="module")
def scene():
    """(noisy images, clean images, CTF, origins in px)."""
    ctf = defocus(N, 3)
    clean, truth = simulate(N, np.inf, 4, shapes=SHAPES)
    blurred, _ = simulate(N, np.inf, 4, shapes=SHAPES, ctf=ctf)
    noise = np.random.default_rng(1).normal(size=clean.images.shape)
    noisy = blurred.images + blurred.images.std() / 0.3 * noise
    return noisy.astype(np.float32), clean.images, ctf, truth.origin_px


@pytest.fixture(scope="module")
def particles(scene, tmp_path_factory):
    noisy, _, ctf, origin = scene
    return particle_file(tmp_path_factory.mktemp("p"), noisy, PIXEL_A, ctf, origin)


@pytest.fixture(scope="module")
def result(particles):
    return denoise(particles, particle_diameter_A=DIAMETER_A)


def error(found: np.ndarray, clean: np.ndarray) -> float:
    """Relative error, with the mean image of the clean images removed."""
    return float(np.sqrt(((found - clean) ** 2).sum() / ((clean - clean.mean(0)) ** 2).sum()))


def test_denoised_images_resemble_the_clean_ones(scene, result):
    noisy, clean, _, _ = scene
    assert result.images.shape == clean.shape
    assert error(result.images, clean) < 0.65
    assert error(noisy, clean) > 2
    assert result.weight.tolist() == [1] * N
    assert result.model.defocus_groups == 4
    assert result.model.messages == []


def test_more_components_are_better(scene, particles, result):
    few = denoise(particles, particle_diameter_A=DIAMETER_A, components=2)
    assert len(few.model.orders) == 2
    assert len(result.model.orders) > 10
    assert error(few.images, scene[1]) > 1.1 * error(result.images, scene[1])


def test_images_come_out_where_they_were(scene, tmp_path):
    noisy, _, ctf, _ = scene
    shift = np.array([2.0, -3.0])
    moved = np.roll(noisy[:600], (3, -2), (1, 2))  # content moves by -origin: y down 3, x left 2
    origin = np.tile(shift, (600, 1))
    settings = Denoise(particle_diameter_A=110.0)
    plain = denoise(particle_file(tmp_path / "a", noisy[:600], PIXEL_A, ctf.take(np.arange(600))), settings)
    other = denoise(particle_file(tmp_path / "b", moved, PIXEL_A, ctf.take(np.arange(600)), origin), settings)
    back = np.roll(other.images, (-3, 2), (1, 2))
    assert np.abs(back - plain.images).mean() < 0.1 * np.abs(plain.images).mean()


def test_grey_values_are_those_of_the_input(scene, particles, result, tmp_path):
    noisy, _, ctf, origin = scene
    scaled = denoise(particle_file(tmp_path, 7 * noisy + 50, PIXEL_A, ctf, origin), particle_diameter_A=DIAMETER_A)
    np.testing.assert_allclose(scaled.images, 7 * result.images, atol=0.01 * np.abs(scaled.images).max())
    dark = denoise(
        particle_file(tmp_path / "dark", -noisy, PIXEL_A, ctf, origin),
        particle_diameter_A=DIAMETER_A,
        invert_contrast=True,
    )
    np.testing.assert_allclose(dark.images, result.images, atol=1e-3 * np.abs(dark.images).max())


def test_bad_images_are_zero_and_the_others_as_before(scene, result, tmp_path):
    noisy, _, ctf, origin = scene
    broken = noisy.copy()
    broken[3], broken[10] = np.nan, 1.0
    found = denoise(particle_file(tmp_path, broken, PIXEL_A, ctf, origin), particle_diameter_A=DIAMETER_A)
    assert np.flatnonzero(found.weight == 0).tolist() == [3, 10]
    assert not found.images[[3, 10]].any()
    assert np.abs(found.images[20] - result.images[20]).max() < 0.1 * np.abs(result.images[20]).max()
    assert "2 particles" in found.model.messages[0]


def test_coarser_computation_keeps_box_and_pixels(scene, particles):
    found = denoise(particles, particle_diameter_A=DIAMETER_A, resolution_limit_A=14.0)
    assert found.images.shape == scene[1].shape
    assert found.model.pixel_size_A > PIXEL_A
    assert error(found.images, scene[1]) < 0.75
    prepared = prepare_denoising(particles, Denoise(resolution_limit_A=14.0))
    assert any("written at the pixel size of the input" in note for note in prepared.notes)


def test_background_is_zero(result):
    y, x = np.indices((32, 32)) - 16
    # Shifts of the particles move the disc by up to a few pixels.
    assert np.abs(result.images[:, np.hypot(x, y) > 19]).max() < 0.05 * np.abs(result.images).max()


def test_noise_alone_is_the_mean_image(tmp_path):
    noise = np.random.default_rng(0).normal(size=(400, 32, 32)).astype(np.float32)
    found = denoise(particle_file(tmp_path, noise, PIXEL_A), particle_diameter_A=DIAMETER_A)
    assert found.images.std(0).max() < 0.02
    assert len(found.model.orders) < 3


def test_what_cannot_be_denoised_is_said(particles, scene, tmp_path):
    noisy, _, ctf, _ = scene
    wrong = replace(ctf.take(np.arange(9)), defocus_u_A=np.r_[np.full(8, 1e4), np.nan])
    left = prepare_denoising(particle_file(tmp_path, noisy[:9], PIXEL_A, wrong), Denoise()).particles
    assert np.flatnonzero(left.bad).tolist() == [8], "a defocus that is no number costs one particle"
    flagged = particle_file(tmp_path, noisy[:9], PIXEL_A, ctf.take(np.arange(9)), rlnCtfDataAreCtfPremultiplied=[1] * 9)
    with pytest.raises(ValueError, match="premultiplied"):
        prepare_denoising(flagged, Denoise())
    with pytest.raises(ValueError, match="background"):
        prepare_denoising(particles, Denoise(particle_diameter_A=500.0))
    for settings in ({"components": 0}, {"particle_diameter_A": -1.0}, {"resolution_limit_A": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            Denoise(**settings)
    assert any("rlnDefocusU" in n for n in prepare_denoising(particle_file(tmp_path, noisy, 5.0), Denoise()).notes)
