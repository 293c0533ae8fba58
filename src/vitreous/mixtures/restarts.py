"""Restarts, of which the best is refined and sampled: the algorithm behind the initial models of all noise models.

Rounds bring all restarts from random mixtures and poses to where they can be ranked. The best one goes on with more
components, and after a burn-in its samples, brought into one frame, give the posterior mean and variance on a grid.
What the chain of a method is (``C``) and how it moves is its :class:`RestartSampler`; everything else is here. Several
attempts may compete for a restart: they follow each other in the list of chains until the best are chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.matching.workers import ordered_map
from vitreous.mixtures.choose_components import ComponentChoice, number_of_components, tried
from vitreous.mixtures.common_frame import in_one_frame
from vitreous.mixtures.conformation_agreement import compare_conformations
from vitreous.mixtures.conformations import PosedMixtures
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.posterior_maps import (
    DensitySums,
    add_sample,
    aligned_conformations,
    no_samples,
    posterior_variance,
)
from vitreous.models import Conformation, InitialModelResult
from vitreous.particles import Volume
from vitreous.rotations import Agreement

__all__ = ["RestartSampler", "RestartsPlan", "RestartsState", "best_attempts", "restarts_algorithm"]

C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class RestartsState(Generic[C]):
    """Everything that survives a step."""

    iteration: int
    seed: int  # of everything random from here on
    restarts: tuple[C, ...]  # all attempts at them, until the best are chosen
    log_posteriors: np.ndarray  # of these, by which they are ranked; 0 before the first round
    choice: ComponentChoice | None  # from the first block of the refinement on, where it was asked for
    refined: C | None  # from the first block of the refinement on
    reference: PosedMixtures | None  # whose frame the samples are brought into, from the first sample on
    log_posterior: float  # of the refinement
    sums: tuple[DensitySums, ...]  # of every conformation
    memberships: np.ndarray  # (n, conformations) samples in which an image showed a conformation


@dataclass(frozen=True, kw_only=True, eq=False)
class RestartSampler(Generic[C]):
    """How the chains of a method move. What these functions return depends on their arguments alone.

    The chain always comes first, then the seed; restarts, rounds, blocks and samples are numbered from 0.
    """

    start: Callable[[int, int], C]  # (seed, restart)
    round: Callable[[C, int, int, int], C]  # (chain, seed, restart, round)
    rank: Callable[[C], float]  # log posterior, comparable between restarts
    refine_start: Callable[[C, int, int], C]  # (best chain, seed, components)
    block: Callable[[C, int, int, int], tuple[C, float, Mapping[str, Any]]]
    # (chain, seed, block, sample, negative before the first one) -> (chain, log posterior, what else is logged)
    predictor: Callable[[C, int, np.ndarray], Callable[[int], np.ndarray]]
    # (best chain, seed, images held out (n,) bool) -> what choose_components asks
    posed: Callable[[C], PosedMixtures]  # the mixtures and poses of a chain


@dataclass(frozen=True, kw_only=True, eq=False)
class RestartsPlan:
    """How many of everything, and where the n images and the map lie."""

    restarts: int
    attempts: int  # that compete for a restart
    judged_after: int  # rounds, after which the best attempts are chosen
    rounds: int
    burn_in_blocks: int
    samples: int
    components: int | str  # of the refinement, or "auto"
    conformations: int
    agreement_deg: float
    group: np.ndarray  # (g, 3, 3)
    centres_A: np.ndarray  # (n, 2) where the images were centred
    map_box_px: int
    map_pixel_size_A: float

    @property
    def field_A(self) -> float:
        """Side of the map."""
        return self.map_box_px * self.map_pixel_size_A

    @property
    def first_sample(self) -> int:
        """The iteration that takes it."""
        return self.rounds + self.burn_in_blocks


def restarts_algorithm(
    sampler: RestartSampler[C], plan: RestartsPlan, *, threads: int
) -> Algorithm[RestartsState[C], InitialModelResult[Mixture]]:
    """A step is a round for all restarts (``threads`` at a time), or a block of the refinement."""
    starts = plan.restarts * plan.attempts

    def init(seed: int) -> RestartsState[C]:
        return RestartsState(
            iteration=0,
            seed=seed,
            restarts=tuple(sampler.start(seed, restart) for restart in range(starts)),
            log_posteriors=np.zeros(starts),
            choice=None,
            refined=None,
            reference=None,
            log_posterior=0.0,
            sums=(no_samples(plan.map_box_px),) * plan.conformations,
            memberships=np.zeros((len(plan.centres_A), plan.conformations)),
        )

    def step(state: RestartsState[C]) -> tuple[RestartsState[C], Mapping[str, Any]]:
        if state.iteration < plan.rounds:
            return _round(sampler, plan, state, threads)
        return _refine(sampler, plan, state, threads)

    return Algorithm(
        init=init,
        step=step,
        done=lambda state: state.iteration >= plan.first_sample + plan.samples,
        finalise=lambda state: _finalise(sampler, plan, state),
    )


def best_attempts(log_posteriors: Sequence[float], restarts: int) -> np.ndarray:
    """The index of the best attempt at every restart: (restarts,); attempts at one restart follow each other."""
    table = np.asarray(log_posteriors).reshape(restarts, -1)
    return np.arange(restarts) * table.shape[1] + table.argmax(axis=1)


def _round(
    sampler: RestartSampler[C], plan: RestartsPlan, state: RestartsState[C], threads: int
) -> tuple[RestartsState[C], Mapping[str, Any]]:
    def one(restart: int) -> tuple[C, float]:
        chain = sampler.round(state.restarts[restart], state.seed, restart, state.iteration)
        return chain, sampler.rank(chain)

    chains, log_p = zip(*ordered_map(one, range(len(state.restarts)), threads), strict=True)
    best, iteration = best_attempts(log_p, plan.restarts), state.iteration + 1
    shown = [log_p[i] for i in best]
    if iteration == plan.judged_after:
        chains, log_p = tuple(chains[i] for i in best), tuple(shown)
    following = replace(state, iteration=iteration, restarts=chains, log_posteriors=np.array(log_p))
    return following, {"stage": "initial", "log_posterior": max(shown), "log_posteriors": shown}


def _refine(
    sampler: RestartSampler[C], plan: RestartsPlan, state: RestartsState[C], threads: int
) -> tuple[RestartsState[C], Mapping[str, Any]]:
    chain, choice = state.refined, state.choice
    if chain is None:
        best = state.restarts[int(state.log_posteriors.argmax())]
        components, choice = number_of_components(
            plan.components,
            lambda held_out: sampler.predictor(best, state.seed, held_out),
            images=len(plan.centres_A),
            seed=state.seed,
            threads=threads,
        )
        chain = sampler.refine_start(best, state.seed, components)
    sample = state.iteration - plan.first_sample
    chain, log_p, more = sampler.block(chain, state.seed, state.iteration - plan.rounds, sample)
    following = replace(state, iteration=state.iteration + 1, choice=choice, refined=chain, log_posterior=log_p)
    posed = sampler.posed(chain)
    if sample >= 0:
        following = _sampled(plan, posed, following)
    info = {"stage": "refinement", "log_posterior": log_p, "sigma_A": posed.mixtures[0].sigma_A, **more}
    return following, info if choice is state.choice else {**info, **tried(choice)}


def _sampled(plan: RestartsPlan, model: PosedMixtures, state: RestartsState[C]) -> RestartsState[C]:
    """With one sample more; the first one becomes the reference, in which all conformations have one frame."""
    reference = state.reference or in_one_frame(model, plan.group, field_A=plan.field_A, hands=(False,))
    aligned = aligned_conformations(model, reference, plan.group)
    sums = [add_sample(s, m, plan.map_pixel_size_A) for s, m in zip(state.sums, aligned, strict=True)]
    shown = model.labels[:, None] == np.arange(len(sums))
    return replace(state, reference=reference, sums=tuple(sums), memberships=state.memberships + shown)


def _finalise(sampler: RestartSampler[C], plan: RestartsPlan, state: RestartsState[C]) -> InitialModelResult[Mixture]:
    if state.refined is None or state.reference is None:
        raise ValueError(f"the run has not come to the samples of the refinement: iteration {state.iteration}")
    best, starts = int(state.log_posteriors.argmax()), [sampler.posed(chain) for chain in state.restarts]

    def compare(first: PosedMixtures, second: PosedMixtures) -> Agreement:
        return compare_conformations(first, second, group=plan.group, within_deg=plan.agreement_deg)

    probabilities = state.memberships / state.memberships.sum(axis=1, keepdims=True)
    order = np.argsort(-probabilities.mean(axis=0), kind="stable")
    return InitialModelResult(
        conformations=_conformations(plan, state, sampler.posed(state.refined), probabilities, order),
        labels=probabilities[:, order].argmax(axis=1),
        label_probabilities=probabilities[:, order],
        rotations=state.reference.rotations,
        origins_A=-(state.reference.offsets_A + plan.centres_A),
        scores=state.log_posteriors,
        score="log posterior",
        best=best,
        agreements=tuple(compare(start, starts[best]) for start in starts),
        poses_kept=compare(starts[best], state.reference),
    )


def _conformations(
    plan: RestartsPlan, state: RestartsState[C], model: PosedMixtures, probabilities: np.ndarray, order: np.ndarray
) -> tuple[Conformation[Mixture], ...]:
    """Maps of the posterior, and the last sample in their frame."""
    assert state.reference is not None
    mixtures, populations = aligned_conformations(model, state.reference, plan.group), probabilities.mean(axis=0)

    def volume(values: np.ndarray) -> Volume:
        return Volume(data=values, pixel_size_A=plan.map_pixel_size_A)

    return tuple(
        Conformation(
            mean=volume(state.sums[c].mean),
            variance=volume(posterior_variance(state.sums[c])),
            mixture=mixtures[c],
            population=float(populations[c]),
        )
        for c in order
    )
