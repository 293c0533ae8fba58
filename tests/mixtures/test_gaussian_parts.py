"""Gaussian noise: forward model, derivatives, leapfrog, conditionals, global search, preparation of images."""

from dataclasses import replace

import numpy as np
import pytest
from noisy import ONE, PRIOR, random_scene
from scipy import integrate, stats
from scipy.spatial.transform import Rotation

from vitreous.mixtures import mirror, project, rotate, symmetrise
from vitreous.mixtures.gaussian_noise.conditionals import (
    Overlaps,
    draw_noise_precisions,
    draw_scales_and_backgrounds,
    integrated_log_likelihood,
    overlaps,
)
from vitreous.mixtures.gaussian_noise.forward import apply_ctf, log_likelihood, projections
from vitreous.mixtures.gaussian_noise.global_poses import centred_images, move_poses_globally, pairwise_overlaps
from vitreous.mixtures.gaussian_noise.hmc import adapted, first_step_size, leapfrog, settled, step_of
from vitreous.mixtures.gaussian_noise.model import NoisyImages
from vitreous.mixtures.gaussian_noise.moves import (
    means_energy,
    means_trajectory,
    poses_energy,
    poses_trajectory,
    with_means,
    with_poses,
)
from vitreous.mixtures.gaussian_noise.prepare import centred, checked_noisy_averages, default_noise_prior, reduced
from vitreous.rotations import random_rotations

CASES = [("C1", False), ("C1", True), ("D2", False), ("D2", True)]


@pytest.mark.parametrize(("name", "with_ctf"), CASES)
def test_projections_are_those_of_the_mixture(name, with_ctf):
    sampler, model = random_scene(name, with_ctf=with_ctf)
    whole = symmetrise(model.posed.mixture, sampler.group)
    plain = project(whole, model.posed.rotations, 24, 5.0, offsets_A=model.posed.offsets_A)
    expected = apply_ctf(plain, sampler.data.ctf)
    for threads in (1, 2):
        ours = projections(sampler.data, model.posed, sampler.group, threads=threads)
        assert np.abs(ours - expected).max() < 1e-5 * plain.max()


@pytest.mark.parametrize(("name", "with_ctf"), CASES)
def test_derivatives_against_finite_differences(name, with_ctf):
    sampler, model = random_scene(name, with_ctf=with_ctf)
    rng = np.random.default_rng(1)
    _, slope = means_energy(sampler, model)
    means = model.posed.mixture.means_A
    for _ in range(3):
        way = rng.normal(size=means.shape)
        ends = [means_energy(sampler, with_means(model, means + h * way))[0] for h in (0.02, -0.02)]
        assert (ends[0] - ends[1]) / 0.04 == pytest.approx((slope * way).sum(), rel=2e-3, abs=0.02)
    _, slope = poses_energy(sampler, model)
    for axis in range(5):
        way = np.eye(5)[axis]

        def moved(h: float, way: np.ndarray = way) -> np.ndarray:
            turned = model.posed.rotations @ Rotation.from_rotvec(h * way[:3]).as_matrix()
            return poses_energy(sampler, with_poses(model, turned, model.posed.offsets_A + h * way[3:]))[0]

        assert np.allclose((moved(1e-3) - moved(-1e-3)) / 2e-3, slope[:, axis], rtol=3e-3, atol=0.05)


def test_energies_and_likelihood_agree():
    sampler, model = random_scene("C1", with_ctf=True)
    other = with_means(model, model.posed.mixture.means_A * 1.01)
    change = log_likelihood(sampler.data, other, ONE) - log_likelihood(sampler.data, model, ONE)
    r = PRIOR.mean_precision_per_A2
    prior = -0.5 * r * ((other.posed.mixture.means_A**2).sum() - (model.posed.mixture.means_A**2).sum())
    energies = means_energy(sampler, model)[0] - means_energy(sampler, other)[0]
    assert energies == pytest.approx(change.sum() + prior, rel=1e-4, abs=1e-3)
    by_image = poses_energy(sampler, model)[0] - poses_energy(sampler, other)[0]
    assert np.allclose(by_image, change, rtol=1e-4, atol=1e-3)


def test_trajectories_are_reversible():
    sampler, model = random_scene("D2")
    rng = np.random.default_rng(2)
    there = means_trajectory(sampler, model, rng.standard_normal((5, 3)), 0.05)
    back = means_trajectory(sampler, there.model, -there.momentum, 0.05)
    assert np.allclose(back.model.posed.mixture.means_A, model.posed.mixture.means_A, atol=1e-5)
    assert back.energy_lost == pytest.approx(-there.energy_lost, abs=1e-3)
    assert np.abs(there.model.posed.mixture.means_A - model.posed.mixture.means_A).max() > 0.1
    steps = np.array([0.02, 0.05, 0.1])
    there = poses_trajectory(sampler, model, rng.standard_normal((3, 5)), steps)
    back = poses_trajectory(sampler, there.model, -there.momentum, steps)
    assert np.allclose(back.model.posed.rotations, model.posed.rotations, atol=1e-5)
    assert np.allclose(back.model.posed.offsets_A, model.posed.offsets_A, atol=1e-4)
    assert np.abs(there.model.posed.rotations - model.posed.rotations).max() > 1e-3
    g = there.model.posed.rotations
    assert np.allclose(g @ g.swapaxes(1, 2), np.eye(3), atol=1e-12)


def test_energy_is_conserved_to_second_order():
    """Halving the step over the same time divides the error by four; in float64 on an exact problem."""
    position, momentum = np.array([0.7, -0.2]), np.array([0.4, 1.1])

    def energy(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (0.25 * q**4 + 0.5 * q**2).sum(), q**3 + q

    lost = [
        abs(leapfrog(position, momentum, energy=energy, move=np.add, step=0.8 / n, steps=n)[2]) for n in (10, 20, 40)
    ]
    assert lost[0] / lost[1] == pytest.approx(4.0, rel=0.05)
    assert lost[1] / lost[2] == pytest.approx(4.0, rel=0.05)
    sampler, model = random_scene("C1")
    start = np.random.default_rng(3).standard_normal((3, 5))
    coarse = poses_trajectory(sampler, model, start, np.full(3, 0.04)).energy_lost
    fine = poses_trajectory(sampler, model, start, np.full(3, 0.01)).energy_lost
    assert np.abs(fine).max() < 0.25 * np.abs(coarse).max()


def test_leapfrog_keeps_volume():
    """The Jacobian of the map of positions and momenta has determinant one."""

    def flow(z: np.ndarray) -> np.ndarray:
        q, p, _ = leapfrog(
            z[:2],
            z[2:],
            energy=lambda q: (
                (np.sin(q[0]) * q[1] ** 2),
                np.array([np.cos(q[0]) * q[1] ** 2, 2 * np.sin(q[0]) * q[1]]),
            ),
            move=np.add,
            step=0.3,
            steps=4,
        )
        return np.concatenate([q, p])

    z = np.array([0.3, 0.8, -0.5, 0.2])
    jacobian = np.stack([(flow(z + 1e-5 * e) - flow(z - 1e-5 * e)) / 2e-5 for e in np.eye(4)], axis=1)
    assert np.linalg.det(jacobian) == pytest.approx(1.0, abs=1e-7)


def test_dual_averaging_finds_the_step_and_then_rests():
    size = first_step_size(np.array([1e-3, 50.0]))
    rng = np.random.default_rng(4)
    for _ in range(2000):
        acceptance = np.clip(1.0 - 0.25 * step_of(size) + 0.1 * rng.standard_normal(2), 0.0, 1.0)
        size = adapted(size, acceptance, 0.75)
    assert np.allclose(step_of(settled(size)), 1.0, rtol=0.1)
    assert settled(size).count == 0


def one_image(seed: int = 5) -> tuple[Overlaps, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.random(9) * 1e-3
    y = 900.0 * p + 0.3 + 0.4 * rng.normal(size=9)
    return overlaps(y.reshape(1, 3, 3), p.reshape(1, 3, 3)), y, p


def joint(scale, background, beta, y, p, power):
    fit = sum(stats.norm.logpdf(yj, scale * pj + background, beta**-0.5) for yj, pj in zip(y, p, strict=True))
    prior = stats.halfnorm.pdf(scale, scale=PRIOR.scale_sd) * stats.norm.pdf(background, scale=PRIOR.background_sd)
    return np.exp(power * fit) * prior


@pytest.mark.parametrize(("power", "sign"), [(1.0, 1.0), (0.2, 1.0), (1.0, -1.0)])
def test_scale_and_background_against_numerical_integration(power, sign):
    _, y, p = one_image()
    y = sign * y
    sums = overlaps(y.reshape(1, 3, 3), p.reshape(1, 3, 3))
    beta = np.array([4.0])
    scales, backgrounds = np.linspace(0.5, 8 * PRIOR.scale_sd, 1500), np.linspace(-7, 7, 400)
    grid = joint(scales[:, None], backgrounds, beta[0], y, p, power)
    by_scale = integrate.trapezoid(grid, backgrounds, axis=1)
    total = integrate.simpson(by_scale, x=scales)
    ours = integrated_log_likelihood(sums, beta, PRIOR, power=power)
    assert ours[0] == pytest.approx(np.log(total), abs=0.01)
    many = Overlaps(**{k: np.repeat(v, 4000) if np.ndim(v) else v for k, v in vars(sums).items()})
    drawn = draw_scales_and_backgrounds(many, beta, PRIOR, np.random.default_rng(6), power=power)
    assert (drawn[0] > 0).all()
    share = integrate.cumulative_trapezoid(by_scale, scales, initial=0.0)
    assert stats.kstest(drawn[0], lambda x: np.interp(x, scales, share / share[-1])).pvalue > 1e-3
    share = integrate.cumulative_trapezoid(integrate.trapezoid(grid, scales, axis=0), backgrounds, initial=0.0)
    assert stats.kstest(drawn[1], lambda x: np.interp(x, backgrounds, share / share[-1])).pvalue > 1e-3


def test_noise_against_numerical_integration():
    _, y, p = one_image()
    residual = y - 800.0 * p - 0.2
    beta = np.linspace(1e-3, 60, 20_000)
    density = stats.gamma.pdf(beta, PRIOR.noise_shape, scale=1 / PRIOR.noise_rate)
    density *= np.exp(0.3 * stats.norm.logpdf(residual[:, None], scale=beta**-0.5).sum(0))
    share = integrate.cumulative_trapezoid(density, beta, initial=0.0)
    squared = np.full(4000, (residual**2).sum())
    drawn = draw_noise_precisions(squared, 9, PRIOR, np.random.default_rng(7), power=0.3)
    assert stats.kstest(drawn, lambda x: np.interp(x, beta, share / share[-1])).pvalue > 1e-3


def test_likelihood_is_invariant_under_rotation_reflection_and_symmetry():
    sampler, model = random_scene("D3", with_ctf=True)
    reference, m = log_likelihood(sampler.data, model, sampler.group), model.posed
    copied = replace(model, posed=replace(m, rotations=sampler.group[4] @ m.rotations))
    assert np.allclose(log_likelihood(sampler.data, copied, sampler.group), reference, atol=0.01)
    reference = log_likelihood(sampler.data, model, ONE)
    a, f = Rotation.random(rng=8).as_matrix(), np.diag([1.0, 1.0, -1.0])
    turned = replace(model, posed=replace(m, mixture=rotate(m.mixture, a), rotations=a @ m.rotations))
    other = replace(model, posed=replace(m, mixture=mirror(m.mixture), rotations=f @ m.rotations @ f))
    for changed in (turned, other):
        assert np.allclose(log_likelihood(sampler.data, changed, ONE), reference, atol=0.01)


@pytest.mark.parametrize("with_ctf", [False, True])
def test_pairwise_sums_are_those_of_single_images(with_ctf):
    sampler, model = random_scene("D2", with_ctf=with_ctf)
    posed = replace(model.posed, offsets_A=np.zeros((3, 2)))
    pairs = pairwise_overlaps(sampler.data, posed, sampler)
    single = overlaps(sampler.data.images, projections(sampler.data, posed, sampler.group))
    assert np.allclose(np.diag(pairs.pp), single.pp, rtol=1e-4)
    assert np.allclose(np.diag(pairs.p1), single.p1, rtol=1e-4, atol=1e-7)
    assert np.allclose(np.diag(pairs.py), single.py, rtol=1e-3, atol=1e-6)
    assert np.allclose(pairs.yy[:, 0], single.yy, rtol=1e-5)


@pytest.mark.parametrize("with_ctf", [False, True])
def test_global_search_finds_poses_and_keeps_good_ones(with_ctf):
    sampler, model = random_scene("C1", images=8, components=15, with_ctf=with_ctf, noise=20.0)
    wrong = with_poses(model, random_rotations(8, seed=9).numpy(), model.posed.offsets_A)
    found = move_poses_globally(sampler, wrong, 3000, np.random.default_rng(10)).posed.rotations
    angle = Rotation.from_matrix(found.swapaxes(1, 2) @ model.posed.rotations).magnitude()
    assert (np.rad2deg(angle) < 25.0).sum() >= 7
    kept = move_poses_globally(sampler, model, 200, np.random.default_rng(11)).posed.rotations
    assert (np.abs(kept - model.posed.rotations).max(axis=(1, 2)) < 1e-12).sum() >= 7


def test_averages_are_made_ready():
    sampler, _ = random_scene("C1", images=6, components=12, noise=50.0)
    shifted = centred_images(sampler.data, np.full((6, 2), [-10.0, 5.0]))
    data = checked_noisy_averages(7.0 + 3.0 * shifted, 5.0)
    assert data.images.std() == pytest.approx(1.0, abs=0.02)
    moved, centres = centred(data)
    assert np.abs(centred(moved)[1]).max() < 2.0
    straight, at = centred(checked_noisy_averages(sampler.data.images, 5.0))
    assert np.abs(centres - at - [10.0, -5.0]).max() < 1.5
    assert np.abs(moved.images - straight.images).std() < 0.3
    coarse = reduced(moved, 16)
    assert coarse.images.shape == (6, 16, 16)
    assert coarse.pixel_size_A == pytest.approx(7.5)
    assert coarse.images.mean() == pytest.approx(moved.images.mean(), abs=1e-3)
    prior = default_noise_prior(coarse, 5.0)
    assert 10.0 < prior.mean_precision_per_A2**-0.5 < 40.0


def test_reduced_images_of_a_mixture_with_ctf_are_its_images_on_the_coarse_grid():
    sampler, model = random_scene("C1", with_ctf=True, sigma_A=9.0)
    images = projections(sampler.data, model.posed, ONE)
    coarse = reduced(replace(sampler.data, images=images), 16)
    ours = projections(coarse, model.posed, ONE)
    assert np.abs(ours - coarse.images).max() < 0.02 * np.abs(images).max()


def test_bad_values_are_explained():
    with pytest.raises(ValueError, match="ctf"):
        NoisyImages(images=np.zeros((2, 8, 8)), pixel_size_A=1.0, ctf=np.zeros((2, 8, 8)))
    with pytest.raises(ValueError, match=r"\(n, L, L\)"):
        NoisyImages(images=np.zeros((2, 8, 9)), pixel_size_A=1.0)
    with pytest.raises(ValueError, match="background_sd"):
        replace(PRIOR, background_sd=0.0)
