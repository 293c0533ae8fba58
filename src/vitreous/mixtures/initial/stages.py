"""What happens in one round of the initial stage and in one block of the refinement: functions without a state.

Initial stage: the number of counts per image grows from few to many. Few counts make a flat posterior, in which
mixture and poses move together; it hardens slowly, which finds the right poses far more often than starting hard.
"""

from dataclasses import replace

import numpy as np

from vitreous.mixtures.counts import Counts, count_images
from vitreous.mixtures.gibbs_points import single_gaussian_precision
from vitreous.mixtures.gibbs_projections import Moves, PosedMixture, log_posterior, projection_step
from vitreous.mixtures.global_rotations import draw_rotations_globally, random_rotation_matrices
from vitreous.mixtures.initial.attempts import rotations_in_round
from vitreous.mixtures.initial.reduce import Reduced
from vitreous.mixtures.initial.settings import InitialModel
from vitreous.mixtures.model import sample_points
from vitreous.mixtures.priors import MixturePrior, sample_prior
from vitreous.randomness import generator

__all__ = ["anneal_round", "default_prior", "initial_log_posterior", "random_start", "refine_steps", "refined_start"]

_MIXTURE_ONLY = Moves(rotations=False, offsets=False)
_ROTATIONS_ONLY = Moves(mixture=False, offsets=False)
_LOCAL_FROM_COUNTS = 300  # below, a pose is so uncertain that small moves are not worth their time


def default_prior(data: Counts) -> MixturePrior:
    """Means as spread out as one Gaussian fitted to the images."""
    return MixturePrior(
        mean_precision_per_A2=single_gaussian_precision(float(data.squares_A2.sum()), 2.0 * float(data.totals.sum()))
    )


def random_start(images: Reduced, settings: InitialModel, group: np.ndarray, restart: int) -> PosedMixture:
    """Mixture and poses from their priors."""
    rng = generator(settings.seed, "start", restart)
    data = count_images(images.images, images.pixel_size_A, settings.counts)
    unit = max(2, round(settings.components / len(group)))
    return PosedMixture(
        mixture=sample_prior(default_prior(data), unit, 3, rng),
        rotations=random_rotation_matrices(len(images.images), rng),
        offsets_A=np.zeros((len(images.images), 2)),
    )


def anneal_round(
    images: Reduced, model: PosedMixture, settings: InitialModel, group: np.ndarray, *, restart: int, round_: int
) -> PosedMixture:
    """Mixture steps with fixed poses, one global draw of the poses, and local steps for them."""
    counts = _counts_of_round(settings, round_)
    full = count_images(images.images, images.pixel_size_A, settings.counts)
    data = full if counts >= settings.counts else _thinned(images, counts, settings.seed, restart, round_)
    prior, seed = default_prior(full), _restart_seed(settings, restart)
    first = round_ * (settings.mixture_steps + settings.rotation_steps + 1)
    for step in range(first, first + settings.mixture_steps):
        model, _ = projection_step(data, model, prior, group=group, moves=_MIXTURE_ONLY, seed=seed, step=step)
    rotations = draw_rotations_globally(
        data, model, rotations=rotations_in_round(settings, group, round_), group=group, seed=seed, step=round_
    )
    model = replace(model, rotations=rotations)
    if counts >= min(_LOCAL_FROM_COUNTS, settings.counts):
        first += settings.mixture_steps
        for step in range(first, first + settings.rotation_steps):
            model, _ = projection_step(data, model, prior, group=group, moves=_ROTATIONS_ONLY, seed=seed, step=step)
    return model


def initial_log_posterior(images: Reduced, model: PosedMixture, settings: InitialModel, group: np.ndarray) -> float:
    """What restarts are ranked by: log posterior at the full number of counts."""
    data = count_images(images.images, images.pixel_size_A, settings.counts)
    return log_posterior(data, model, default_prior(data), group=group, moves=_MIXTURE_ONLY)


def refined_start(model: PosedMixture, settings: InitialModel, group: np.ndarray, components: int) -> PosedMixture:
    """The poses of the initial stage with many components, drawn from the few."""
    rng = generator(settings.seed, "refinement")
    unit = max(2, round(components / len(group)))
    mixture = replace(
        model.mixture,
        means_A=sample_points(model.mixture, unit, rng),
        weights=np.full(unit, 1.0 / unit),
        precision_per_A2=model.mixture.precision_per_A2 * (unit / len(model.mixture)) ** (2.0 / 3.0),
    )
    return replace(model, mixture=mixture)


def refine_steps(
    data: Counts, model: PosedMixture, settings: InitialModel, group: np.ndarray, *, first: int, steps: int
) -> tuple[PosedMixture, float]:
    """``steps`` Gibbs steps for mixture, poses and offsets: (model, log posterior before the last step)."""
    moves, prior, log_p = Moves(offset_sd_A=settings.offset_sd_A), default_prior(data), 0.0
    for step in range(first, first + steps):
        model, log_p = projection_step(
            data, model, prior, group=group, moves=moves, seed=settings.seed, step=step, threads=settings.threads
        )
    return model, log_p


def _counts_of_round(settings: InitialModel, round_: int) -> int:
    growth = settings.counts / settings.counts_first
    return int(min(settings.counts, settings.counts_first * growth ** (round_ / settings.rounds_annealed)))


def _thinned(images: Reduced, counts: int, seed: int, restart: int, round_: int) -> Counts:
    """A fresh random sample of points of every image."""
    rng = generator(seed, "thinned counts", restart, round_)
    share = images.images.reshape(len(images.images), -1)
    drawn = rng.multinomial(counts, share / share.sum(axis=1, keepdims=True))
    return Counts(counts=drawn.reshape(images.images.shape), pixel_size_A=images.pixel_size_A)


def _restart_seed(settings: InitialModel, restart: int) -> int:
    return int(generator(settings.seed, "restart", restart).integers(2**62))
