"""The initial model as an iterative algorithm: rounds of all restarts, then blocks that refine the best one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.matching.workers import ordered_map
from vitreous.mixtures.averages import Reduced, checked_averages, reduce_images
from vitreous.mixtures.choose_components import ComponentChoice, held_out_views, number_of_components, tried
from vitreous.mixtures.common_frame import in_one_frame
from vitreous.mixtures.conformations import PosedMixtures
from vitreous.mixtures.counts import Counts, count_images
from vitreous.mixtures.poisson_poses.attempts import attempts_of, best_attempts, judged_after
from vitreous.mixtures.poisson_poses.counted_stages import (
    anneal_round,
    initial_log_posterior,
    random_start,
    refine_steps,
    refined_start,
)
from vitreous.mixtures.poisson_poses.held_out import predict_views, settled_poses
from vitreous.mixtures.poisson_poses.result import InitialModelResult, result_of
from vitreous.mixtures.poisson_poses.settings import InitialModel
from vitreous.mixtures.posterior_maps import DensitySums, add_sample, aligned_conformations, no_samples
from vitreous.quality import centres_of_mass
from vitreous.rotations import symmetry_matrices

__all__ = ["State", "initial_model_algorithm"]


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything that survives a step."""

    iteration: int
    restarts: tuple[PosedMixtures, ...]  # all attempts at them, until the best are chosen
    log_posteriors: np.ndarray  # of these, at the full number of counts; 0 before the first round
    choice: ComponentChoice | None  # from the first block of the refinement on, where it was asked for
    refined: PosedMixtures | None  # from the first block of the refinement on
    reference: PosedMixtures | None  # whose frame the samples are brought into, from the first sample on
    log_posterior: float  # of the refinement
    sums: tuple[DensitySums, ...]  # of every conformation
    memberships: np.ndarray  # (n, conformations) samples in which an image showed a conformation


@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    coarse: Reduced
    fine: Counts
    centres_A: np.ndarray
    group: np.ndarray
    map_box_px: int
    map_pixel_size_A: float

    @property
    def field_A(self) -> float:
        return self.map_box_px * self.map_pixel_size_A


def initial_model_algorithm(
    images: np.ndarray, pixel_size_A: float, settings: InitialModel
) -> Algorithm[State, InitialModelResult]:
    """The algorithm for averages (n, L, L), none negative; errors as :func:`vitreous.mixtures.initial_model`.

    A step is a round of the initial stage for all restarts, or ``steps_between`` steps of the refinement.
    """
    data = _prepare(images, pixel_size_A, settings)
    starts = settings.restarts * attempts_of(data.group)

    def init(seed: int) -> State:
        seeded = replace(settings, seed=seed)
        return State(
            iteration=0,
            restarts=tuple(random_start(data.coarse, seeded, data.group, r) for r in range(starts)),
            log_posteriors=np.zeros(starts),
            choice=None,
            refined=None,
            reference=None,
            log_posterior=0.0,
            sums=(no_samples(data.map_box_px),) * settings.conformations,
            memberships=np.zeros((len(images), settings.conformations)),
        )

    def step(state: State) -> tuple[State, Mapping[str, Any]]:
        if state.iteration < settings.initial_rounds:
            return _initial_step(data, settings, state)
        return _refinement_step(data, settings, state)

    return Algorithm(
        init=init,
        step=step,
        done=lambda state: state.iteration >= settings.steps,
        finalise=lambda state: _finalise(data, settings, state),
    )


def _prepare(images: np.ndarray, pixel_size_A: float, settings: InitialModel) -> _Data:
    averages = checked_averages(images, pixel_size_A)
    if settings.fine_components == "auto":
        held_out_views(len(averages), settings.seed)
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
    def one(restart: int) -> tuple[PosedMixtures, float]:
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


def _refinement_step(data: _Data, settings: InitialModel, state: State) -> tuple[State, Mapping[str, Any]]:
    model, choice = state.refined, state.choice
    if model is None:
        best = state.restarts[int(state.log_posteriors.argmax())]
        components, choice = _components(data, settings, best)
        model = refined_start(best, settings, data.group, components, field_A=data.field_A)
    first = (state.iteration - settings.initial_rounds) * settings.steps_between
    model, log_p = refine_steps(data.fine, model, settings, data.group, first=first, steps=settings.steps_between)
    following = replace(state, iteration=state.iteration + 1, choice=choice, refined=model, log_posterior=log_p)
    if state.iteration >= settings.steps - settings.samples:
        following = _sampled(data, model, following)
    info = {"stage": "refinement", "log_posterior": log_p, "sigma_A": model.mixtures[0].sigma_A}
    return following, info if choice is state.choice else {**info, **tried(choice)}


def _sampled(data: _Data, model: PosedMixtures, state: State) -> State:
    """With one sample more; the first one becomes the reference, in which all conformations have one frame."""
    reference = state.reference or in_one_frame(model, data.group, field_A=data.field_A, hands=(False,))
    aligned = aligned_conformations(model, reference, data.group)
    sums = [add_sample(s, m, data.map_pixel_size_A) for s, m in zip(state.sums, aligned, strict=True)]
    shown = model.labels[:, None] == np.arange(len(sums))
    return replace(state, reference=reference, sums=tuple(sums), memberships=state.memberships + shown)


def _components(data: _Data, settings: InitialModel, best: PosedMixtures) -> tuple[int, ComponentChoice | None]:
    """How many components to refine with, and how that was chosen."""

    def predictor(held_out: np.ndarray) -> Callable[[int], np.ndarray]:
        settled = settled_poses(data.fine, best.part(0), settings, data.group)
        return lambda components: predict_views(
            data.fine, settled, settings, data.group, components=components, held_out=held_out
        )

    return number_of_components(
        settings.fine_components, predictor, images=len(best.labels), seed=settings.seed, threads=settings.threads
    )


def _finalise(data: _Data, settings: InitialModel, state: State) -> InitialModelResult:
    if state.refined is None or state.reference is None:
        raise ValueError(f"the run has not come to the samples of the refinement: iteration {state.iteration}")
    return result_of(
        state.sums,
        mixtures=aligned_conformations(state.refined, state.reference, data.group),
        memberships=state.memberships,
        reference=state.reference,
        starts=state.restarts,
        log_posteriors=state.log_posteriors,
        centres_A=data.centres_A,
        pixel_size_A=data.map_pixel_size_A,
        group=data.group,
        agreement_deg=settings.agreement_deg,
        choice=state.choice,
    )
