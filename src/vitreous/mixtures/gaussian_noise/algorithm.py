"""The initial model under Gaussian noise as an iterative algorithm: rounds of all restarts, then refinement."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.matching.workers import ordered_map
from vitreous.mixtures.choose_components import ComponentChoice, held_out_views, number_of_components, tried
from vitreous.mixtures.conformations import single
from vitreous.mixtures.gaussian_noise.held_out import predict_views, settled_poses
from vitreous.mixtures.gaussian_noise.moves import Sampler
from vitreous.mixtures.gaussian_noise.noisy_stages import (
    Chain,
    anneal_round,
    random_start,
    ranking_log_posterior,
    refine_block,
    refined_start,
    settled_steps,
)
from vitreous.mixtures.gaussian_noise.prepare import centred, checked_noisy_averages, default_noise_prior, reduced
from vitreous.mixtures.gaussian_noise.settings import GaussianInitialModel
from vitreous.mixtures.gibbs_projections import PosedMixture
from vitreous.mixtures.poisson_poses.result import InitialModelResult, result_of
from vitreous.mixtures.posterior_maps import DensitySums, add_sample, aligned_mixture, no_samples
from vitreous.rotations import symmetry_matrices

__all__ = ["GaussianState", "gaussian_initial_model_algorithm"]

_SMALLEST_BOX_PX = 12


@dataclass(frozen=True, kw_only=True)
class GaussianState:
    """Everything that survives a step."""

    iteration: int
    restarts: tuple[Chain, ...]
    log_posteriors: np.ndarray  # (restarts,) at power 1; 0 before the first round
    choice: ComponentChoice | None  # from the first block of the refinement on, where it was asked for
    refined: Chain | None  # from the first block of the refinement on
    reference: PosedMixture | None  # whose frame the samples are brought into, from the first sample on
    log_posterior: float  # of the refinement
    sums: DensitySums


@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    grids: tuple[Sampler, ...]  # of the initial stage, from few pixels to many
    fine: Sampler
    centres_A: np.ndarray
    group: np.ndarray
    map_box_px: int
    map_pixel_size_A: float


def gaussian_initial_model_algorithm(
    images: np.ndarray, pixel_size_A: float, settings: GaussianInitialModel, *, ctf: np.ndarray | None = None
) -> Algorithm[GaussianState, InitialModelResult]:
    """The algorithm for averages (n, L, L) of any sign; errors as :func:`vitreous.mixtures.gaussian_initial_model`.

    ``ctf`` (n, L, L // 2 + 1), in the rfft layout, belongs to averages that were not corrected for it. A step is a
    round of the initial stage for all restarts, or ``steps_between`` sweeps of the refinement.
    """
    data = _prepare(images, pixel_size_A, settings, ctf)

    def init(seed: int) -> GaussianState:
        seeded = replace(settings, seed=seed)
        return GaussianState(
            iteration=0,
            restarts=tuple(random_start(data.grids[0], seeded, r) for r in range(settings.restarts)),
            log_posteriors=np.zeros(settings.restarts),
            choice=None,
            refined=None,
            reference=None,
            log_posterior=0.0,
            sums=no_samples(data.map_box_px),
        )

    def step(state: GaussianState) -> tuple[GaussianState, Mapping[str, Any]]:
        if state.iteration < settings.rounds:
            return _initial_step(data, settings, state)
        return _refinement_step(data, settings, state)

    return Algorithm(
        init=init,
        step=step,
        done=lambda state: state.iteration >= settings.steps,
        finalise=lambda state: _finalise(data, settings, state),
    )


def _prepare(images: np.ndarray, pixel_size_A: float, settings: GaussianInitialModel, ctf: np.ndarray | None) -> _Data:
    whole, centres = centred(checked_noisy_averages(images, pixel_size_A, ctf))
    if settings.fine_components == "auto":
        held_out_views(len(whole), settings.seed)
    group = symmetry_matrices(settings.symmetry).numpy()
    prior = default_noise_prior(reduced(whole, settings.box_px), settings.offset_sd_A)
    map_box = min(settings.map_box_px, whole.box_px)
    boxes = sorted({max(settings.box_px // 2, _SMALLEST_BOX_PX), settings.box_px})
    return _Data(
        grids=tuple(Sampler(data=reduced(whole, box), prior=prior, group=group) for box in boxes),
        fine=Sampler(data=reduced(whole, settings.fine_box_px), prior=prior, group=group, threads=settings.threads),
        centres_A=centres,
        group=group,
        map_box_px=map_box,
        map_pixel_size_A=pixel_size_A * whole.box_px / map_box,
    )


def _initial_step(
    data: _Data, settings: GaussianInitialModel, state: GaussianState
) -> tuple[GaussianState, Mapping[str, Any]]:
    def one(restart: int) -> tuple[Chain, float]:
        chain = anneal_round(data.grids, state.restarts[restart], settings, restart=restart, round_=state.iteration)
        return chain, ranking_log_posterior(data.grids[-1], chain.model)

    chains, log_p = zip(*ordered_map(one, range(settings.restarts), settings.threads), strict=True)
    following = replace(state, iteration=state.iteration + 1, restarts=chains, log_posteriors=np.array(log_p))
    return following, {"stage": "initial", "log_posterior": max(log_p), "log_posteriors": list(log_p)}


def _refinement_step(
    data: _Data, settings: GaussianInitialModel, state: GaussianState
) -> tuple[GaussianState, Mapping[str, Any]]:
    """One block. Step sizes are adapted before the first sample, settle then, and stay."""
    block = state.iteration - settings.rounds
    sampling, first_sample = block >= settings.burn_in_blocks, settings.steps - settings.samples
    chain, choice = state.refined, state.choice
    if chain is None:
        best = state.restarts[int(state.log_posteriors.argmax())]
        components, choice = _components(data, settings, best)
        chain = refined_start(best, data.fine, settings, components)
    if state.iteration == first_sample:
        chain = replace(chain, steps=settled_steps(chain.steps))
    chain, accepted = refine_block(data.fine, chain, settings, block=block, adapt=not sampling)
    log_p = ranking_log_posterior(data.fine, chain.model)
    posed, sums, reference = chain.model.posed, state.sums, state.reference
    if sampling:
        reference = reference or posed
        sums = add_sample(sums, aligned_mixture(posed, reference, data.group), data.map_pixel_size_A)
    following = replace(
        state,
        iteration=state.iteration + 1,
        choice=choice,
        refined=chain,
        reference=reference,
        log_posterior=log_p,
        sums=sums,
    )
    info = {"stage": "refinement", "log_posterior": log_p, "sigma_A": posed.mixture.sigma_A, "acceptance": accepted}
    return following, info if choice is state.choice else {**info, **tried(choice)}


def _components(data: _Data, settings: GaussianInitialModel, best: Chain) -> tuple[int, ComponentChoice | None]:
    """How many components to refine with, and how that was chosen."""

    def predictor(held_out: np.ndarray) -> Callable[[int], np.ndarray]:
        settled = settled_poses(data.fine, best, settings)
        return lambda components: predict_views(data.fine, settled, settings, components=components, held_out=held_out)

    return number_of_components(
        settings.fine_components, predictor, images=len(data.fine.data), seed=settings.seed, threads=settings.threads
    )


def _finalise(data: _Data, settings: GaussianInitialModel, state: GaussianState) -> InitialModelResult:
    if state.refined is None or state.reference is None:
        raise ValueError(f"the run has not come to the samples of the refinement: iteration {state.iteration}")
    return result_of(
        (state.sums,),
        mixtures=(aligned_mixture(state.refined.model.posed, state.reference, data.group),),
        memberships=np.ones((len(data.centres_A), 1)),
        reference=single(state.reference),
        starts=[single(chain.model.posed) for chain in state.restarts],
        log_posteriors=state.log_posteriors,
        centres_A=data.centres_A,
        pixel_size_A=data.map_pixel_size_A,
        group=data.group,
        agreement_deg=settings.agreement_deg,
        choice=state.choice,
    )
