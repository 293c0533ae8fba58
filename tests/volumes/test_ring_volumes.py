"""Slices of volumes at ring points, their adjoint, and the map that sums of particles imply."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from vitreous.fourier import central_slices, centred_irfft2, insert_points, prepare_volume, slice_points
from vitreous.fourier import interpolation as interpolation_module
from vitreous.fourier._kernels.planes import trilinear
from vitreous.matching import RingBasis, total
from vitreous.rotations import random_rotations, symmetry_matrices
from vitreous.volumes import (
    RingPoints,
    copies_agreement,
    cross_power,
    density,
    insert_harmonics,
    masked,
    prepared,
    ring_slices,
    sphere,
    symmetrised,
    turned,
    zero_volume_sums,
)

BASIS = RingBasis(box_px=32, radius_px=13.0, rings=12, edge_px=2.0)
POINTS = RingPoints(basis=BASIS)


def blobs(n: int, seed: int = 0, field: float = 1.0) -> torch.Tensor:
    """A smooth map of a few Gaussians within the sphere; the field is so many windows wide."""
    rng = np.random.default_rng(seed)
    axis = (np.arange(n) - n // 2) / n * field
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    out = np.zeros((n, n, n))
    for centre in rng.normal(0, 0.1, (8, 3)).clip(-0.25, 0.25):
        out += np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) / (2 * 0.035**2))
    return torch.from_numpy(out).float()


def test_points_carry_all_of_the_harmonics():
    generator = torch.Generator().manual_seed(0)
    g = torch.randn(3, BASIS.rings, BASIS.harmonics, dtype=torch.complex64, generator=generator) * BASIS.used
    g[..., 0] = g[..., 0].real.to(g.dtype)  # G is real
    assert torch.allclose(POINTS.to_harmonics(POINTS.to_points(g)), g, atol=1e-5)


def test_sums_over_points_are_those_over_harmonics():
    """sum_p weight 2 |X|^2 is sum_r ring_weight mean |G|^2 (Parseval), also for products with C^2."""
    g = BASIS.unpack(BASIS.expand(torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(1))))
    by_harmonics = ((g.abs() ** 2 * BASIS.multiplicity).sum(-1) * BASIS.ring_weight).sum(-1)
    by_points = (2 * POINTS.weight * POINTS.to_points(g).abs() ** 2).sum(-1)
    assert torch.allclose(by_points, by_harmonics, rtol=1e-5)


def test_ring_slices_are_the_rings_of_projections():
    """Rings of a projection made on the pixel grid agree with the slice taken straight from the volume."""
    n = 32
    map_px = blobs(n, field=n / BASIS.window_px)  # the box in pixels of the images
    matrices = random_rotations(5, seed=2).float()
    images = centred_irfft2(central_slices(prepare_volume(map_px), matrices, n), n)
    rings = POINTS.to_points(BASIS.unpack(BASIS.expand(images)))
    side = POINTS.side
    scale = (BASIS.window_px / side) ** 3  # voxels of the window are larger than pixels: sums become integrals
    here = slice_points(prepared(blobs(side) * scale), matrices, POINTS.plane)
    error = (here - rings).abs().square().mean().sqrt() / rings.abs().square().mean().sqrt()
    assert error < 0.02


def test_insertion_is_the_adjoint_of_slicing():
    generator = torch.Generator().manual_seed(3)
    sums = zero_volume_sums(BASIS.rings)
    volume = torch.randn(sums.numerator.shape, dtype=torch.complex64, generator=generator)
    matrices = random_rotations(4, seed=4)
    y = torch.randn(4, len(POINTS.ring), dtype=torch.complex64, generator=generator)
    w = torch.rand(y.shape, generator=generator)
    insert_points(sums.numerator, sums.denominator, y, w, matrices, POINTS.plane)
    there = slice_points(volume, matrices, POINTS.plane)
    left = (there.conj() * y).real.double().sum()
    right = (volume.conj() * sums.numerator).real.double().sum()
    assert left.item() == pytest.approx(right.item(), rel=1e-4)
    assert sums.denominator.double().sum().item() == pytest.approx(w.double().sum().item(), rel=1e-5)


def test_the_ways_of_interpolating_agree():
    generator = torch.Generator().manual_seed(5)
    volume = torch.randn(zero_volume_sums(6).numerator.shape, dtype=torch.complex64, generator=generator)
    points = RingPoints(basis=BASIS.truncated(6))
    matrices = random_rotations(7, seed=6).float()
    compiled = slice_points(volume, matrices, points.plane)
    assert torch.allclose(compiled, interpolation_module._slice_elsewhere(volume, matrices, points.plane), atol=1e-4)
    y, w = compiled * 2, compiled.abs()
    a, b = zero_volume_sums(6), zero_volume_sums(6)
    insert_points(a.numerator, a.denominator, y, w, matrices, points.plane)
    interpolation_module._insert_elsewhere(b.numerator, b.denominator, y, w, matrices, points.plane)
    assert torch.allclose(a.numerator, b.numerator, atol=1e-4)
    assert torch.allclose(a.denominator, b.denominator, atol=1e-4)


def test_derivatives_of_the_interpolation():
    """Against differences within one cell, on both sides of the plane where points are mirrored."""
    generator = torch.Generator().manual_seed(7)
    volume = (
        torch.view_as_real(torch.randn(zero_volume_sums(6).numerator.shape, dtype=torch.complex64, generator=generator))
        .double()
        .numpy()
    )
    at, step = np.zeros((4, 2)), 1e-4
    for point in ([2.3, -4.6, 1.4], [-2.3, 4.6, -1.4], [0.2, -0.3, 3.7]):
        trilinear(volume, *point, at)
        slopes = at[1:].copy()
        for axis in range(3):
            moved = np.array([point, point])
            moved[:, axis] += [-step, step]
            values = []
            for x, y, z in moved:
                trilinear(volume, x, y, z, at)
                values.append(at[0].copy())
            assert slopes[axis] == pytest.approx((values[1] - values[0]) / (2 * step), abs=1e-6)


def posed_sums(count: int, seed: int, noise: float = 0.0):
    """Sums of slices of a map at random poses, and the map in its mask."""
    truth = masked(blobs(POINTS.side), BASIS)
    matrices = random_rotations(count, seed=seed)
    signal = ring_slices(prepared(truth), matrices, POINTS)
    if noise:
        generator = torch.Generator().manual_seed(seed)
        white = torch.randn(count, 32, 32, generator=generator)
        signal = signal + noise * BASIS.unpack(BASIS.expand(white))
    sums = zero_volume_sums(BASIS.rings)
    variance = noise**2 * BASIS.mask_power if noise else 1.0
    insert_harmonics(sums, signal / variance, torch.full((count, BASIS.rings), 1 / variance), matrices, POINTS)
    return sums, truth


def test_clean_slices_become_their_map_again():
    sums, truth = posed_sums(400, seed=8)
    found = density(sums, BASIS, torch.full((BASIS.rings,), 1e9))
    assert torch.corrcoef(torch.stack([found.ravel(), truth.ravel()]))[0, 1] > 0.998
    assert (found * truth).sum() / truth.square().sum() == pytest.approx(1.0, abs=0.03)


def test_cross_power_is_the_power_of_slices():
    """Of noisy halves: what slices of the true map have, not more (noise has five times the power)."""
    sums, truth = posed_sums(300, seed=9, noise=0.4)
    others, _ = posed_sums(300, seed=10, noise=0.4)
    slices = POINTS.to_points(ring_slices(prepared(truth), random_rotations(200, seed=11), POINTS)).abs().square()
    expected = torch.stack([slices[:, place].mean() for place in POINTS.slices])
    found = cross_power(sums, others, BASIS.rings)
    assert torch.allclose(found[:8], expected[:8], rtol=0.25)
    assert found[10:].abs().max() < 0.02 * expected[0]


def test_the_prior_weighs_as_much_as_its_power_says():
    """For every ring, the Wiener factor that the solved map shows is tau^2 / (tau^2 + noise of the sums) of slices."""
    sums, _ = posed_sums(300, seed=12)
    free = density(sums, BASIS, torch.full((BASIS.rings,), 1e9))
    tau2 = torch.full((BASIS.rings,), 3.0)
    held = density(sums, BASIS, tau2)
    # A map that is masked has `mask power` degrees of freedom; a ring of the volume has 4 pi r^2 of (window)^3 of them.
    ball = float(sphere(BASIS, POINTS.side).square().sum()) / POINTS.side**3
    r = torch.arange(1, BASIS.rings + 1)
    known = 300 * BASIS.ring_weight / (4 * torch.pi * r**2 * ball)
    expected = known / (known + 1 / tau2)
    a, b = (torch.fft.rfftn(v) for v in (held, free))
    shells = torch.fft.fftfreq(POINTS.side, 1 / POINTS.side)
    radius = (
        (shells[:, None, None] ** 2 + shells[:, None] ** 2 + torch.arange(POINTS.side // 2 + 1) ** 2).sqrt().round()
    )
    found = torch.stack([(a * b.conj()).real[radius == k].sum() / b.abs().square()[radius == k].sum() for k in r])
    assert torch.allclose(found[2:9], expected[2:9], rtol=0.08)


def test_symmetric_copies_are_those_of_the_particles():
    group = symmetry_matrices("D2").float()
    truth = masked(blobs(POINTS.side), BASIS)
    matrices = random_rotations(60, seed=13).float()
    signal = ring_slices(prepared(truth), matrices, POINTS)
    power = torch.ones(len(matrices), BASIS.rings)
    one, copies = zero_volume_sums(BASIS.rings), zero_volume_sums(BASIS.rings)
    insert_harmonics(one, signal, power, matrices, POINTS)
    for element in group:
        insert_harmonics(copies, signal / 4, power / 4, element @ matrices, POINTS)
    tau2 = torch.full((BASIS.rings,), 10.0)
    a, b = density(symmetrised(one, group), BASIS, tau2), density(copies, BASIS, tau2)
    assert (a - b).norm() / b.norm() < 0.06  # one interpolation more
    c = total([one, copies])
    assert torch.equal(c.denominator, one.denominator + copies.denominator)


def test_turned_sums_are_those_of_the_turned_volume():
    """V(M^T r + c): slices of it are slices of V at M^T G, moved by c along the image."""
    sums, volume = posed_sums(300, seed=4)
    rotation = random_rotations(1, seed=8)[0]
    centre = torch.tensor([0.03, -0.05, 0.02])  # of the window
    there = turned(sums, rotation, centre)
    tau2 = torch.full((BASIS.rings,), 1e6)
    n = len(volume)
    before, after = density(sums, BASIS, tau2).numpy(), density(there, BASIS, tau2).numpy()
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    inside = (x**2 + y**2 + z**2) < (0.25 * n) ** 2
    points = rotation.T.numpy() @ np.stack([x[inside], y[inside], z[inside]]) + n * centre.numpy()[:, None]
    expected = map_coordinates(before, points[::-1] + n // 2, order=3)
    assert np.corrcoef(expected, after[inside])[0, 1] > 0.99
    assert np.corrcoef(before[inside], after[inside])[0, 1] < 0.8


def test_copies_of_halves_agree_where_the_group_is_right():
    """Also where all views lie within one asymmetric unit; and not where the map has no group."""
    group = symmetry_matrices("D2").float()
    truth = masked(blobs(POINTS.side), BASIS)
    symmetric = masked(torch.from_numpy(_mean_of_copies(truth.numpy(), group.numpy())), BASIS)
    matrices = random_rotations(800, seed=21).float()
    in_unit = matrices[(matrices[:, :2, 2] > 0).all(1)]  # a quarter of the directions
    assert _agreement(symmetric, matrices[:300], group) > 0.8
    assert _agreement(symmetric, in_unit, group) > 0.8
    assert _agreement(truth, matrices[:300], group) < 0.4
    assert _agreement(truth, matrices[:300], group[:1]) == 1.0


def _agreement(volume: torch.Tensor, matrices: torch.Tensor, group: torch.Tensor) -> float:
    signal = ring_slices(prepared(volume), matrices, POINTS)
    noisy = signal + 0.2 * BASIS.unpack(BASIS.expand(torch.randn(len(matrices), 32, 32)))
    halves = []
    for half in (slice(0, None, 2), slice(1, None, 2)):
        sums = zero_volume_sums(BASIS.rings)
        power = torch.ones(len(matrices[half]), BASIS.rings)
        insert_harmonics(sums, noisy[half], power, matrices[half], POINTS)
        halves.append(sums)
    return copies_agreement(halves[0], halves[1], group, first=3)


def _mean_of_copies(volume: np.ndarray, group: np.ndarray) -> np.ndarray:
    n = len(volume)
    z, y, x = np.indices(volume.shape) - n // 2
    points = np.stack([x.ravel(), y.ravel(), z.ravel()])
    copies = [map_coordinates(volume, (element @ points)[::-1] + n // 2, order=3) for element in group]
    return (sum(copies) / len(group)).reshape(volume.shape).astype(np.float32)


def test_a_point_beyond_the_volume_is_refused():
    with pytest.raises(ValueError, match="beyond a volume"):
        slice_points(zero_volume_sums(5).numerator, torch.eye(3)[None], POINTS.plane)
