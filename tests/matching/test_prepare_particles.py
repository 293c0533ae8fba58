"""Particles made ready: units, memory, noise groups, bad images, white noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import PIXEL_A, ctf_parameters

from vitreous.matching import ImagePreparation, PreparedParticles, prepare_particles
from vitreous.optics import ctf_1d
from vitreous.testing import Blobs, fourier_at, polar_points, twin_ctf

BOX = 48
PREPARATION = ImagePreparation(box_px=BOX, pixel_size_A=PIXEL_A, particle_diameter_A=0.75 * BOX * PIXEL_A)


def noise_images(n: int, seed: int = 0, sd: float = 1.0) -> np.ndarray:
    return (sd * np.random.default_rng(seed).normal(size=(n, BOX, BOX))).astype(np.float32)


def prepare(images: np.ndarray, rings: int = 8, preparation=PREPARATION, **options) -> PreparedParticles:
    return prepare_particles(lambda i: images[i], len(images), preparation, rings=rings, **{"ctf": None} | options)


def test_a_mapped_file_holds_the_same_as_memory(tmp_path):
    images = noise_images(1000)
    done: list[int] = []
    a = prepare(images)
    b = prepare(images, store=tmp_path / "rings.dat", progress=done.append)
    assert isinstance(b.packed, np.memmap)
    np.testing.assert_allclose(a.packed, b.packed, atol=1e-4 * np.abs(a.packed).max())
    torch.testing.assert_close(a.group_power, b.group_power)
    assert done == [910, 1000]  # batches of 8 MB
    noise = torch.ones(1, 8)
    index = np.array([20, 3])
    torch.testing.assert_close(a.tile(index, 5, noise).data, b.tile(index, 5, noise).data, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("rings", [6, 9, 14])
def test_units_do_not_depend_on_the_working_box(rings):
    """The same particle on a smaller or larger working box has the same first rings.

    Not exactly: the width of the mask's edge is rounded to the pixels of the working box.
    """
    shape = Blobs.random(3, reach_px=9, width_px=2.5)
    images = np.stack([shape.image(BOX), shape.image(BOX, 40.0)]) + 0.01 * noise_images(2)
    plain = replace(PREPARATION, normalise=False)
    prepared, full = prepare(images, rings, plain), prepare(images, 1 << 20, plain)
    assert prepared.basis.rings == rings
    assert prepared.basis.box_px < full.basis.box_px
    low = 4
    a, b = (p.basis.unpack(torch.from_numpy(p.packed), low) for p in (prepared, full))
    assert a.shape == b.shape
    assert float((a - b).abs().max()) < 0.03 * float(b.abs().max())
    ratio = prepared.basis.k_per_px[0] / prepared.pixel_size_A / (full.basis.k_per_px[0] / full.pixel_size_A)
    assert ratio == pytest.approx(1, rel=1e-6)
    # A softer edge lets less signal and less noise through: what counts is their ratio, the same to rounding.
    a, b = (p.basis.ring_weight[:low] / p.white_noise_power for p in (prepared, full))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=0)


def test_rings_are_those_of_the_raw_image():
    shape = Blobs.random(3, reach_px=9, width_px=2.5)
    image = shape.image(BOX)
    prepared = prepare(image[None] + 0 * noise_images(1), 6, replace(PREPARATION, normalise=False))
    points = polar_points(prepared.basis, 64)
    raw = np.abs(fourier_at(image[None], points.k * prepared.basis.box_px / BOX)[0]) ** 2
    expected = raw.reshape(6, 64).mean(1)
    np.testing.assert_allclose(prepared.group_power[0], expected, rtol=0.03, atol=1e-3 * expected.max())


def test_white_noise_has_the_power_that_is_promised():
    n, sd = 400, 3.0
    prepared = prepare(noise_images(n, sd=sd), 10, replace(PREPARATION, normalise=False))
    ratio = prepared.group_power[0].numpy() / (sd**2 * prepared.white_noise_power)
    degrees_of_freedom = n * prepared.basis.ring_weight.numpy()
    assert (np.abs(ratio - 1) < 5 * np.sqrt(2 / degrees_of_freedom)).all()
    normalised = prepare(noise_images(n, sd=sd), 10)
    assert normalised.group_power[0, 4:].mean() == pytest.approx(normalised.white_noise_power, rel=0.03)


def test_bad_images_are_flagged_and_count_for_nothing():
    images = noise_images(12)
    images[3, 5, 5] = np.nan
    images[7] = 4.0
    prepared = prepare(images)
    assert np.flatnonzero(prepared.bad).tolist() == [3, 7]
    assert not prepared.packed[[3, 7]].any()
    good = prepare(np.delete(images, [3, 7], 0))
    torch.testing.assert_close(prepared.group_power, good.group_power, rtol=1e-4, atol=0)
    unscaled = prepare(images, preparation=replace(PREPARATION, normalise=False))
    assert np.flatnonzero(unscaled.bad).tolist() == [3, 7]


def test_power_is_kept_by_noise_group_and_an_empty_group_has_that_of_all():
    images = noise_images(30)
    images[10:] *= 2
    groups = np.array([0] * 10 + [2] * 20)
    prepared = prepare(images, noise_group=groups, preparation=replace(PREPARATION, normalise=False))
    power = prepared.group_power
    assert power.shape == (3, 8)
    assert float((power[2] / power[0]).mean()) == pytest.approx(4, rel=0.2)
    torch.testing.assert_close(power[1], (10 * power[0] + 20 * power[2]) / 30)
    noise = torch.ones(3, 8)
    noise[2] = 2.0
    tile = prepared.tile(np.array([0, 29]), 8, noise)
    torch.testing.assert_close(tile.ctf_power[:, 0, 0].real, torch.tensor([1.0, 0.5]))
    raw = prepared.basis.unpack(torch.from_numpy(prepared.packed[[29]]))[0]
    torch.testing.assert_close(tile.data[1], raw / 2)


def test_contrast_is_inverted_on_request():
    images = noise_images(3)
    a, b = prepare(images), prepare(images, preparation=replace(PREPARATION, invert_contrast=True))
    np.testing.assert_array_equal(a.packed, -b.packed)


def test_the_mean_ctf_power_is_that_of_the_group():
    ctf = ctf_parameters(6, 0.0)
    groups = np.array([0, 0, 0, 1, 1, 1])
    prepared = prepare(noise_images(6), ctf=ctf, noise_group=groups)
    k = prepared.basis.k_per_px[:5] / prepared.pixel_size_A
    expected = np.mean([twin_ctf(ctf, i, k, 0 * k) ** 2 for i in (3, 4, 5)], 0)
    np.testing.assert_allclose(prepared.mean_ctf_power(1, 5), expected, atol=1e-4)
    assert torch.equal(prepare(noise_images(2)).mean_ctf_power(0, 5), torch.ones(5))


def test_astigmatism_is_modelled_only_where_it_matters():
    images = noise_images(4)
    assert prepare(images, ctf=ctf_parameters(4, 5.0)).ctf_harmonics == 1
    little, much = (prepare(images, ctf=ctf_parameters(4, a)) for a in (500.0, 5000.0))
    assert 1 < little.ctf_harmonics < much.ctf_harmonics <= much.basis.harmonics // 2


def test_the_astigmatic_and_the_round_way_agree_for_little_astigmatism():
    """Just above the limit both ways are right to the phase difference that is neglected below it."""
    images, noise = noise_images(4), torch.ones(1, 8)
    ctf = ctf_parameters(4, 200.0)
    prepared = prepare(images, ctf=ctf)
    assert prepared.ctf_harmonics > 1
    tile = prepared.tile(np.arange(4), 8, noise)
    k = torch.from_numpy(prepared.basis.k_per_px / prepared.pixel_size_A).float()
    c = ctf_1d(ctf, k)
    raw = prepared.basis.unpack(torch.from_numpy(prepared.packed))
    assert float((tile.data - raw * c[:, :, None]).abs().max()) < 0.05 * float(raw.abs().max())
    assert float((tile.ctf_power[:, :, 0].real - c.square()).abs().max()) < 0.05


@pytest.mark.parametrize("rings", [1, 7, 1 << 20])
def test_pictures_have_the_size_and_the_scale_of_the_raw_images(rings):
    shape = Blobs.random(3, reach_px=9, width_px=4.0)
    image = shape.image(BOX)
    prepared = prepare(image[None].astype(np.float32), rings, replace(PREPARATION, normalise=False))
    picture = prepared.picture(prepared.basis.unpack(torch.from_numpy(prepared.packed)))
    assert picture.shape == (1, BOX, BOX)
    if rings > 1:
        y, x = np.indices((BOX, BOX)) - BOX // 2
        inside = np.hypot(x, y) < PREPARATION.radius_px - 4
        a, b = (v[inside] - v[inside].mean() for v in (image, picture[0].numpy()))
        assert (a * b).sum() / (a * a).sum() == pytest.approx(1, abs=0.05)


def test_working_boxes_are_as_small_as_the_rings_allow():
    sizes = [PREPARATION.working_basis(r).box_px for r in (4, 8, 12, 16)]
    assert sizes == sorted(sizes)
    assert sizes[0] < BOX / 2
    most = PREPARATION.working_basis(10_000)
    assert most.box_px == BOX
    assert most.rings == most.max_rings
