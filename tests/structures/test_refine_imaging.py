"""Defocus and contrast of particles: the likelihood, what is found, what is said of it, and nothing out of noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from posed_scenes import DIAMETER_A, Scene, scene

from vitreous.matching import ImagePreparation, prepare_particles
from vitreous.structures.refine import Refine, prepare_refinement, refine
from vitreous.structures.refine.images import point_images
from vitreous.structures.refine.imaging import Imaging, _at, _ring_sums, _slope, image_anew, with_priors
from vitreous.volumes import RingPoints, masked, prepared, resample

N, RINGS = 200, 14  # to 10 A


def misread(made: Scene, change_A: np.ndarray, scale: np.ndarray) -> Scene:
    """The same particles with a contrast each, and with a file whose defoci are too small by ``change_A``."""
    ctf = made.particles.ctf
    wrong = replace(ctf, defocus_u_A=ctf.defocus_u_A - change_A, defocus_v_A=ctf.defocus_v_A - change_A)
    images = made.particles.images * scale[:, None, None].astype(np.float32)
    return replace(made, particles=replace(made.particles, images=images, ctf=wrong))


class Posed:
    """Particles on ring points, with their map."""

    def __init__(self, made: Scene, noise: float):
        p = made.particles
        preparation = ImagePreparation.for_box(p.box_px, p.pixel_size_A, DIAMETER_A, normalise=False)
        self.data = prepare_particles(p.read, len(p), preparation, rings=RINGS, ctf=p.ctf)
        self.points = RingPoints(basis=self.data.basis)
        pixel_A = self.data.basis.window_px * self.data.pixel_size_A / self.points.side
        grid = torch.from_numpy(resample(made.map, self.points.side, pixel_A).data)
        self.volume = prepared(masked(grid, self.points.basis) * (pixel_A / made.map.pixel_size_A) ** 3)
        self.noise = torch.full_like(self.data.group_power, noise * self.data.white_noise_power)
        self.index, self.truth = np.arange(len(p)), made.truth

    def images(self, defocus_A, scale):
        return point_images(self.data, self.index, self.points, self.noise, defocus_A, scale)

    def anew(self, imaging: Imaging, **what):
        tile = self.images(*imaging.of(self.index))
        rotation, origin = self.truth.rotation, self.truth.origin_A
        return image_anew(self.data, self.index, tile, self.volume, rotation, origin, self.noise, imaging, **what)


@pytest.fixture(scope="module")
def errors() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(0, 600.0, N), rng.normal(1.0, 0.3, N).clip(0.3)


@pytest.fixture(scope="module")
def noisy(errors) -> tuple[Posed, float]:
    """SNR 4 in pixels of 5 A; contrasts multiply what is beneath the noise."""
    clean, with_noise = scene(N, snr=1e9), scene(N, snr=4.0)
    noise = with_noise.particles.images - clean.particles.images
    made = misread(clean, *errors)
    images = made.particles.images + noise
    made = replace(made, particles=replace(made.particles, images=images))
    return Posed(made, float(noise.var())), float(noise.var())


def test_ring_sums_give_the_likelihood_at_every_defocus_and_scale(noisy):
    """Against sum |x|^2 - |x - s c V|^2 of images that were made with that defocus and scale, to single precision."""
    posed, _ = noisy
    rotation, origin = posed.truth.rotation, posed.truth.origin_A
    start = Imaging.as_given(N)
    tile = posed.images(*start.of(posed.index))
    sums, q = _ring_sums(posed.data, posed.index, tile, posed.volume, rotation, origin, posed.noise)
    for defocus, scale in ((0.0, 1.0), (-700.0, 0.6), (1900.0, 1.7)):
        d, s = np.full(N, defocus), np.full(N, scale)
        there = posed.images(d, s)
        x, slices = there.centred(origin), there.slices(posed.volume, rotation)
        expected = (x.abs().square() - (x - slices).abs().square()).double().sum(1).numpy()
        product, power = _at(sums, q, d[:, None])
        found = (2 * scale * product - scale**2 * power)[:, 0]
        assert found == pytest.approx(expected, abs=2e-3 * np.abs(expected).max())


def test_the_slope_is_that_of_the_likelihood(noisy):
    """Central differences over 1 A."""
    posed, _ = noisy
    tile = posed.images(*Imaging.as_given(N).of(posed.index))
    sums, q = _ring_sums(
        posed.data, posed.index, tile, posed.volume, posed.truth.rotation, posed.truth.origin_A, posed.noise
    )
    d, s = np.full(N, 300.0), np.full(N, 1.2)

    def f(at):
        product, power = _at(sums, q, at[:, None])
        return (2 * s[:, None] * product - s[:, None] ** 2 * power)[:, 0]

    slope, information = _slope(sums, q, d, s)
    assert slope == pytest.approx((f(d + 1) - f(d - 1)) / 2, rel=1e-3, abs=1e-6)
    assert (information > 0).all()


def test_defocus_and_contrast_are_found_and_their_errors_are_true(noisy, errors):
    """Six rounds of what a refinement does, at true poses in the true map: errors shrink, and are as large as said."""
    posed, _ = noisy
    imaging = Imaging.as_given(N, "particles", "particles")
    for _ in range(6):
        found = posed.anew(imaging, defocus=True, scale=True)
        imaging = with_priors(imaging, found, posed.index, posed.index % 2, defocus="particles", scale="particles")
    change, scale = errors
    wrong = imaging.defocus_A - change
    assert np.sqrt((wrong**2).mean()) < 0.6 * change.std()
    assert (wrong / imaging.defocus_sd_A).std() == pytest.approx(1.0, abs=0.2)
    assert imaging.defocus_spread_A == pytest.approx(600.0, rel=0.25)
    left = imaging.scale / imaging.scale.mean() - scale / scale.mean()
    assert left.std() < 0.5 * scale.std()
    assert (left / imaging.scale_sd).std() == pytest.approx(1.0, abs=0.25)
    assert imaging.scale_spread == pytest.approx(0.3, rel=0.25)


def test_defoci_that_are_right_stay_where_they_are():
    """The spread that noise alone would give particles, several hundred A, is not taken for one of theirs."""
    made = scene(N, snr=0.1)
    posed = Posed(made, float((made.particles.images - scene(N, snr=1e9).particles.images).var()))
    imaging = Imaging.as_given(N, "particles", "particles")
    for _ in range(6):
        found = posed.anew(imaging, defocus=True, scale=True)
        imaging = with_priors(imaging, found, posed.index, posed.index % 2, defocus="particles", scale="particles")
    alone = found.defocus_score / found.defocus_information
    assert np.median(np.abs(alone)) > 200.0
    assert np.abs(imaging.defocus_A).max() < 400.0
    assert imaging.defocus_spread_A < 200.0
    assert np.abs(imaging.scale - 1).max() < 0.25


def test_groups_have_one_defocus_each(noisy, errors):
    """Particles of two micrographs that were misread by 400 and -400 A; the spread of the others is not asked for."""
    clean = scene(N, snr=1.0)
    group = np.arange(N) % 2
    change = np.where(group == 0, 400.0, -400.0)
    posed = Posed(misread(clean, change, np.ones(N)), float(clean.particles.images.var()) / 2)
    imaging = Imaging.as_given(N, "groups", "groups")
    for _ in range(5):
        found = posed.anew(imaging, defocus=True, scale=True)
        imaging = with_priors(imaging, found, posed.index, group, defocus="groups", scale="groups")
    found = posed.anew(imaging, defocus=True, scale=True)
    assert len(np.unique(found.defocus_A)) == 2
    assert np.abs(found.defocus_A - change).max() < 60.0
    assert found.scale == pytest.approx(1.0, abs=0.05)


def test_a_refinement_finds_them_from_the_map_of_its_half(errors):
    """From poses that are 4 degrees off: defocus and contrast follow the truth, and the CTF that is returned has it."""
    made = misread(scene(N, snr=8.0), errors[0], np.ones(N))
    settings = Refine(
        particle_diameter_A=DIAMETER_A, folds=4, initial_lowpass_A=35.0, search="never", refine_defocus="particles",
        refine_scale="groups",
    )  # fmt: skip
    found = refine(made.particles, settings, poses=made.start(4.0, 2.0), threads=1)
    assert np.corrcoef(found.imaging.defocus_A, errors[0])[0, 1] > 0.7
    assert found.ctf.defocus_u_A == pytest.approx(made.particles.ctf.defocus_u_A + found.imaging.defocus_A)
    assert len(np.unique(found.imaging.scale_centre)) == 2  # a micrograph has a contrast in each half
    assert found.imaging.scale == pytest.approx(1.0, abs=0.1)


def test_what_cannot_be_refined_is_refused():
    made = scene(40, snr=1.0)
    flipped = replace(made.particles.ctf, phase_flipped=np.ones(40))
    settings = Refine(particle_diameter_A=DIAMETER_A, refine_defocus="groups", folds=4)
    for ctf, words in ((None, "has no CTF"), (flipped, "were flipped")):
        with pytest.raises(ValueError, match=words):
            prepare_refinement(replace(made.particles, ctf=ctf), settings, poses=made.truth)
    with pytest.raises(ValueError, match="does not depend on the contrast"):
        Refine(method="frealign", refine_scale="groups")
    with pytest.raises(ValueError, match="refine_defocus"):
        Refine(refine_defocus="all")
