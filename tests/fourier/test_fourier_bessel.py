"""The Fourier-Bessel basis against its definition, pixel by pixel and by quadrature."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import jn_zeros, jv

from vitreous.fourier import FourierBessel, mirror_coefficients, radial_blocks, rotate_coefficients
from vitreous.testing import Blobs, check_adjoint, check_linear, pixel_xy

BASES = [
    FourierBessel(box_px=24),
    FourierBessel(box_px=25),
    FourierBessel(box_px=25, radius_px=13.0, cutoff_per_px=0.4),
    FourierBessel(box_px=32, radius_px=9.3, cutoff_per_px=0.45, lowest_per_px=0.1),
]


def ids(basis: FourierBessel) -> str:
    return f"box{basis.box_px}-radius{basis.radius_px:g}"


def functions_by_definition(basis: FourierBessel) -> np.ndarray:
    """psi_m at every pixel: complex128 (M, L^2)."""
    x, y = pixel_xy(basis.box_px).T
    r, phi = np.hypot(x, y), np.arctan2(y, x)
    rows = []
    for q, block in enumerate(basis.blocks):
        zeros = jn_zeros(q, 60)
        frequency = zeros / (2 * np.pi * basis.radius_px)
        zeros = zeros[(frequency >= basis.lowest_per_px) & (frequency < basis.cutoff_per_px)]
        assert len(zeros) == block.stop - block.start
        for zero in zeros:
            norm = 1 / (np.sqrt(np.pi) * basis.radius_px * abs(jv(q + 1, zero)))
            rows.append(norm * jv(q, zero * r / basis.radius_px) * np.exp(1j * q * phi) * (r < basis.radius_px))
    return np.stack(rows)


def random_coefficients(basis: FourierBessel, n: int = 3, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    a = torch.randn(n, basis.size, generator=rng, dtype=torch.complex128)
    return torch.where(basis.orders == 0, a.real.to(a.dtype), a)


def random_images(basis: FourierBessel, n: int = 3, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, basis.box_px, basis.box_px, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("basis", BASES, ids=ids)
def test_products_are_those_of_the_definition(basis):
    psi = functions_by_definition(basis)
    a, x = random_coefficients(basis), random_images(basis)
    images = np.real(a.numpy() * basis.multiplicity.numpy() @ psi).reshape(x.shape)
    np.testing.assert_allclose(basis.evaluate(a).numpy(), images, atol=1e-11)
    np.testing.assert_allclose(basis.project(x).numpy(), x.numpy().reshape(len(x), -1) @ psi.conj().T, atol=1e-11)


@pytest.mark.parametrize("basis", BASES, ids=ids)
def test_single_precision_agrees_with_double(basis):
    a, x = random_coefficients(basis, 700), random_images(basis, 700)  # more than one chunk
    single, double = basis.evaluate(a.to(torch.complex64)), basis.evaluate(a)
    assert single.dtype == torch.float32
    assert (single - double).abs().max() < 1e-5 * double.abs().max()
    single, double = basis.project(x.float()), basis.project(x)
    assert single.dtype == torch.complex64
    assert (single - double).abs().max() < 1e-5 * double.abs().max()


@pytest.mark.parametrize("basis", BASES, ids=ids)
def test_evaluate_and_project_are_linear_and_adjoint(basis):
    m, box = basis.size, basis.box_px
    # The weighted inner product of coefficients is the plain one after scaling by the root of the multiplicity.
    root = basis.multiplicity.double().sqrt()

    def evaluate(parts: torch.Tensor) -> torch.Tensor:
        a = torch.complex(parts[..., 0] / root, parts[..., 1] / root)
        return basis.evaluate(torch.where(basis.orders == 0, a.real.to(a.dtype), a))

    def project(images: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real(basis.project(images) * root)

    check_linear(evaluate, (2, m, 2))
    check_linear(project, (2, box, box))
    check_adjoint(evaluate, project, (2, m, 2), (2, box, box))


@pytest.mark.parametrize("basis", BASES, ids=ids)
def test_layout_of_the_orders(basis):
    assert basis.orders.diff().min() == 0
    assert [len(basis.orders[b]) for b in basis.blocks] == torch.bincount(basis.orders).tolist()
    for q, block in enumerate(basis.blocks):
        assert (basis.orders[block] == q).all()
        assert (basis.frequencies[block].diff() > 0).all()
    assert basis.frequencies.max() < basis.cutoff_per_px
    assert basis.frequencies.min() >= basis.lowest_per_px


def test_zeros_of_high_orders_are_all_there():
    basis = FourierBessel(box_px=128)
    for q in (0, 1, 60, 120, 185):
        expected = jn_zeros(q, 80)
        expected = expected[expected < np.pi * 64]
        found = basis.frequencies[basis.blocks[q]].numpy() * 2 * np.pi * 64
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(basis.blocks) == 1 + max(q for q in range(180, 202) if jn_zeros(q, 1)[0] < np.pi * 64)


@pytest.mark.parametrize("basis", BASES, ids=ids)
def test_white_noise_has_its_variance_in_every_coefficient(basis):
    # E|a|^2 = s^2 |psi|^2 on the lattice: near one, and split evenly for q > 0.
    psi = functions_by_definition(basis)
    assert abs((np.abs(psi) ** 2).sum(1).mean() - 1) < 0.01
    a = basis.project(1.7 * random_images(basis, 4000))
    middle = (basis.frequencies > 0.15) & (basis.frequencies < 0.3)
    power = torch.view_as_real(a).square().mean(0) / 1.7**2
    assert (power[basis.orders == 0, 1] == 0).all()
    zero, rest = (basis.orders == 0) & middle, (basis.orders > 0) & middle
    assert power[zero, 0].mean() == pytest.approx(1, abs=0.1)
    assert power[rest, 0].mean() == pytest.approx(0.5, abs=0.02)
    assert power[rest, 1].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("basis", BASES, ids=ids)
def test_expansion_finds_the_coefficients_of_an_image_of_the_basis(basis):
    a = random_coefficients(basis)
    found = basis.expand(basis.evaluate(a))
    assert (found - a).abs().max() < 1e-7
    single = basis.expand(basis.evaluate(a).float())
    assert (single - a).abs().max() < 1e-3


def test_expansion_is_least_squares():
    basis = BASES[1]
    images = random_images(basis)
    residual = images - basis.evaluate(basis.expand(images))
    assert basis.project(residual).abs().max() < 1e-8
    with pytest.raises(RuntimeError, match="NaN"):
        basis.expand(images * float("nan"))


@settings(max_examples=20, deadline=None)
@given(psi=st.sampled_from([90.0, 180.0, 270.0, -90.0]), seed=st.integers(0, 1000))
def test_quarter_turns_of_an_odd_box_are_exact(psi, seed):
    basis = BASES[1]
    images = random_images(basis, 1, seed)
    turned = rotate_coefficients(basis.project(images), basis.orders, psi)
    # X(r, theta) = A(r, theta + 90): X at +x is A at +y, which is what rot90 from y to x does.
    expected = basis.project(torch.rot90(images, round(psi / 90), dims=(1, 2)))
    assert (turned - expected).abs().max() < 1e-11


@pytest.mark.parametrize("box", [32, 33])
def test_any_rotation_is_a_phase(box):
    basis, shape = FourierBessel(box_px=box), Blobs.random(1, reach_px=8, width_px=1.6)
    a, x = (basis.project(torch.from_numpy(shape.image(box, psi))[None]) for psi in (0.0, 37.0))
    assert (rotate_coefficients(a, basis.orders, 37.0) - x).abs().max() < 2e-3 * a.abs().max()
    assert (a - x).abs().max() > 0.1 * a.abs().max()
    several = rotate_coefficients(a.expand(2, -1), basis.orders, torch.tensor([0.0, 37.0]))
    assert torch.allclose(several[0], a[0])
    assert (several[1] - x[0]).abs().max() < 2e-3 * a.abs().max()


@pytest.mark.parametrize("basis", BASES[:2], ids=ids)
def test_mirror_is_conjugation(basis):
    images = random_images(basis)
    mirrored = images.flip(1) if basis.box_px % 2 else images.flip(1).roll(1, 1)
    assert (basis.project(mirrored) - mirror_coefficients(basis.project(images))).abs().max() < 1e-11


def blocks_by_quadrature(basis: FourierBessel, curve) -> list[np.ndarray]:
    """Hankel transforms by sums over a fine radial grid, their products by sums over frequency far beyond Nyquist."""
    r = (np.arange(800) + 0.5) * basis.radius_px / 800
    xi = (np.arange(1200) + 0.5) * 4.0 / 1200
    rim = xi**9 * (xi < 0.5)
    filtered = np.where(xi < 0.5, curve(xi), (curve(xi) * rim).sum() / rim.sum())
    blocks = []
    for q, block in enumerate(basis.blocks[:4]):
        zeros = basis.frequencies[block].numpy() * 2 * np.pi * basis.radius_px
        radial = jv(q, np.outer(zeros, r) / basis.radius_px)
        radial /= np.sqrt(np.pi) * basis.radius_px * np.abs(jv(q + 1, zeros))[:, None]
        hankel = 2 * np.pi * (radial * r) @ jv(q, 2 * np.pi * np.outer(r, xi)) * (r[1] - r[0])
        blocks.append((hankel * filtered * 2 * np.pi * xi) @ hankel.T * (xi[1] - xi[0]))
    return blocks


def test_radial_blocks_are_the_integral():
    basis = FourierBessel(box_px=16)

    def curve(k):
        return np.sin(0.1 + 30 * k**2)

    found = radial_blocks(basis, torch.from_numpy(curve(basis.radial_nodes.numpy()))[None])
    for block, expected in zip(found, blocks_by_quadrature(basis, curve), strict=False):
        assert np.abs(block[0].numpy() - expected).max() < 2e-3  # what the quadrature leaves beyond 4 cycles per pixel


def test_a_filter_of_one_is_the_identity_and_blocks_are_symmetric():
    basis = FourierBessel(box_px=33)
    k = basis.radial_nodes
    blocks = radial_blocks(basis, torch.stack([torch.ones_like(k), torch.cos(20 * k)]))
    assert len(blocks) == len(basis.blocks)
    for block, where in zip(blocks, basis.blocks, strict=True):
        size = where.stop - where.start
        assert torch.allclose(block[0], torch.eye(size, dtype=torch.float64), atol=1e-13)
        assert torch.equal(block[1], block[1].T)
        assert torch.linalg.eigvalsh(block[1]).abs().max() <= 1 + 1e-6  # as |C| <= 1


def test_radial_functions_at_their_own_frequency_are_finite():
    # A node on lambda / (2 pi R) is 0 / 0 in the closed form.
    from vitreous.fourier.fourier_bessel import _hankel

    zeros = jn_zeros(3, 9)
    around = np.concatenate([zeros + d for d in (-1e-3, -9e-5, -1e-9, 0.0, 1e-9, 9e-5, 1e-3)])
    values = _hankel(3, zeros, around, 10.0).reshape(9, 7, 9)
    for k in range(9):
        peak = np.sqrt(np.pi) * 10 * abs(jv(4, zeros[k]))
        np.testing.assert_allclose(values[k, :, k], peak, rtol=2e-3)
        np.testing.assert_allclose(np.diff(values[k, [1, 2, 3, 4, 5], k]), 0, atol=1e-3 * peak)


@pytest.mark.parametrize("q", [0, 1, 4, 11])
def test_blocks_agree_with_filtering_images_on_a_padded_grid(q):
    basis, padded = FourierBessel(box_px=33), 129
    block = basis.blocks[q]
    low = torch.nonzero(basis.frequencies[block] < 0.4)[:, 0]
    unit = torch.eye(basis.size, dtype=torch.complex128)[block][low]
    first = padded // 2 - 16
    images = torch.zeros(len(unit), padded, padded, dtype=torch.float64)
    images[:, first : first + 33, first : first + 33] = basis.evaluate(unit)
    k = torch.fft.fftfreq(padded, dtype=torch.float64)
    curve = torch.sin(0.1 + 40 * (k[:, None] ** 2 + k**2))
    filtered = torch.fft.ifft2(torch.fft.fft2(images) * curve).real[:, first : first + 33, first : first + 33]
    expected = basis.project(filtered)[:, block][:, low]
    found = radial_blocks(basis, torch.sin(0.1 + 40 * basis.radial_nodes**2)[None])[q][0][low][:, low]
    # The functions are not band-limited: near Nyquist the pixels alias them.
    assert (expected - found).abs().max() < 0.02 * found.abs().max()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="at most 16 px, found 17"):
        FourierBessel(box_px=32, radius_px=17)
    with pytest.raises(ValueError, match="cutoff"):
        FourierBessel(box_px=32, cutoff_per_px=0.6)
    with pytest.raises(ValueError, match="no function"):
        FourierBessel(box_px=32, radius_px=4, cutoff_per_px=0.05)
    with pytest.raises(ValueError, match="GiB of matrices"):
        FourierBessel(box_px=276)
    with pytest.raises(ValueError, match=r"expected \(n, 24, 24\)"):
        BASES[0].project(torch.zeros(2, 25, 25))
    with pytest.raises(ValueError, match="coefficients"):
        BASES[0].evaluate(torch.zeros(2, 5, dtype=torch.complex64))
    with pytest.raises(ValueError, match="values"):
        radial_blocks(BASES[0], torch.zeros(2, 5))
