"""Ring harmonics against the Fourier transform evaluated by its definition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.matching import RingBasis, from_angles, to_angles
from vitreous.testing import Blobs, check_adjoint, check_linear, fourier_at, polar_points

BASES = [
    RingBasis(box_px=24, radius_px=10.0, rings=8),
    RingBasis(box_px=25, radius_px=10.5, rings=9),
    RingBasis(box_px=32, radius_px=9.0, rings=8),  # rings on a window smaller than the box
    RingBasis(box_px=33, radius_px=7.3, rings=6, edge_px=2.0),
]


def ids(basis: RingBasis) -> str:
    return f"box{basis.box_px}-window{basis.window_px:.0f}"


def harmonics_by_definition(images: np.ndarray, basis: RingBasis, n_angles: int = 256) -> np.ndarray:
    """(n, R, n_angles // 2) harmonics of Re X + Im X, by sums over points on the rings."""
    on_rings = fourier_at(images, polar_points(basis, n_angles).k).reshape(len(images), basis.rings, n_angles)
    theta = 2 * np.pi * np.arange(n_angles) / n_angles
    waves = np.exp(-1j * np.outer(theta, np.arange(n_angles // 2)))
    return (on_rings.real + on_rings.imag) @ waves / n_angles


def random_images(basis: RingBasis, n: int = 3, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, basis.box_px, basis.box_px, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("basis", BASES, ids=ids)
def test_expansion_is_the_fourier_transform_on_rings(basis):
    images = random_images(basis)
    expected = harmonics_by_definition(images.numpy() * basis.mask, basis)
    found = basis.unpack(basis.expand(images)).numpy()
    difference = np.abs(found - expected[:, :, : basis.harmonics])
    used = basis.used.numpy()
    scale = np.abs(expected).max()
    assert difference[:, used].max() < 1e-5 * scale  # the matrix is float32
    assert not found[:, ~used].any()


@pytest.mark.parametrize("basis", BASES, ids=ids)
def test_harmonics_that_are_left_out_hold_next_to_nothing(basis):
    expected = np.abs(harmonics_by_definition(random_images(basis, 10).numpy() * basis.mask, basis)) ** 2
    expected[:, :, 1:] *= 2
    left_out = expected.copy()
    left_out[:, :, : basis.harmonics][:, basis.used.numpy()] = 0
    assert left_out.sum() < 1e-3 * expected.sum()


@pytest.mark.parametrize("basis", BASES, ids=ids)
def test_rotation_of_the_image_multiplies_harmonics_by_a_phase(basis):
    shape = Blobs.random(1, reach_px=basis.radius_px - 5, width_px=1.4)
    psi = 37.0
    a, x = (basis.unpack(basis.expand(torch.from_numpy(shape.image(basis.box_px, p))[None]))[0] for p in (0.0, psi))
    turned = a * torch.exp(1j * np.deg2rad(psi) * torch.arange(basis.harmonics))
    assert (x - turned).abs().max() < 2e-3 * a.abs().max()
    assert (x - a).abs().max() > 0.05 * a.abs().max()


def test_an_origin_turns_into_a_phase_of_the_shift_in_the_class_frame():
    basis = RingBasis(box_px=32, radius_px=14.0, rings=10)
    shape, psi, o = Blobs.random(2, reach_px=5), 50.0, np.array([1.3, -0.8])
    a = to_angles(basis.unpack(basis.expand(torch.from_numpy(shape.image(32))[None])), 360)[0]
    x = to_angles(basis.unpack(basis.expand(torch.from_numpy(shape.image(32, psi, tuple(o)))[None])), 360)[0]
    c, s = np.cos(np.deg2rad(psi)), np.sin(np.deg2rad(psi))
    u = np.array([[c, -s], [s, c]]) @ o
    theta = np.deg2rad(np.arange(360)) + np.deg2rad(psi)
    along = np.cos(theta) * u[0] + np.sin(theta) * u[1]
    phase = np.exp(2j * np.pi * basis.k_per_px[:, None] * along)
    expected = np.roll(a.numpy(), -50, axis=1) * phase  # A at theta + psi
    assert np.abs(x.numpy() - expected).max() < 5e-3 * float(a.abs().max())


@given(
    harmonics=st.integers(1, 20), spare=st.integers(0, 5), parity=st.sampled_from([0, 1]), seed=st.integers(0, 10**6)
)
@settings(max_examples=40, deadline=None)
def test_to_angles_and_from_angles_are_inverse(harmonics, spare, parity, seed):
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(2, 3, harmonics, generator=rng, dtype=torch.complex128)
    values[..., 0] = values[..., 0].real.to(values.dtype)  # the mean of a real function
    n_angles = 2 * (harmonics + spare) + parity
    back = from_angles(to_angles(values, n_angles), harmonics)
    torch.testing.assert_close(back, values, atol=1e-12, rtol=0)


def test_to_angles_obeys_friedel_symmetry():
    values = torch.randn(2, 9, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    values[:, 0] = values[:, 0].real.to(values.dtype)
    x = to_angles(values, 24)
    torch.testing.assert_close(x.roll(12, -1), x.conj().resolve_conj())


@pytest.mark.parametrize("basis", BASES, ids=ids)
def test_packing_is_undone_by_unpacking(basis):
    rng = torch.Generator().manual_seed(3)
    harmonics = torch.randn(4, basis.rings, basis.harmonics, dtype=torch.complex64, generator=rng) * basis.used
    packed = basis.pack(harmonics)
    assert packed.shape == (4, basis.packed_size)
    assert torch.equal(basis.unpack(packed), harmonics)
    fewer = basis.unpack(packed, 3)
    assert torch.equal(fewer, harmonics[:, :3, : basis.truncated(3).harmonics])


def test_expansion_is_linear_and_synthesis_is_its_weighted_adjoint():
    basis = BASES[1]
    check_linear(basis.expand, (2, 25, 25), rtol=1e-6)
    area = 2 * np.pi * np.arange(1, basis.rings + 1) / basis.window_px**2
    weight = torch.from_numpy(area)[:, None] * basis.multiplicity

    def analyse(x: torch.Tensor) -> torch.Tensor:
        harmonics = basis.unpack(basis.expand(x.double()))
        return torch.view_as_real(harmonics * weight)

    def synthesise(y: torch.Tensor) -> torch.Tensor:
        harmonics = torch.view_as_complex(y.contiguous()) * basis.used
        return basis.synthesise(harmonics.to(torch.complex64)).double()

    check_adjoint(analyse, synthesise, (2, 25, 25), (2, basis.rings, basis.harmonics, 2), rtol=1e-6)


@pytest.mark.parametrize("basis", BASES[:3], ids=ids)
def test_synthesis_gives_back_a_band_limited_image(basis):
    """Only the mean, below the first ring, is missing: it is the same everywhere inside the mask to a few percent."""
    image = Blobs.random(4, reach_px=basis.radius_px - 6, width_px=2.0).image(basis.box_px)
    back = basis.synthesise(basis.unpack(basis.expand(torch.from_numpy(image).float()[None]))).numpy()[0]
    inside = basis.mask == 1
    a, b = image[inside] - image[inside].mean(), back[inside] - back[inside].mean()
    assert (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()) > 0.99
    assert (a * b).sum() / (a**2).sum() == pytest.approx(1, abs=0.05)


def test_ring_weights_count_the_degrees_of_freedom_of_a_masked_image():
    """Over all rings to Nyquist: pi / 4 of the sum of the squared mask (the corners and the mean have no ring)."""
    basis = RingBasis(box_px=64, radius_px=30.0, rings=31)
    assert float(basis.ring_weight.sum()) == pytest.approx(np.pi / 4 * basis.mask_power, rel=0.05)


def test_impossible_rings_and_boxes_are_refused():
    with pytest.raises(ValueError, match="rings: expected 1 to"):
        RingBasis(box_px=16, radius_px=7, rings=8)
    with pytest.raises(ValueError, match="images: expected"):
        BASES[0].expand(torch.zeros(1, 25, 25))
