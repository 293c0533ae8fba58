"""Views that a mixture has not seen, predicted by a short chain of the refinement: what the choice of K rests on."""

from dataclasses import replace

import numpy as np

from vitreous.mixtures.choose_components import MIDDLE, log_predictive_of_views
from vitreous.mixtures.conformations import single
from vitreous.mixtures.counts import Counts
from vitreous.mixtures.gibbs_projections import Moves, PosedMixture, default_prior, projection_step
from vitreous.mixtures.model import project, symmetrise
from vitreous.mixtures.poisson_poses.counted_stages import refine_steps, with_more_components
from vitreous.mixtures.poisson_poses.settings import InitialModel
from vitreous.randomness import generator

__all__ = ["predict_views", "settled_poses"]

_SETTLING = 60
_BURN_IN, _SAMPLES, _BETWEEN = 30, 5, 4


def settled_poses(
    data: Counts, model: PosedMixture, settings: InitialModel, group: np.ndarray, *, threads: int = 1
) -> PosedMixture:
    """What the initial stage has found, after a short refinement of all images with a number of components in between.

    Otherwise errors of the poses would decide, which small components correct more slowly than large ones.
    """
    seed = int(generator(settings.seed, "settling of poses").integers(2**62))
    start = single(replace(model, mixture=with_more_components(model.mixture, settings, group, MIDDLE)))
    seeded = replace(settings, seed=seed)
    return refine_steps(data, start, seeded, group, first=0, steps=_SETTLING, threads=threads)[0].part(0)


def predict_views(
    data: Counts,
    model: PosedMixture,
    settings: InitialModel,
    group: np.ndarray,
    *,
    components: int,
    held_out: np.ndarray,
) -> np.ndarray:
    """Log predictive (v,) of the images ``held_out`` (bool) from the others, with this number of components.

    ``model`` is from :func:`settled_poses`. A held-out pose follows the mixture, step by step.
    """
    start = replace(model, mixture=with_more_components(model.mixture, settings, group, components))
    known, unseen = _images(start, ~held_out), _images(start, held_out)
    train, test = (Counts(counts=data.counts[part], pixel_size_A=data.pixel_size_A) for part in (~held_out, held_out))
    prior, moves = default_prior(train), Moves(offset_sd_A=settings.offset_sd_A)
    seed, other_seed = generator(settings.seed, "choice of components", components).integers(2**62, size=2).tolist()
    box, predicted = data.counts.shape[2], np.zeros(test.counts.shape)
    for step in range(_BURN_IN + _SAMPLES * _BETWEEN):
        known, _ = projection_step(train, known, prior, group=group, moves=moves, seed=seed, step=step)
        unseen, _ = projection_step(
            test,
            replace(unseen, mixture=known.mixture),
            prior,
            group=group,
            moves=replace(moves, mixture=False),
            seed=other_seed,
            step=step,
        )
        if step >= _BURN_IN and (step - _BURN_IN) % _BETWEEN == _BETWEEN - 1:
            whole = symmetrise(known.mixture, group)
            predicted += project(whole, unseen.rotations, box, data.pixel_size_A, offsets_A=unseen.offsets_A)
    return log_predictive_of_views(test.counts, predicted / _SAMPLES)


def _images(model: PosedMixture, part: np.ndarray) -> PosedMixture:
    return replace(model, rotations=model.rotations[part], offsets_A=model.offsets_A[part])
