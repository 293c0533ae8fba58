"""The CTF of small pictures of ice with a known one, and of noise without."""

from dataclasses import replace

import numpy as np
import pytest
from scenes_of_ctf import ctf_scene, parameters

from vitreous.micrographs import EstimateCTF, Microscope, estimate_ctf
from vitreous.micrographs.ctf_band import Band
from vitreous.micrographs.ctf_model import Start, likelihood_gradient
from vitreous.micrographs.ctf_points import points_of
from vitreous.micrographs.ctf_spectrum import averaged_spectrum, tile_side_px

SCOPE = Microscope(voltage_kV=300.0, cs_mm=2.7)
TILE = EstimateCTF(tile_A=400.0)
SHAPE = (480, 560)


def errors(estimate, ctf):
    """(mean, along, across) less the truth, in Angstrom."""
    u, v = float(ctf.defocus_u_A[0]), float(ctf.defocus_v_A[0])
    twice = 2.0 * np.deg2rad([estimate.defocus_angle_deg, float(ctf.defocus_angle_deg[0])])
    half = 0.5 * np.array([estimate.astigmatism_A, u - v])
    split = half * np.cos(twice), half * np.sin(twice)
    return np.array([estimate.mean_A - 0.5 * (u + v), *(values[0] - values[1] for values in split)])


@pytest.mark.parametrize(
    ("u", "v", "angle", "pixel_A"),
    [(6e3, 5.6e3, -70.0, 1.2), (12e3, 11e3, 30.0, 2.0), (30e3, 29e3, 75.0, 2.0), (22e3, 21.5e3, 5.0, 4.0)],
)
def test_defocus_and_astigmatism_are_found_on_pictures_that_are_not_square(u, v, angle, pixel_A):
    ctf = parameters(u, v, angle)
    found = estimate_ctf(ctf_scene(SHAPE, pixel_A, ctf), pixel_A, SCOPE, TILE)
    assert found.found
    assert np.abs(errors(found, ctf)).max() < 4.0 * found.astigmatism_sd_A < 700.0  # of U - V: 2 of the others
    assert found.defocus_u_A >= found.defocus_v_A
    assert -90.0 <= found.defocus_angle_deg <= 90.0
    assert found.ctf().defocus_u_A[0] == found.defocus_u_A


def test_a_picture_turned_by_a_right_angle_has_its_angle_turned():
    image = ctf_scene((448, 448), 2.0, parameters(15000.0, 13000.0, 20.0), rings=3.0)
    upright, turned = (estimate_ctf(picture, 2.0, SCOPE, TILE) for picture in (image, np.rot90(image).copy()))
    assert upright.defocus_angle_deg == pytest.approx(20.0, abs=4.0)
    assert turned.defocus_angle_deg == pytest.approx(-70.0, abs=4.0)
    assert turned.mean_A == pytest.approx(upright.mean_A, abs=upright.defocus_sd_A)


def test_standard_deviations_are_those_of_the_errors():
    ctf = parameters(14000.0, 13400.0, 25.0)
    squares = []
    for seed in range(16):
        found = estimate_ctf(
            ctf_scene((320, 352), 2.0, ctf, rings=0.6, seed=seed), 2.0, SCOPE, EstimateCTF(tile_A=250.0)
        )
        error, half = errors(found, ctf), 0.5 * found.astigmatism_sd_A
        squares.append(np.square(error / [found.defocus_sd_A, half, half]))
    assert (
        0.4 < np.mean(squares) < 1.8
    )  # of 48 numbers: the mean of their squares is 1 with a standard deviation of 0.2


@pytest.mark.parametrize("phase", [False, True])
def test_the_gradient_is_that_of_the_likelihood(phase):
    band = Band(low_per_A=1 / 30, high_per_A=1 / 5)
    points = points_of(averaged_spectrum(ctf_scene((160, 192), 2.0, parameters(15e3, 14e3, 30.0)), 2.0, 64, band), band)
    at = Start(
        mean_A=14800.0, along_A=300.0, across_A=-200.0, phase_deg=20.0,
        background=np.linspace(0.2, -0.1, band.background), visibility=np.linspace(-0.5, 0.3, band.visibility),
    )  # fmt: skip

    def value(changed):
        return likelihood_gradient(points, changed, SCOPE, band, phase=phase)[0]

    steps = (
        [replace(at, mean_A=at.mean_A + s) for s in (1.0, -1.0)],
        [replace(at, along_A=at.along_A + s) for s in (1.0, -1.0)],
    )
    steps += ([replace(at, across_A=at.across_A + s) for s in (1.0, -1.0)],)
    numeric = [(value(up) - value(down)) / 2.0 * 1000.0 for up, down in steps]  # per 1000 Angstrom
    if phase:
        up, down = (replace(at, phase_deg=20.0 + s) for s in (0.01, -0.01))
        numeric.append((value(up) - value(down)) / (2.0 * np.deg2rad(0.01)))
    for name in ("background", "visibility"):
        for i in range(len(getattr(at, name))):
            up, down = (
                replace(at, **{name: getattr(at, name) + s * np.eye(len(getattr(at, name)))[i]}) for s in (1e-4, -1e-4)
            )
            numeric.append((value(up) - value(down)) / 2e-4)
    gradient = likelihood_gradient(points, at, SCOPE, band, phase=phase)[1]
    assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-4 * np.abs(gradient).max())


def test_values_of_the_spectrum_of_noise_scatter_as_is_said():
    band = Band(low_per_A=1 / 30, high_per_A=1 / 3)
    noise = np.random.default_rng(3).normal(size=(600, 700)).astype(np.float32)
    spectrum = averaged_spectrum(noise, 1.0, 80, band)
    points = points_of(spectrum, band)
    assert points.power.mean() == pytest.approx(1.0, abs=0.02)
    assert points.power.var() * spectrum.per_value == pytest.approx(1.0, abs=0.1)


def test_what_is_no_ring_does_not_matter():
    image = ctf_scene(SHAPE, 2.0, parameters(18000.0, 17600.0, -30.0))
    clean = estimate_ctf(image, 2.0, SCOPE, TILE)
    rng = np.random.default_rng(1)
    hot = image.copy()
    hot[rng.integers(0, SHAPE[0], 40), rng.integers(0, SHAPE[1], 40)] += 400.0  # 80 standard deviations
    ramp = image + 200.0 * np.linspace(-1, 1, SHAPE[1], dtype=np.float32)
    edge = np.where(np.arange(SHAPE[1]) > 400, 0.8 * image, image).astype(np.float32)  # of carbon, darker
    for changed in (hot, ramp, edge, 1e-3 * image - 7.0):
        found = estimate_ctf(changed, 2.0, SCOPE, TILE)
        assert found.found
        assert found.mean_A == pytest.approx(clean.mean_A, abs=clean.defocus_sd_A)
        assert found.astigmatism_A == pytest.approx(clean.astigmatism_A, abs=clean.astigmatism_sd_A)
    assert estimate_ctf(hot, 2.0, SCOPE, TILE).hot_px >= 20


def test_rings_of_crystalline_ice_are_left_out():
    ctf = parameters(9000.0, 8700.0, 20.0)
    image = ctf_scene(SHAPE, 1.2, ctf, rings=4.0)
    k = np.hypot(np.fft.fftfreq(SHAPE[0], 1.2)[:, None], np.fft.rfftfreq(SHAPE[1], 1.2))
    ring = 25.0 * np.exp(-0.25 * np.square((k - 1.0 / 3.7) / 0.008))  # five times the noise
    icy = image + np.fft.irfft2(np.fft.rfft2(np.random.default_rng(9).normal(size=SHAPE)) * ring, s=SHAPE)
    clean, found = (estimate_ctf(picture.astype(np.float32), 1.2, SCOPE, TILE) for picture in (image, icy))
    assert clean.ice == 0.0
    assert found.ice > 1.0
    assert any("crystalline ice" in words for words in found.warnings)
    assert np.abs(errors(found, ctf)).max() < 4.0 * found.astigmatism_sd_A


@pytest.mark.parametrize("decay_A", [0.0, 40.0])
def test_noise_has_no_ctf_and_it_is_said(decay_A):
    k = np.hypot(np.fft.fftfreq(360, 2.0)[:, None], np.fft.rfftfreq(400, 2.0))
    for seed in range(4):
        white = np.random.default_rng(seed).normal(size=(360, 400))
        noise = np.fft.irfft2(np.fft.rfft2(white) / np.hypot(1.0, decay_A * k), s=white.shape).astype(np.float32)
        nothing = estimate_ctf(noise, 2.0, SCOPE, EstimateCTF(tile_A=300.0))
        assert (nothing.found, nothing.resolution_A) == (False, 0.0)
        assert "no rings stand out from chance" in nothing.warnings[0]
    with pytest.raises(ValueError, match="nothing is claimed"):
        nothing.ctf()


def test_rings_are_followed_as_far_as_they_go():
    resolutions = []
    for edge_A in (9.0, 5.0):
        image = ctf_scene(SHAPE, 1.5, parameters(14000.0, 13800.0, 0.0), finest_A=edge_A)
        resolutions.append(estimate_ctf(image, 1.5, SCOPE, TILE).resolution_A)
    assert resolutions == pytest.approx([9.0, 5.0], rel=0.15)  # a ring on either side belongs to a place


def test_doubts_are_said():
    def words(u, v, settings, pixel_A=2.0):
        image = ctf_scene(SHAPE, pixel_A, parameters(u, v, 10.0))
        return "; ".join(estimate_ctf(image, pixel_A, SCOPE, settings).warnings)

    assert words(10000.0, 9800.0, TILE) == ""
    assert "end of the range" in words(15000.0, 14800.0, EstimateCTF(tile_A=400.0, highest_defocus_A=14900.0))
    assert "astigmatism is 2" in words(15000.0, 12000.0, TILE)
    assert "zeros of the CTF" in words(9000.0, 8900.0, TILE, 5.0)
    assert "too fine for tiles" in words(30000.0, 29900.0, EstimateCTF(tile_A=330.0))


def test_rings_that_no_ctf_of_the_range_fits_are_no_claim():
    far = ctf_scene(SHAPE, 3.0, parameters(30000.0, 29500.0, 10.0), rings=8.0)
    outside = estimate_ctf(far, 3.0, SCOPE, EstimateCTF(tile_A=400.0, highest_defocus_A=16000.0))
    assert not outside.found
    assert "no CTF within the range fits" in outside.warnings[0]
    near = ctf_scene(SHAPE, 1.5, parameters(7000.0, 6800.0, 10.0), rings=8.0)
    right, wrong = (estimate_ctf(near, 1.5, scope, TILE) for scope in (SCOPE, replace(SCOPE, cs_mm=0.0)))
    assert right.unexplained < 15.0 < wrong.unexplained
    assert any("not in the fit" in words for words in wrong.warnings)


def test_a_phase_shift_is_found_or_taken_as_given():
    ctf = parameters(12000.0, 11700.0, 40.0, shift_deg=70.0)
    image = ctf_scene(SHAPE, 1.5, ctf)
    found = estimate_ctf(image, 1.5, SCOPE, EstimateCTF(tile_A=400.0, phase_shift=True))
    given = estimate_ctf(image, 1.5, SCOPE, EstimateCTF(tile_A=400.0, phase_shift_deg=70.0))
    assert found.phase_shift_deg == pytest.approx(70.0, abs=12.0)
    assert found.defocus_sd_A > 1.3 * given.defocus_sd_A  # shift and defocus stand for each other
    assert abs(errors(found, ctf)[0]) < 4.0 * found.defocus_sd_A
    assert abs(errors(given, ctf)[0]) < 4.0 * given.defocus_sd_A


def test_tiles_fit_and_are_of_even_sides():
    for shape, pixel_A, wanted_A in (((33, 40), 1.0, 500.0), ((4096, 4096), 1.0, 985.0), ((500, 900), 5.0, 3.0)):
        side = tile_side_px(shape, pixel_A, wanted_A)
        assert side % 2 == 0
        assert 32 <= side <= min(shape)


def test_what_cannot_be_looked_at_is_refused():
    image = ctf_scene((64, 64), 2.0, None)
    with pytest.raises(ValueError, match="is the pixel size right"):
        estimate_ctf(image, 20.0, SCOPE)
    with pytest.raises(ValueError, match="an empty micrograph"):
        estimate_ctf(np.full((64, 64), 3.0, dtype=np.float32), 2.0, SCOPE)
    with pytest.raises(ValueError, match="highest_defocus_A: expected more than"):
        EstimateCTF(lowest_defocus_A=20000.0, highest_defocus_A=10000.0)
    with pytest.raises(ValueError, match="give one of them"):
        EstimateCTF(phase_shift=True, phase_shift_deg=90.0)
    with pytest.raises(ValueError, match="amplitude_contrast: expected a fraction"):
        Microscope(voltage_kV=300.0, cs_mm=2.7, amplitude_contrast=1.5)
    with pytest.raises(ValueError, match="voltage_kV: expected kilovolts"):
        Microscope(voltage_kV=300000.0, cs_mm=2.7)
