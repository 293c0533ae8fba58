"""What happens in one round of the initial stage and in one block of the refinement: functions without a state.

Initial stage: the number of counts per image grows from few to many. Few counts make a flat posterior, in which
mixture and poses move together; it hardens slowly, which finds the right poses far more often than starting hard.

Several conformations begin as one, which all images share until their poses are found. Then it is split into equal ones
with random labels, at many more counts: what a second mixture explains better grows with the number of counts, its own
cost in the posterior with the logarithm, so that at few counts the posterior rightly leaves a conformation empty. Born
in one frame and hand, conformations can exchange images without new poses.
"""

from dataclasses import replace

import numpy as np

from vitreous.mixtures.averages import Reduced
from vitreous.mixtures.common_frame import in_one_frame
from vitreous.mixtures.conformations import (
    PosedMixtures,
    conformation_steps,
    conformations_log_posterior,
    draw_labels,
    draw_labels_and_rotations,
    draw_populations,
    single,
    split,
)
from vitreous.mixtures.counts import Counts, count_images
from vitreous.mixtures.gibbs_projections import Moves, PosedMixture, default_prior
from vitreous.mixtures.global_rotations import random_rotation_matrices
from vitreous.mixtures.model import Mixture, finer
from vitreous.mixtures.poisson_poses.attempts import rotations_in_round
from vitreous.mixtures.poisson_poses.settings import InitialModel
from vitreous.mixtures.priors import sample_prior
from vitreous.randomness import generator

__all__ = [
    "anneal_round",
    "initial_log_posterior",
    "random_start",
    "refine_steps",
    "refined_start",
    "with_more_components",
]

_MIXTURE_ONLY = Moves(rotations=False, offsets=False)
_ROTATIONS_ONLY = Moves(mixture=False, offsets=False)
_LOCAL_FROM_COUNTS = 300  # below, a pose is so uncertain that small moves are not worth their time


def random_start(images: Reduced, settings: InitialModel, group: np.ndarray, restart: int) -> PosedMixtures:
    """One mixture and the poses from their priors."""
    rng = generator(settings.seed, "start", restart)
    data = count_images(images.images, images.pixel_size_A, settings.counts)
    unit = max(2, round(settings.components / len(group)))
    return single(
        PosedMixture(
            mixture=sample_prior(default_prior(data), unit, 3, rng),
            rotations=random_rotation_matrices(len(images.images), rng),
            offsets_A=np.zeros((len(images.images), 2)),
        )
    )


def anneal_round(
    images: Reduced, model: PosedMixtures, settings: InitialModel, group: np.ndarray, *, restart: int, round_: int
) -> PosedMixtures:
    """Mixture steps with fixed poses, one global draw of labels and poses, and local steps for the poses.

    After ``settings.rounds`` rounds the one mixture becomes ``settings.conformations``.
    """
    if round_ == settings.rounds:
        model = split(model, settings.conformations, generator(settings.seed, "split", restart))
    counts, most = _counts_of_round(settings, round_)
    full = count_images(images.images, images.pixel_size_A, most)
    data = full if counts >= most else _thinned(images, counts, settings.seed, restart, round_)
    prior, seed = default_prior(full), _restart_seed(settings, restart)
    first = round_ * (settings.mixture_steps + settings.rotation_steps + 1)
    steps = range(first, first + settings.mixture_steps)
    model, _ = conformation_steps(data, model, prior, group=group, moves=_MIXTURE_ONLY, seed=seed, steps=steps)
    model = draw_labels_and_rotations(
        data, model, rotations=rotations_in_round(settings, group, round_), group=group, seed=seed, step=round_
    )
    model = draw_populations(model, seed=seed, step=round_)
    if counts >= min(_LOCAL_FROM_COUNTS, settings.counts):
        steps = range(steps.stop, steps.stop + settings.rotation_steps)
        model, _ = conformation_steps(data, model, prior, group=group, moves=_ROTATIONS_ONLY, seed=seed, steps=steps)
    return model


def initial_log_posterior(images: Reduced, model: PosedMixtures, settings: InitialModel, group: np.ndarray) -> float:
    """What restarts are ranked by: log posterior, labels and populations included."""
    data = count_images(images.images, images.pixel_size_A, settings.ranking_counts)
    return conformations_log_posterior(data, model, default_prior(data), group=group, moves=_MIXTURE_ONLY)


def refined_start(
    model: PosedMixtures, settings: InitialModel, group: np.ndarray, components: int, *, field_A: float
) -> PosedMixtures:
    """Labels and poses of the initial stage, in one frame, with many components, drawn from the few."""
    model = in_one_frame(model, group, field_A=field_A)
    mixtures = [
        with_more_components(mixture, settings, group, components, c) for c, mixture in enumerate(model.mixtures)
    ]
    return replace(model, mixtures=tuple(mixtures))


def with_more_components(
    mixture: Mixture, settings: InitialModel, group: np.ndarray, components: int, conformation: int = 0
) -> Mixture:
    """As many components of the whole particle, drawn from the few."""
    rng = generator(settings.seed, "refinement", *((conformation,) if conformation else ()))
    return finer(mixture, max(2, round(components / len(group))), rng)


def refine_steps(
    data: Counts,
    model: PosedMixtures,
    settings: InitialModel,
    group: np.ndarray,
    *,
    first: int,
    steps: int,
    threads: int = 1,
) -> tuple[PosedMixtures, float]:
    """Labels and populations, then ``steps`` Gibbs steps for mixtures, poses and offsets.

    Returns the model and the log posterior before the last step.
    """
    if len(model.mixtures) > 1:
        model = draw_labels(data, model, group=group, seed=settings.seed, step=first)
        model = draw_populations(model, seed=settings.seed, step=first)
    return conformation_steps(
        data,
        model,
        default_prior(data),
        group=group,
        moves=Moves(offset_sd_A=settings.offset_sd_A),
        seed=settings.seed,
        steps=range(first, first + steps),
        threads=threads,
    )


def _counts_of_round(settings: InitialModel, round_: int) -> tuple[int, int]:
    """Counts of a round and of the last one of its stage."""
    later = round_ - settings.rounds
    if later >= 0:
        return int(settings.label_counts * min(1.0, 2.0 ** (2.0 * later / settings.label_rounds - 1.0))), (
            settings.label_counts
        )
    growth = settings.counts / settings.counts_first
    grown = settings.counts_first * growth ** (round_ / settings.rounds_annealed)
    return int(min(settings.counts, grown)), settings.counts


def _thinned(images: Reduced, counts: int, seed: int, restart: int, round_: int) -> Counts:
    """A fresh random sample of points of every image."""
    rng = generator(seed, "thinned counts", restart, round_)
    share = images.images.reshape(len(images.images), -1)
    drawn = rng.multinomial(counts, share / share.sum(axis=1, keepdims=True))
    return Counts(counts=drawn.reshape(images.images.shape), pixel_size_A=images.pixel_size_A)


def _restart_seed(settings: InitialModel, restart: int) -> int:
    return int(generator(settings.seed, "restart", restart).integers(2**62))
