"""Noise, plane, cutoff and preparation: found in the images, checked against what was put in."""

import numpy as np
import pytest
import torch
from particle_files import particle_file
from sets import PIXEL_A, SHAPES, defocus, simulate

from vitreous.averages.covariance import (
    Excess,
    background_response,
    bulk_level,
    choose_cutoff,
    excess_power,
    information_blocks,
    matched_coefficients,
    prepare_matched,
    smooth_spectrum,
    steerable_plan,
    unknown_plane,
)
from vitreous.fourier import FourierBessel
from vitreous.matching import ImagePreparation
from vitreous.optics import add_noise_images, empty_noise_sums, noise_power, normalise_images
from vitreous.quality import soft_disc

BOX, RADIUS = 33, 13.0


def noise(n: int, box: int = BOX, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, box, box, generator=torch.Generator().manual_seed(seed))


def planes(n: int) -> torch.Tensor:
    axis = torch.arange(BOX) - BOX // 2.0
    amount = 5 * torch.randn(n, 3, 1, 1, generator=torch.Generator().manual_seed(5))
    return amount[:, 0] + amount[:, 1] * axis + amount[:, 2] * axis[:, None]


@pytest.mark.parametrize("ramp", [True, False])
def test_response_of_the_background_to_white_noise(ramp):
    mask, images = 1 - soft_disc(BOX, RADIUS, 3.0), noise(4000)
    if ramp:
        images, _ = normalise_images(images, RADIUS, remove_ramp=True)
    sums = add_noise_images(empty_noise_sums(1, BOX), images, torch.zeros(4000, dtype=torch.int64), mask)
    expected = background_response(BOX, mask, soft_disc(BOX, RADIUS, 0.0) == 0, ramp=ramp)
    assert torch.allclose(noise_power(sums)[0], expected, atol=0.02)
    assert abs(float(expected[0])) < 1e-9
    assert expected[1] < (0.8 if ramp else 0.9)


def test_a_plane_in_the_images_changes_nothing():
    basis, ctf = FourierBessel(box_px=BOX, radius_px=RADIUS, cutoff_per_px=0.3), defocus(20, 0)
    power = torch.linspace(3, 1, 17)
    plane = unknown_plane(power, BOX)
    images = noise(20)
    a, b = (matched_coefficients(basis, x, ctf, PIXEL_A, power, plane) for x in (images, images + planes(20)))
    assert torch.allclose(a, b, atol=1e-3)
    without = matched_coefficients(basis, images + planes(20), ctf, PIXEL_A, power)
    assert not torch.allclose(a, without, atol=0.1)


@pytest.mark.parametrize("with_ctf", [True, False])
def test_information_with_a_plane_is_the_covariance_of_matched_noise(with_ctf):
    basis, n = FourierBessel(box_px=BOX, radius_px=RADIUS, cutoff_per_px=0.25), 20000
    ctf = defocus(1, 0) if with_ctf else None
    power = torch.full((17,), 2.0)
    plane = unknown_plane(power, BOX)
    many = None if ctf is None else ctf.take(np.zeros(n, int))
    z = matched_coefficients(basis, 2**0.5 * noise(n) + 3, many, PIXEL_A, power, plane)
    for q in (0, 1, 3):
        part, k = z[:, basis.blocks[q]], information_blocks(basis, ctf, PIXEL_A, power, plane)[q][0]
        found = (part.T @ part.conj()).real / n
        assert (found - k).norm() < 0.06 * k.norm()
        if q < 2:
            plain = information_blocks(basis, ctf, PIXEL_A, power)[q][0]
            assert torch.linalg.eigvalsh(plain - k)[0] > -1e-6


def test_spectra_are_as_simple_as_the_data_allow():
    error = torch.full((33,), 0.01, dtype=torch.float64)
    rough = 1 + error * torch.randn(33, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    white, spread = smooth_spectrum(4 * rough, error)
    assert float(white.std()) < 1e-6
    assert abs(float(white[0]) / 4 - 1) < 0.01
    assert float(spread.max()) < 0.003
    slope = torch.linspace(0, 1, 33, dtype=torch.float64).exp()
    sloping, _ = smooth_spectrum(slope * rough, error)
    assert torch.allclose(sloping.double(), slope, rtol=0.01)
    rings = 1.5 + torch.sin(torch.arange(33, dtype=torch.float64) / 2)
    kept, _ = smooth_spectrum(rings, error)
    assert torch.allclose(kept[3:-1].double(), rings[3:-1], rtol=0.15)
    with pytest.raises(ValueError, match="no power"):
        smooth_spectrum(torch.zeros(33), error)


def excess(*values: float, error: float = 0.002) -> Excess:
    upper = 0.025 * np.arange(1, len(values) + 1)
    return Excess(upper_per_px=upper, value=np.array(values), error=np.full(len(values), error))


def test_cutoff_lies_beyond_the_last_signal():
    signal = [0.5] * 8
    assert choose_cutoff(excess(*signal, 0, 0, 0, 0), np.zeros(12), 0.45) == pytest.approx(0.26)
    weak = excess(*signal, 0.02, 0.012, 0, 0)
    assert choose_cutoff(weak, np.zeros(12), 0.45) == pytest.approx(0.31)
    assert choose_cutoff(weak, np.full(12, 0.01), 0.45) == pytest.approx(0.26)  # the noise is not known so well
    alone = excess(*signal, 0, 0, 0.02, 0)
    assert choose_cutoff(alone, np.zeros(12), 0.45) == pytest.approx(0.26)
    negative = excess(0.5, -0.2, -0.2, *signal)
    assert choose_cutoff(negative, np.zeros(11), 0.45) == pytest.approx(0.335)
    assert choose_cutoff(excess(*[0.0] * 12), np.zeros(12), 0.45) == 0.15
    assert choose_cutoff(excess(*[0.5] * 18), np.zeros(18), 0.45) == 0.45


def test_bulk_tells_the_level_of_the_noise_under_signal():
    rng = torch.Generator().manual_seed(0)
    second, identity = [], []
    for k in (30, 25, 20, 15, 10, 5):
        x = 1.04**0.5 * torch.randn(2000, k, generator=rng, dtype=torch.float64)
        x[:, :4] += 2 * torch.randn(2000, 4, generator=rng, dtype=torch.float64)
        second.append(x.T @ x)
        identity.append(2000 * torch.eye(k, dtype=torch.float64))
    level = bulk_level(second, identity, 1000)
    assert level == pytest.approx(1.04, abs=0.02)
    assert bulk_level([50 * s for s in second], identity, 2000) == 1.0


def test_excess_is_counted_by_band():
    basis = FourierBessel(box_px=BOX, radius_px=RADIUS, cutoff_per_px=0.3)
    sizes = [b.stop - b.start for b in basis.blocks]
    one = [torch.eye(k, dtype=torch.float64) for k in sizes]
    more = [torch.diag(1 + (basis.frequencies[b] < 0.15).double()) for b in basis.blocks]
    found = excess_power(basis, more, one, 100)
    np.testing.assert_allclose(found.value[found.upper_per_px < 0.151], 1.0)
    np.testing.assert_allclose(found.value[found.upper_per_px > 0.151], 0.0)


@pytest.fixture(scope="module")
def images():
    """600 noisy images, one of them unusable, with their CTF and origins."""
    ctf = defocus(600, 3)
    made, truth = simulate(600, 0.05, 4, shapes=SHAPES, ctf=ctf)
    made.images[7] = np.nan
    return made.images, ctf, truth.origin_px


@pytest.fixture(scope="module")
def particles(images, tmp_path_factory):
    return particle_file(tmp_path_factory.mktemp("p"), images[0], PIXEL_A, *images[1:])


def plan_of(particles, **changes):
    return steerable_plan(ImagePreparation.for_box(particles.box_px, PIXEL_A, 130.0), **changes)


def test_preparation_knows_noise_and_bad_images(particles, images, tmp_path):
    prepared = prepare_matched(particles, plan_of(particles), ctf=particles.ctf)
    assert np.flatnonzero(prepared.bad).tolist() == [7]
    assert not prepared.matched[7].any()
    assert float(prepared.moments.count.sum()) == 599
    sd = images[0][prepared.bad == 0].std()
    assert prepared.scale[prepared.bad == 0].mean() == pytest.approx(sd, rel=0.05)
    assert float(prepared.noise_power[5]) == pytest.approx(1.0, abs=0.04)
    np.testing.assert_allclose(prepared.background_power, 1.0, atol=0.2)
    assert 0.15 <= prepared.plan.basis.cutoff_per_px < 0.45
    mapped = prepare_matched(particles, plan_of(particles), ctf=particles.ctf, memory_bytes=1, store=tmp_path / "z")
    assert (tmp_path / "z").is_file()
    np.testing.assert_array_equal(np.array(mapped.matched), prepared.matched)


def test_coefficients_do_not_depend_on_ramp_or_scale_of_the_file(particles, images, tmp_path):
    raw, ctf, origin = images
    ramps = np.linspace(-20, 20, 600)[:, None, None] * np.linspace(-1, 1, raw.shape[1])
    other = particle_file(tmp_path, (3 * raw + 100 + ramps).astype(np.float32), PIXEL_A, ctf, origin)
    a, b = (prepare_matched(p, plan_of(p), ctf=p.ctf) for p in (particles, other))
    np.testing.assert_allclose(a.matched, b.matched, atol=0.002 * np.abs(a.matched).max())
    np.testing.assert_allclose(b.scale, 3 * a.scale, rtol=1e-3)


def test_a_reduced_box_and_what_is_too_small(particles):
    plan = plan_of(particles, resolution_limit_A=15.0)
    assert plan.box_px == 22
    assert prepare_matched(particles, plan, ctf=particles.ctf).plan.pixel_size_A == pytest.approx(160 / 22)
    with pytest.raises(ValueError, match="resolution_limit_A"):
        plan_of(particles, resolution_limit_A=60.0)


def test_no_usable_image_is_said(tmp_path):
    empty = particle_file(tmp_path, np.zeros((4, 32, 32), np.float32), PIXEL_A)
    with pytest.raises(ValueError, match="no usable image"):
        prepare_matched(empty, plan_of(empty), ctf=None)
