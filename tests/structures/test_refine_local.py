"""The objective of a pose, its derivatives, the ascent, and insertion over a posterior."""

import numpy as np
import pytest
import torch
from posed_scenes import DIAMETER_A, Scene, scene
from scipy.spatial.transform import Rotation

from vitreous.matching import ImagePreparation, PreparedParticles, prepare_particles
from vitreous.structures._kernels.local import evaluate
from vitreous.structures.refine.images import PointImages, point_images
from vitreous.structures.refine.insertion import covariance, insert, posterior_points
from vitreous.structures.refine.local import refine_locally
from vitreous.structures.refine.search import direction_matrices
from vitreous.structures.refine.spectra import half_fsc, resolved_rings
from vitreous.volumes import RingPoints, masked, prepared, resample, zero_volume_sums

RINGS = 10


@pytest.fixture(scope="module")
def clean() -> Scene:
    return scene(60, snr=1e6)


def prepare(made: Scene) -> tuple[PreparedParticles, RingPoints]:
    particles = made.particles
    preparation = ImagePreparation.for_box(particles.box_px, particles.pixel_size_A, DIAMETER_A, normalise=False)
    data = prepare_particles(particles.read, len(particles), preparation, rings=RINGS, ctf=particles.ctf)
    return data, RingPoints(basis=data.basis)


def volume_of(made: Scene, data: PreparedParticles, points: RingPoints) -> torch.Tensor:
    """The true map, prepared, in the units of the images (sums over pixels)."""
    window_A = data.basis.window_px * data.pixel_size_A
    pixel_A = window_A / points.side
    grid = resample(made.map, points.side, pixel_A)
    return prepared(masked(torch.from_numpy(grid.data), points.basis) * (pixel_A / made.map.pixel_size_A) ** 3)


@pytest.fixture(scope="module")
def images(clean) -> tuple[torch.Tensor, PointImages]:
    data, points = prepare(clean)
    noise = torch.full_like(data.group_power, 0.02 * float(data.group_power.mean()))
    return volume_of(clean, data, points), point_images(data, np.arange(60), points, noise)


def value_at(volume, images, i, rotation, origin, inverse_variance=0.0):
    """(f, gradient, matrix) in double precision."""
    gradient, matrix = np.empty(5), np.empty((5, 5))
    f = evaluate(
        torch.view_as_real(volume).numpy().astype(np.float64),
        images.points.plane.numpy().astype(np.float64),
        torch.view_as_real(images.x[i].contiguous()).numpy().astype(np.float64),
        images.c[i].numpy().astype(np.float64),
        rotation,
        origin,
        images.phase,
        inverse_variance,
        gradient,
        matrix,
    )
    return f, gradient, matrix


def moved(rotation, origin, step):
    return rotation @ Rotation.from_rotvec(step[:3]).as_matrix(), origin + step[3:]


def test_the_objective_is_the_log_likelihood_of_slices(clean, images):
    """Against whole tensors: sum |x|^2 - |x - c V exp(i k o)|^2, with the prior on the origin."""
    volume, tile = images
    rotation, origin = clean.truth.rotation[:5], clean.truth.origin_A[:5]
    slices, centred = tile.take(np.arange(5)).slices(volume, rotation), tile.take(np.arange(5)).centred(origin)
    expected = (centred.abs().square() - (centred - slices).abs().square()).sum(1).double().numpy()
    expected -= 0.5 * (origin**2).sum(1) / 3.0**2
    found = [value_at(volume, tile, i, rotation[i], origin[i], 3.0**-2)[0] for i in range(5)]
    assert np.allclose(found, expected, rtol=1e-4)


def test_the_gradient_is_that_of_the_objective(clean, images):
    """By central differences; trilinear volumes have kinks, so the steps are short and many particles are averaged."""
    volume, tile = images
    rng = np.random.default_rng(0)
    step, errors, sizes = np.array([5e-6] * 3 + [1e-3] * 2), [], []
    for i in range(20):
        start = moved(clean.truth.rotation[i], clean.truth.origin_A[i], rng.normal(0, [0.05] * 3 + [1.0] * 2))
        _, gradient, _ = value_at(volume, tile, i, *start, 0.04)
        numeric = np.empty(5)
        for a in range(5):
            d = np.zeros(5)
            d[a] = step[a]
            high, low = (value_at(volume, tile, i, *moved(*start, sign * d), 0.04)[0] for sign in (1, -1))
            numeric[a] = (high - low) / (2 * step[a])
        errors.append(gradient - numeric)
        sizes.append(gradient)
    relative = np.sqrt(np.mean(np.square(errors), 0) / np.mean(np.square(sizes), 0))
    assert relative.max() < 3e-3


def test_the_matrix_is_the_curvature_where_the_model_fits(clean, images):
    """Of clean images at their poses the residual vanishes, so that Gauss-Newton is the Hessian of a quadratic form.

    The gradient at a small step away is ``- H step``: the mean over particles and steps is compared, entry by entry.
    """
    volume, tile = images
    scale = np.array([0.01] * 3 + [0.3] * 2)
    predicted, found = np.zeros((5, 5)), np.zeros((5, 5))
    for i in range(40):
        rotation, origin = clean.truth.rotation[i], clean.truth.origin_A[i]
        _, _, matrix = value_at(volume, tile, i, rotation, origin)
        predicted += matrix * scale[:, None] * scale
        for a in range(5):
            d = np.zeros(5)
            d[a] = scale[a]
            high, low = (value_at(volume, tile, i, *moved(rotation, origin, sign * d))[1] for sign in (1, -1))
            found[:, a] -= (high - low) / 2 * scale
    assert np.abs(found - predicted).max() < 0.08 * np.diag(predicted).max()
    assert np.allclose(predicted, predicted.T)
    assert np.linalg.eigvalsh(predicted).min() > 0


def test_clean_particles_climb_back_to_their_poses(clean, images):
    volume, tile = images
    start = clean.start(6.0, 2.0)
    found = refine_locally(volume, tile, start.rotation, start.origin_A, steps=12, tolerance_nats=1e-4)
    error = np.rad2deg(Rotation.from_matrix(np.swapaxes(found.rotation, 1, 2) @ clean.truth.rotation).magnitude())
    assert np.median(error) < 0.4
    assert np.median(np.linalg.norm(found.origin_A - clean.truth.origin_A, axis=1)) < 0.2
    assert np.allclose(found.rotation @ np.swapaxes(found.rotation, 1, 2), np.eye(3), atol=1e-6)
    before = [value_at(volume, tile, i, start.rotation[i], start.origin_A[i])[0] for i in range(60)]
    assert (found.gain >= np.array(before) - 1e-2).all()  # it never goes down


def test_a_turn_of_volume_and_pose_together_changes_nothing(clean, images):
    """V(S r) with poses S^-1 G: the objective is that of before, but for interpolation."""
    _, tile = images
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    data, points = prepare(clean)
    grid = resample(clean.map, points.side + 1, data.basis.window_px * data.pixel_size_A / points.side)
    turned = np.ascontiguousarray(np.rot90(grid.data, 1, axes=(1, 2)))  # exact on odd grids
    scale = (data.basis.window_px * data.pixel_size_A / points.side / clean.map.pixel_size_A) ** 3

    def even(values: np.ndarray) -> torch.Tensor:
        return prepared(masked(torch.from_numpy(values[:-1, :-1, :-1].copy()), points.basis) * scale)

    rotation, origin = clean.truth.rotation[0], clean.truth.origin_A[0]
    plain = value_at(even(grid.data), tile, 0, rotation, origin)[0]
    candidates = [value_at(even(turned), tile, 0, q @ rotation, origin)[0] for q in (quarter, quarter.T)]
    assert max(candidates) == pytest.approx(plain, rel=0.01)
    assert min(candidates) < 0.9 * plain


def test_posterior_points_have_mean_and_covariance(clean):
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 5, 5)) * np.array([50.0] * 3 + [1.0] * 2)
    information = root @ np.swapaxes(root, 1, 2) + np.diag([2e4] * 3 + [2.0] * 2)
    rotation, origin = clean.truth.rotation[:4], clean.truth.origin_A[:4]
    turns, origins = posterior_points(np.arange(4), rotation, origin, information)
    w = Rotation.from_matrix((np.swapaxes(rotation, 1, 2)[:, None] @ turns).reshape(-1, 3, 3)).as_rotvec()
    offsets = np.concatenate([w.reshape(4, 8, 3), origins - origin[:, None]], 2)
    assert np.abs(offsets.mean(1)).max() < 1e-9
    found = np.einsum("nja,njb->nab", offsets, offsets) / 8
    assert np.allclose(found, covariance(information), rtol=1e-6, atol=1e-12)


def test_insertion_at_several_poses_is_the_mean_of_insertions(clean, images):
    volume, tile = images
    poses = clean.start(5.0, 2.0)
    rotation = np.stack([clean.truth.rotation, poses.rotation], 1)
    origin = np.stack([clean.truth.origin_A, poses.origin_A], 1)
    both, one = zero_volume_sums(RINGS), zero_volume_sums(RINGS)
    insert(both, tile, rotation, origin)
    for j in range(2):
        insert(one, tile, rotation[:, j : j + 1], origin[:, j : j + 1], np.full(60, 0.5))
    assert torch.allclose(both.numerator, one.numerator, atol=1e-4 * float(one.numerator.abs().max()))
    assert torch.allclose(both.denominator, one.denominator, rtol=1e-4, atol=1e-6)
    assert torch.equal(both.denominator > 0, one.denominator > 0)
    # The adjoint of slices: <V, insert(x)> = sum_p Re conj(c V(G k) exp(i k o)) x.
    alone = zero_volume_sums(RINGS)
    insert(alone, tile, rotation[:, :1], origin[:, :1])
    left = float((volume.conj() * alone.numerator).real.double().sum())
    right = float((tile.slices(volume, rotation[:, 0]).conj() * tile.centred(origin[:, 0])).real.double().sum())
    assert left == pytest.approx(right, rel=1e-3)


def test_halves_of_noise_do_not_agree_where_a_filter_would_make_them():
    """Strong common rings inside, independent noise outside: the FSC outside stays at nothing."""
    made = scene(300, snr=0.3, seed=2)
    data, points = prepare(made)
    sums = []
    for half in (0, 1):
        index = np.arange(half, 300, 2)
        part = zero_volume_sums(RINGS)
        tile = point_images(data, index, points, data.group_power)
        insert(part, tile, made.truth.rotation[index][:, None], made.truth.origin_A[index][:, None])
        noise = torch.randn(part.numerator.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(half))
        h = part.denominator.shape[-1] - 2
        axis = torch.arange(-h - 1, h + 2).float().square()
        radius = (axis[:, None, None] + axis[:, None] + torch.arange(h + 2).float().square()).sqrt()
        outer = radius > 2 * 7
        part.numerator[outer] = noise[outer] * part.denominator[outer].clamp_min(0).sqrt()
        sums.append(part)
    fsc = half_fsc(*sums, points.basis)
    assert fsc[:4].min() > 0.9
    assert fsc[8:].abs().max() < 0.15
    assert 5 <= resolved_rings(fsc) <= 8


def test_directions_cover_the_sphere_evenly():
    matrices, step = direction_matrices(6, 0.44, seed=0, turn=1)
    assert np.allclose(matrices @ np.swapaxes(matrices, 1, 2), np.eye(3), atol=1e-9)
    assert np.allclose(np.linalg.det(matrices), 1)
    z = matrices[:, :, 2]
    nearest = np.sort(np.arccos(np.clip(z @ z.T, -1, 1)), axis=1)[:, 1]
    assert 0.7 * step < np.median(nearest) < 1.3 * step
    other, _ = direction_matrices(6, 0.44, seed=0, turn=2)
    assert np.abs(z - other[:, :, 2]).max() > 0.1  # turned at random in every pass
