"""The moves of the sampler: each draws some parameters given all others, a pure function of state and generator.

Means and poses by Hamiltonian Monte Carlo, the precision by Metropolis with scales and backgrounds integrated out,
these two and the noise from their conditionals. ``power`` multiplies the log likelihood (annealing; 1 for samples).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from vitreous.mixtures.gaussian_noise.conditionals import (
    Overlaps,
    draw_noise_precisions,
    draw_scales_and_backgrounds,
    integrated_log_likelihood,
    overlaps,
)
from vitreous.mixtures.gaussian_noise.forward import forces, projections, unit_copies
from vitreous.mixtures.gaussian_noise.hmc import leapfrog
from vitreous.mixtures.gaussian_noise.model import GaussianNoisePrior, NoisyImages, NoisyMixture

__all__ = [
    "Sampler",
    "Trajectory",
    "means_energy",
    "means_trajectory",
    "move_means",
    "move_poses",
    "move_precision",
    "poses_energy",
    "poses_trajectory",
    "redraw_image_parameters",
]

LEAPFROG_STEPS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampler:
    """What all moves need to know and none of them changes."""

    data: NoisyImages
    prior: GaussianNoisePrior
    group: np.ndarray  # (g, 3, 3)
    power: float = 1.0
    threads: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """Where a trajectory ended: the momentum there, and the energy lost on the way (one number or one per image)."""

    model: NoisyMixture
    momentum: np.ndarray
    energy_lost: np.ndarray


def move_means(
    sampler: Sampler, model: NoisyMixture, step_A: float, rng: np.random.Generator
) -> tuple[NoisyMixture, float]:
    """All means at once: (model, probability of acceptance)."""
    end = means_trajectory(sampler, model, rng.standard_normal(model.posed.mixture.means_A.shape), step_A)
    probability = _acceptance(end.energy_lost)
    return (end.model if rng.random() < probability else model), float(probability)


def move_poses(
    sampler: Sampler, model: NoisyMixture, steps_A: np.ndarray, rng: np.random.Generator, *, offsets: bool = True
) -> tuple[NoisyMixture, np.ndarray]:
    """Rotation and offset of every image, each accepted on its own: (model, probabilities (n,))."""
    momentum = rng.standard_normal((len(model.scales), 5))
    end = poses_trajectory(sampler, model, momentum, steps_A, offsets=offsets)
    probability = _acceptance(end.energy_lost)
    taken = rng.random(len(probability)) < probability
    old, new = model.posed, end.model.posed
    posed = replace(
        old,
        rotations=np.where(taken[:, None, None], new.rotations, old.rotations),
        offsets_A=np.where(taken[:, None], new.offsets_A, old.offsets_A),
    )
    return replace(model, posed=posed), probability


def move_precision(
    sampler: Sampler, model: NoisyMixture, log_step: float, rng: np.random.Generator, *, proposals: int = 1
) -> tuple[NoisyMixture, float]:
    """Metropolis walk of log s with scales and backgrounds integrated out, then these and the noise anew.

    (model, mean probability of acceptance).
    """
    sums, log_p = _at_precision(sampler, model)
    accepted = 0.0
    for _ in range(proposals):
        s = model.posed.mixture.precision_per_A2 * np.exp(log_step * rng.standard_normal())
        proposed = replace(model, posed=replace(model.posed, mixture=replace(model.posed.mixture, precision_per_A2=s)))
        sums_there, log_p_there = _at_precision(sampler, proposed)
        probability = float(_acceptance(log_p_there - log_p))
        accepted += probability / proposals
        if rng.random() < probability:
            model, sums, log_p = proposed, sums_there, log_p_there
    return redraw_image_parameters(sampler, model, sums, rng), accepted


def redraw_image_parameters(
    sampler: Sampler, model: NoisyMixture, sums: Overlaps, rng: np.random.Generator
) -> NoisyMixture:
    """Scales and backgrounds, then the noise, from their conditionals; ``sums`` belong to the model's projections."""
    scales, backgrounds = draw_scales_and_backgrounds(
        sums, model.noise_precisions, sampler.prior, rng, power=sampler.power
    )
    squared = sums.yy + scales**2 * sums.pp + backgrounds**2 * sums.pixels
    squared += 2.0 * (scales * backgrounds * sums.p1 - scales * sums.py - backgrounds * sums.y1)
    noise = draw_noise_precisions(squared.clip(min=0.0), sums.pixels, sampler.prior, rng, power=sampler.power)
    return replace(model, scales=scales, backgrounds=backgrounds, noise_precisions=noise)


def means_trajectory(sampler: Sampler, model: NoisyMixture, momentum: np.ndarray, step_A: float) -> Trajectory:
    """Ten leapfrog steps of the means (K, 3)."""
    means, momentum, lost = leapfrog(
        model.posed.mixture.means_A,
        momentum,
        energy=lambda means: means_energy(sampler, with_means(model, means)),
        move=np.add,
        step=step_A,
        steps=LEAPFROG_STEPS,
    )
    return Trajectory(model=with_means(model, means), momentum=momentum, energy_lost=lost)


def poses_trajectory(
    sampler: Sampler, model: NoisyMixture, momentum: np.ndarray, steps_A: np.ndarray, *, offsets: bool = True
) -> Trajectory:
    """Ten leapfrog steps of all poses; momentum (n, 5), steps (n,).

    Rotations move along geodesics of SO(3), ``G exp([v])`` with exponential coordinates v about the present rotation at
    every step. That leaves the uniform measure as it is, which fixed coordinates for a whole trajectory would not
    without their volume element. A rotation is measured in Angstrom, by the spread of the prior of the means.
    """
    radius = sampler.prior.mean_precision_per_A2**-0.5
    free = np.array([1.0, 1.0, 1.0, *([float(offsets)] * 2)])

    def move(poses: tuple[np.ndarray, np.ndarray], by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        turned = poses[0] @ Rotation.from_rotvec(by[:, :3] / radius).as_matrix()
        return turned, poses[1] + by[:, 3:]

    def energy(poses: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        energies, slopes = poses_energy(sampler, with_poses(model, *poses))
        return energies, slopes * np.array([1 / radius, 1 / radius, 1 / radius, 1.0, 1.0]) * free

    poses, momentum, lost = leapfrog(
        (model.posed.rotations, model.posed.offsets_A),
        momentum * free,
        energy=energy,
        move=move,
        step=np.asarray(steps_A)[:, None],
        steps=LEAPFROG_STEPS,
    )
    return Trajectory(model=with_poses(model, *poses), momentum=momentum, energy_lost=lost)


def means_energy(sampler: Sampler, model: NoisyMixture) -> tuple[np.ndarray, np.ndarray]:
    """Minus the log posterior as a function of the means, and its derivative (K, 3).

    ``dE/dmu_k = sum_i beta_i S_g^T G_i (f_igk, 0) + r mu_k`` (5.20 of Joubert with C_i, groups, and its image's scale).
    """
    found, beta = forces(sampler.data, model, sampler.group, threads=sampler.threads), model.noise_precisions
    means, r = model.posed.mixture.means_A, sampler.prior.mean_precision_per_A2
    energy = 0.5 * sampler.power * (beta @ found.squared) + 0.5 * r * (means**2).sum()
    planes = model.posed.rotations[:, :, :2] * (sampler.power * beta)[:, None, None]
    by_copy = np.einsum("iab,ikb->ka", planes, found.by_centre, optimize=True).reshape(len(sampler.group), -1, 3)
    slope = np.einsum("gba,gkb->ka", sampler.group, by_copy, optimize=True) + r * means
    return energy, slope


def poses_energy(sampler: Sampler, model: NoisyMixture) -> tuple[np.ndarray, np.ndarray]:
    """The same as a function of the poses, image by image: (n,), and derivatives (n, 5) by v of ``G exp([v])`` and t.

    A component at ``m = G^T mu`` moves by ``m x v``, so the derivative by v is the torque ``sum_k f_k x m_k``.
    """
    found, posed = forces(sampler.data, model, sampler.group, threads=sampler.threads), model.posed
    beta, spread = sampler.power * model.noise_precisions, sampler.prior.offset_sd_A
    seen = unit_copies(posed.mixture.means_A, sampler.group) @ posed.rotations  # (n, g K, 3) m as rows
    moments = np.einsum("ikb,ika->iba", found.by_centre, seen, optimize=True)  # sum f_b m_a
    torque = np.stack([moments[:, 1, 2], -moments[:, 0, 2], moments[:, 0, 1] - moments[:, 1, 0]], axis=1)
    energy = 0.5 * beta * found.squared + 0.5 * (posed.offsets_A**2).sum(axis=1) / spread**2
    by_offset = beta[:, None] * found.by_centre.sum(axis=1) + posed.offsets_A / spread**2
    return energy, np.concatenate([beta[:, None] * torque, by_offset], axis=1)


def with_means(model: NoisyMixture, means_A: np.ndarray) -> NoisyMixture:
    """The model with other means."""
    return replace(model, posed=replace(model.posed, mixture=replace(model.posed.mixture, means_A=means_A)))


def with_poses(model: NoisyMixture, rotations: np.ndarray, offsets_A: np.ndarray) -> NoisyMixture:
    """The model with other poses."""
    return replace(model, posed=replace(model.posed, rotations=rotations, offsets_A=offsets_A))


def _at_precision(sampler: Sampler, model: NoisyMixture) -> tuple[Overlaps, float]:
    """What the projections share with the images, and the log density of log s, scales and backgrounds integrated."""
    projected = projections(sampler.data, model.posed, sampler.group, threads=sampler.threads)
    sums = overlaps(sampler.data.images, projected)
    by_image = integrated_log_likelihood(sums, model.noise_precisions, sampler.prior, power=sampler.power)
    s, prior = model.posed.mixture.precision_per_A2, sampler.prior
    return sums, float(by_image.sum() + prior.precision_shape * np.log(s) - prior.precision_rate_A2 * s)


def _acceptance(log_ratio: np.ndarray | float) -> np.ndarray:
    """min(1, exp(log ratio)); 0 where the trajectory left what can be computed."""
    finite = np.where(np.isnan(log_ratio), -np.inf, log_ratio)
    return np.exp(np.minimum(finite, 0.0))
