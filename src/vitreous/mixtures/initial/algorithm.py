"""The initial model as an iterative algorithm: rounds of all restarts, then blocks that refine the best one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.matching.workers import ordered_map
from vitreous.mixtures.counts import Counts, count_images
from vitreous.mixtures.gibbs_projections import PosedMixture
from vitreous.mixtures.initial.agreement import Agreement, compare_poses
from vitreous.mixtures.initial.attempts import attempts_of, best_attempts, judged_after
from vitreous.mixtures.initial.posterior import (
    DensitySums,
    add_sample,
    aligned_mixture,
    no_samples,
    posterior_variance,
)
from vitreous.mixtures.initial.reduce import Reduced, centres_of_mass, checked_averages, reduce_images
from vitreous.mixtures.initial.settings import InitialModel
from vitreous.mixtures.initial.stages import (
    anneal_round,
    initial_log_posterior,
    random_start,
    refine_steps,
    refined_start,
)
from vitreous.mixtures.model import Mixture
from vitreous.particles import Volume
from vitreous.rotations import symmetry_matrices

__all__ = ["InitialModelResult", "State", "initial_model_algorithm"]


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything that survives a step."""

    iteration: int
    restarts: tuple[PosedMixture, ...]  # all attempts at them, until the best are chosen
    log_posteriors: np.ndarray  # of these, at the full number of counts; 0 before the first round
    refined: PosedMixture | None  # from the first block of the refinement on
    reference: PosedMixture | None  # whose frame the samples are brought into, from the first sample on
    log_posterior: float  # of the refinement
    sums: DensitySums


@dataclass(frozen=True, kw_only=True, eq=False)
class InitialModelResult:
    """An initial model with its uncertainty; its hand is not determined by the averages.

    ``mixture`` is the last sample with all copies of the asymmetric unit, in the frame of ``mean`` and ``rotations``.
    """

    mean: Volume
    variance: Volume
    mixture: Mixture
    rotations: np.ndarray  # (n, 3, 3) G of the averages
    origins_A: np.ndarray  # (n, 2) shifts that centre the averages, as rlnOriginXAngst and YAngst
    log_posteriors: np.ndarray  # (restarts,)
    best: int  # the restart that was refined
    agreements: tuple[Agreement, ...]  # of each restart with the best one
    poses_kept: Agreement  # of the refined poses with those of the initial stage

    @property
    def restarts_agreeing(self) -> int:
        """Restarts, the best included, of which at least nine poses in ten agree with it."""
        return sum(agreement.fraction >= 0.9 for agreement in self.agreements)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    coarse: Reduced
    fine: Counts
    centres_A: np.ndarray
    group: np.ndarray
    map_box_px: int
    map_pixel_size_A: float


def initial_model_algorithm(
    images: np.ndarray, pixel_size_A: float, settings: InitialModel
) -> Algorithm[State, InitialModelResult]:
    """The algorithm for averages (n, L, L), none negative; errors as :func:`vitreous.mixtures.initial_model`.

    A step is a round of the initial stage for all restarts, or ``steps_between`` steps of the refinement.
    """
    data = _prepare(images, pixel_size_A, settings)
    starts = settings.restarts * attempts_of(data.group)
    last = settings.rounds + -(-settings.burn_in_steps // settings.steps_between) + settings.samples

    def init(seed: int) -> State:
        seeded = replace(settings, seed=seed)
        return State(
            iteration=0,
            restarts=tuple(random_start(data.coarse, seeded, data.group, r) for r in range(starts)),
            log_posteriors=np.zeros(starts),
            refined=None,
            reference=None,
            log_posterior=0.0,
            sums=no_samples(data.map_box_px),
        )

    def step(state: State) -> tuple[State, Mapping[str, Any]]:
        if state.iteration < settings.rounds:
            return _initial_step(data, settings, state)
        return _refinement_step(data, settings, state, last)

    return Algorithm(
        init=init,
        step=step,
        done=lambda state: state.iteration >= last,
        finalise=lambda state: _finalise(data, settings, state),
    )


def _prepare(images: np.ndarray, pixel_size_A: float, settings: InitialModel) -> _Data:
    averages = checked_averages(images, pixel_size_A)
    centres = centres_of_mass(averages, pixel_size_A)
    fine = reduce_images(averages, pixel_size_A, centres, settings.fine_box_px)
    box = averages.shape[1]
    map_box = min(settings.map_box_px, box)
    return _Data(
        coarse=reduce_images(averages, pixel_size_A, centres, settings.box_px),
        fine=count_images(fine.images, fine.pixel_size_A, settings.fine_counts),
        centres_A=centres,
        group=symmetry_matrices(settings.symmetry).numpy(),
        map_box_px=map_box,
        map_pixel_size_A=pixel_size_A * box / map_box,
    )


def _initial_step(data: _Data, settings: InitialModel, state: State) -> tuple[State, Mapping[str, Any]]:
    def one(restart: int) -> tuple[PosedMixture, float]:
        model = anneal_round(
            data.coarse, state.restarts[restart], settings, data.group, restart=restart, round_=state.iteration
        )
        return model, initial_log_posterior(data.coarse, model, settings, data.group)

    models, log_p = zip(*ordered_map(one, range(len(state.restarts)), settings.threads), strict=True)
    best, iteration = best_attempts(log_p, settings.restarts), state.iteration + 1
    shown = [log_p[i] for i in best]
    if iteration == judged_after(settings):
        models, log_p = tuple(models[i] for i in best), tuple(shown)
    following = replace(state, iteration=iteration, restarts=models, log_posteriors=np.array(log_p))
    return following, {"stage": "initial", "log_posterior": max(shown), "log_posteriors": shown}


def _refinement_step(data: _Data, settings: InitialModel, state: State, last: int) -> tuple[State, Mapping[str, Any]]:
    model = state.refined
    if model is None:
        model = refined_start(state.restarts[int(state.log_posteriors.argmax())], settings, data.group)
    first = (state.iteration - settings.rounds) * settings.steps_between
    model, log_p = refine_steps(data.fine, model, settings, data.group, first=first, steps=settings.steps_between)
    sums, reference = state.sums, state.reference
    if state.iteration >= last - settings.samples:
        reference = reference or model
        sums = add_sample(sums, aligned_mixture(model, reference, data.group), data.map_pixel_size_A)
    following = replace(
        state, iteration=state.iteration + 1, refined=model, reference=reference, log_posterior=log_p, sums=sums
    )
    return following, {"stage": "refinement", "log_posterior": log_p, "sigma_A": model.mixture.sigma_A}


def _finalise(data: _Data, settings: InitialModel, state: State) -> InitialModelResult:
    if state.refined is None or state.reference is None:
        raise ValueError(f"the run has not come to the samples of the refinement: iteration {state.iteration}")
    best = int(state.log_posteriors.argmax())
    chosen, reference = state.restarts[best], state.reference

    def compare(first: np.ndarray, second: np.ndarray) -> Agreement:
        return compare_poses(first, second, group=data.group, within_deg=settings.agreement_deg)

    def volume(values: np.ndarray) -> Volume:
        return Volume(data=values, pixel_size_A=data.map_pixel_size_A)

    return InitialModelResult(
        mean=volume(state.sums.mean),
        variance=volume(posterior_variance(state.sums)),
        mixture=aligned_mixture(state.refined, reference, data.group),
        rotations=reference.rotations,
        origins_A=-(reference.offsets_A + data.centres_A),
        log_posteriors=state.log_posteriors,
        best=best,
        agreements=tuple(compare(other.rotations, chosen.rotations) for other in state.restarts),
        poses_kept=compare(chosen.rotations, reference.rotations),
    )
