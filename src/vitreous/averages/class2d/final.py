"""The last pass: every particle once, plain posterior, continuous poses; then the averages from the original pixels.

What noise reaches by being aligned to the same references is taken off the FRC of the classes, and particles that no
reference has seen decide whether there is anything (:mod:`vitreous.matching.noise_test`).
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from vitreous.averages.assigned import Assignment, Progress, finished_classes
from vitreous.averages.class2d.em import BEST_KEEP_NATS, Class2DState, choosing, class_references, offset_sd_px
from vitreous.averages.class2d.settings import Class2D
from vitreous.averages.result import Class2DResult
from vitreous.matching import (
    Dealt,
    Outcome,
    PreparedParticles,
    SearchPlan,
    Sums,
    expect,
    noise_test,
    refined,
    ring_limit,
    stacked,
    survey,
    total,
)
from vitreous.processes import ALONE, Processes, by_process

__all__ = ["assign", "finish"]


def assign(
    state: Class2DState,
    data: PreparedParticles,
    settings: Class2D,
    dealt: Dealt,
    plan: SearchPlan,
    offset_sd: float,
    *,
    processes: Processes = ALONE,
    progress: Callable[[int, int], None] | None = None,
) -> Assignment:
    """Plain posterior of every particle against averages without its own fold; sub-grid poses of its best class."""

    def match(others: Sums, parts: tuple[Sums, ...], index: np.ndarray) -> tuple[Sums, Outcome]:
        references = class_references(others, parts, plan, data, settings, offset_sd)
        sums, outcome = expect(data, index, plan, references, state.noise_power, **choosing(settings))
        return sums, refined(data, index, outcome, references[1], state.noise_power, offset_sd_px=offset_sd)

    everyone = sum(len(index) for _, index in dealt.groups)
    given, index, outcome = survey(
        dealt.groups,
        state.parts,
        match,
        processes=processes,
        progress=None if progress is None else lambda done: progress(done, everyone),
    )
    return Assignment(
        index=index,
        outcome=outcome,
        members=stacked(given, "members").sum(0).cpu().numpy(),
        square_members=stacked(given, "square_members").sum(0).cpu().numpy(),
    )


def finish(
    state: Class2DState,
    data: PreparedParticles,
    settings: Class2D,
    dealt: Dealt,
    offset_range_A: float,
    read: Callable[[np.ndarray], np.ndarray],
    progress: Progress,
    processes: Processes = ALONE,
) -> Class2DResult:
    """The last pass and everything that the user gets."""
    rings = min(state.march.rings, data.basis.rings, ring_limit(data, settings.resolution_limit_A))
    single = settings.choice == "best"
    plan = data.search(rings, offset_range_A, **({"keep": BEST_KEEP_NATS} if single else {}))
    offset_sd = math.inf if single else offset_sd_px(state, data, offset_range_A)
    found = assign(
        state,
        data,
        settings,
        dealt,
        plan,
        offset_sd,
        processes=processes,
        progress=partial(_say, progress, "final pass"),
    )
    every = class_references(total(state.parts), state.parts, plan, data, settings, offset_sd)
    unseen = found.outcome.log_evidence[len(found.index) - len(dealt.held_out) :]
    if single:  # whose evidence is not that of likelihoods, which the test compares
        own = by_process(dealt.held_out, processes)[processes.rank]
        unseen = processes.gather(expect(data, own, plan, every, state.noise_power)[1]).log_evidence
    noise = noise_test(
        data,
        plan,
        every,
        state.noise_power,
        np.concatenate(dealt.folds),
        unseen_evidence=unseen,
        seed=state.seed,
        processes=processes,
    )
    result = finished_classes(
        found,
        data,
        state.parts,
        state.noise_power,
        noise,
        read,
        offset_range_A=offset_range_A,
        seed=state.seed,
        processes=processes,
        progress=progress,
    )
    return replace(result, messages=[*result.messages, *plan.notes])


def _say(progress: Progress, what: str, done: int, of: int) -> None:
    progress(done, of, what)
