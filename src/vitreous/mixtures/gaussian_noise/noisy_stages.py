"""What happens in one round of the initial stage and in one block of the refinement: functions without a state.

Initial stage: the log likelihood is multiplied by a power that grows to 1. At a small power mixture and poses move
together in a flat posterior; it hardens slowly, which finds the right poses far more often than starting hard.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitreous.mixtures.gaussian_noise.conditionals import integrated_log_likelihood, overlaps
from vitreous.mixtures.gaussian_noise.forward import projections
from vitreous.mixtures.gaussian_noise.global_poses import move_poses_globally
from vitreous.mixtures.gaussian_noise.hmc import StepSize, adapted, first_step_size, settled, step_of
from vitreous.mixtures.gaussian_noise.model import NoisyMixture, sample_noisy_prior
from vitreous.mixtures.gaussian_noise.moves import Sampler, move_means, move_poses, move_precision, with_poses
from vitreous.mixtures.gaussian_noise.settings import GaussianInitialModel
from vitreous.mixtures.model import finer
from vitreous.randomness import generator

__all__ = [
    "Chain",
    "Steps",
    "anneal_round",
    "first_steps",
    "random_start",
    "ranking_log_posterior",
    "refine_block",
    "refined_start",
    "settled_steps",
    "sweep",
]

PRECISION_ACCEPTANCE = 0.44  # of a Metropolis walk in one dimension
PRECISION_PROPOSALS = 2
OFFSETS_FROM_POWER = 0.5  # below, wrong poses would be made up for by offsets


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """The step sizes of the three moves that have one."""

    means: StepSize
    poses: StepSize  # (n,) every image has its own
    precision: StepSize


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """A sample and the steps that lead to the next one."""

    model: NoisyMixture
    steps: Steps


def first_steps(images: int) -> Steps:
    """Steps to begin an adaptation with."""
    return Steps(
        means=first_step_size(0.3), poses=first_step_size(np.full(images, 0.3)), precision=first_step_size(0.05)
    )


def settled_steps(steps: Steps) -> Steps:
    """The averages of the adaptation."""
    return Steps(means=settled(steps.means), poses=settled(steps.poses), precision=settled(steps.precision))


def sweep(
    sampler: Sampler,
    chain: Chain,
    rng: np.random.Generator,
    *,
    mixture: bool = True,
    poses: bool = True,
    offsets: bool = True,
    target: float | None = None,
) -> tuple[Chain, float]:
    """Means, precision with scales and noise, poses, in turn: (chain, mean acceptance of the Hamiltonian moves).

    With a ``target`` acceptance step sizes are adapted, which spoils detailed balance: only for samples that do not
    count.
    """
    model, steps, seen = chain.model, chain.steps, []
    if mixture:
        model, accepted = move_means(sampler, model, float(step_of(steps.means)), rng)
        model, walked = move_precision(
            sampler, model, float(step_of(steps.precision)), rng, proposals=PRECISION_PROPOSALS
        )
        seen.append(accepted)
        if target is not None:
            steps = replace(
                steps,
                means=adapted(steps.means, accepted, target),
                precision=adapted(steps.precision, walked, PRECISION_ACCEPTANCE),
            )
    if poses:
        model, by_image = move_poses(sampler, model, step_of(steps.poses), rng, offsets=offsets)
        seen.append(float(by_image.mean()))
        if target is not None:
            steps = replace(steps, poses=adapted(steps.poses, by_image, target))
    return Chain(model=model, steps=steps), float(np.mean(seen))


def random_start(sampler: Sampler, settings: GaussianInitialModel, restart: int) -> Chain:
    """Parameters from their priors, but for offsets of 0 and noise as strong as the images."""
    rng = generator(settings.seed, "start", restart)
    unit = max(2, round(settings.components / len(sampler.group)))
    n = len(sampler.data)
    model = sample_noisy_prior(sampler.prior, n, unit, rng)
    model = with_poses(model, model.posed.rotations, np.zeros((n, 2)))
    model = replace(model, noise_precisions=np.full(n, 1.0 / float(sampler.data.images.var())))
    model, _ = move_precision(replace(sampler, power=settings.power_first), model, 0.05, rng)
    return Chain(model=model, steps=first_steps(n))


def anneal_round(
    grids: Sequence[Sampler], chain: Chain, settings: GaussianInitialModel, *, restart: int, round_: int
) -> Chain:
    """Mixture steps with fixed poses, one global draw of the poses, and local steps for them.

    ``grids`` are the same images from few pixels to many; the first on which a component is a pixel wide will do. While
    poses are wrong the residual is signal of low frequency rather than noise, and the log likelihood about
    ``-pixels / 2 log(residual)``: with few pixels the power is raised by as much.
    """
    rng = generator(settings.seed, "round", restart, round_)
    sigma = chain.model.posed.mixture.sigma_A
    enough = [grid for grid in grids if grid.data.pixel_size_A <= sigma]
    grid = enough[0] if enough else grids[-1]
    pixels_lost = (grids[-1].data.box_px / grid.data.box_px) ** 2
    hot = replace(grid, power=min(1.0, power_of_round(settings, round_) * pixels_lost))
    for _ in range(settings.mixture_steps):
        chain, _ = sweep(hot, chain, rng, poses=False, target=settings.acceptance)
    chain = replace(chain, model=move_poses_globally(hot, chain.model, settings.global_rotations, rng))
    offsets = grid is grids[-1] and hot.power >= OFFSETS_FROM_POWER
    for _ in range(settings.pose_steps):
        chain, _ = sweep(hot, chain, rng, mixture=False, offsets=offsets, target=settings.acceptance)
    return chain


def power_of_round(settings: GaussianInitialModel, round_: int) -> float:
    """1 from ``rounds_annealed`` on."""
    return settings.power_first ** max(0.0, 1.0 - round_ / settings.rounds_annealed)


def ranking_log_posterior(sampler: Sampler, model: NoisyMixture) -> float:
    """Log posterior with scales and backgrounds integrated, but for constants: what restarts are ranked by."""
    posed, prior = model.posed, sampler.prior
    sums = overlaps(sampler.data.images, projections(sampler.data, posed, sampler.group, threads=sampler.threads))
    fit = integrated_log_likelihood(sums, model.noise_precisions, prior).sum()
    s, beta = posed.mixture.precision_per_A2, model.noise_precisions
    log_p = (prior.precision_shape - 1.0) * np.log(s) - prior.precision_rate_A2 * s
    log_p += ((prior.noise_shape - 1.0) * np.log(beta) - prior.noise_rate * beta).sum()
    log_p -= 0.5 * prior.mean_precision_per_A2 * (posed.mixture.means_A**2).sum()
    log_p -= 0.5 * (posed.offsets_A**2).sum() / prior.offset_sd_A**2
    return float(fit + log_p)


def refined_start(chain: Chain, sampler: Sampler, settings: GaussianInitialModel, components: int) -> Chain:
    """The poses of the initial stage with many components, drawn from the few."""
    rng = generator(settings.seed, "refinement")
    mixture = finer(chain.model.posed.mixture, max(2, round(components / len(sampler.group))), rng)
    model = replace(chain.model, posed=replace(chain.model.posed, mixture=mixture))
    return Chain(model=model, steps=first_steps(len(model.scales)))


def refine_block(
    sampler: Sampler, chain: Chain, settings: GaussianInitialModel, *, block: int, adapt: bool
) -> tuple[Chain, float]:
    """``steps_between`` sweeps over everything: (chain, mean acceptance)."""
    rng = generator(settings.seed, "refinement block", block)
    accepted = 0.0
    for _ in range(settings.steps_between):
        chain, share = sweep(sampler, chain, rng, target=settings.acceptance if adapt else None)
        accepted += share / settings.steps_between
    return chain, accepted
