"""Multi-reference alignment as an algorithm: passes of K-means with alignment, then the averages that users see.

The model is that of :mod:`vitreous.alignment.kmeans`: an image is the average of its class, turned, shifted and
multiplied by its CTF, plus noise. A pass gives every image to the average that it resembles most, at the best rotation
and shift, and the averages follow fold by fold. Rings are added as in every search (:class:`vitreous.matching.March`).

Where there are many classes, every other pass meets only those near the class that an image was in last
(:func:`vitreous.alignment.near_groups`). The last assignment meets all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vitreous.alignment import (
    Assigned,
    Near,
    even_sizes,
    group_images,
    group_references,
    kmeans_pass,
    near_groups,
    random_sums,
)
from vitreous.averages.assigned import Assignment, Progress, finished_classes
from vitreous.averages.mra.settings import MRA
from vitreous.averages.result import Class2DResult
from vitreous.matching import (
    Alignments,
    Dealt,
    March,
    NoiseTest,
    Outcome,
    PreparedParticles,
    SearchPlan,
    Sums,
    accumulate_at,
    expect,
    noise_test,
    refined,
    residual_noise,
    resolved_rings,
    signal_power,
    stacked,
    survey,
    total,
)

__all__ = ["MRAState", "finish", "first_state", "one_pass"]

MANY_CLASSES, NEAR_CLASSES = 128, 32  # with more than the first, every other pass meets so many only
FULL_EVERY = 2  # passes
ALIVE = 0.1  # of an equal share of the images: with fewer a class counts as dead


@dataclass(frozen=True, kw_only=True)
class MRAState:
    """Everything that a pass hands to the next one. n particles, F folds, K classes."""

    iteration: int
    seed: int
    march: March
    parts: tuple[Sums, ...]  # of the folds
    noise_power: torch.Tensor  # (G, R)
    alignments: Alignments  # of all particles; reference -1: not seen yet
    similarity: np.ndarray  # (n,)


def first_state(data: PreparedParticles, settings: MRA, dealt: Dealt, seed: int) -> MRAState:
    """Random groups of equal size, turned at random: averages that differ by chance."""
    noise = data.group_power.clamp_min(torch.finfo(torch.float32).tiny)
    return MRAState(
        iteration=0,
        seed=seed,
        march=March.start(data.basis.rings),
        parts=random_sums(data, dealt.folds, 1, settings.classes, noise, seed),
        noise_power=noise,
        alignments=Alignments.unknown(len(data)),
        similarity=np.zeros(len(data)),
    )


def _sizes(settings: MRA, dealt: Dealt) -> np.ndarray:
    """Members (F + 1, K) of equal groups in every fold, and among the images that were held out."""
    return even_sizes([len(index) for _, index in dealt.groups], settings.classes)


def one_pass(
    state: MRAState,
    data: PreparedParticles,
    settings: MRA,
    dealt: Dealt,
    offset_range_A: float,
    progress: Callable[[int, int], None],
) -> tuple[MRAState, dict[str, Any]]:
    """Visit every fold once; progress receives (particles done, of how many)."""
    rings, n = state.march.rings, sum(map(len, dealt.folds))
    parts, index, found = kmeans_pass(
        data, dealt.folds, state.parts, 1, state.noise_power, offset_range_A, rings,
        grouping=settings.grouping, sizes=_sizes(settings, dealt), near=_near(state, data, settings, offset_range_A),
        progress=lambda done: progress(done, n),
    )  # fmt: skip
    tau2, label = signal_power(parts, data.basis), found.label[:, 0]
    resolved = resolved_rings(parts, tau2[:rings])
    changed = float((label != state.alignments.reference[index]).mean())
    march = state.march.next(changed=changed, resolved=resolved, most=data.basis.rings)
    own = Alignments.from_shifts(index, label, found.psi_rad[:, 0], found.shift_px[:, 0] * data.pixel_size_A)
    similarity = state.similarity.copy()
    similarity[index] = found.similarity
    following = replace(
        state,
        iteration=state.iteration + 1,
        march=march,
        parts=parts,
        noise_power=residual_noise(state.noise_power, data, tau2, rings),
        alignments=state.alignments.put(own),
        similarity=similarity,
    )
    members, plan = np.bincount(label, minlength=settings.classes), data.search(rings, offset_range_A)
    window_A = data.basis.window_px * data.pixel_size_A
    return following, {
        "log_likelihood": float(found.similarity.mean()),
        "changed_fraction": changed,
        "resolution_A": window_A / max(resolved, 1),
        "search_resolution_A": window_A / rings,
        "rings": rings,
        "psi_step_deg": plan.fine.psi_step_deg,
        "shifts": len(plan.fine.shifts_px),
        "populations": members.tolist(),
        "largest_share": float(members.max() / n),
        "alive_classes": int((members > ALIVE * n / settings.classes).sum()),
        "converged": march.converged,
    }


def _near(state: MRAState, data: PreparedParticles, settings: MRA, offset_range_A: float) -> Near | None:
    """The classes that images meet in the next pass; None where they meet all."""
    if settings.classes <= MANY_CLASSES or state.iteration % FULL_EVERY == 0:
        return None
    label = state.alignments.reference[:, None]
    return near_groups(data, state.parts, label, offset_range_A, state.march.rings, NEAR_CLASSES)


def finish(
    state: MRAState,
    data: PreparedParticles,
    settings: MRA,
    dealt: Dealt,
    offset_range_A: float,
    read: Callable[[np.ndarray], np.ndarray],
    progress: Progress,
) -> Class2DResult:
    """Every image once more, with continuous poses; the test with noise; averages from the original pixels."""
    plan = data.search(min(state.march.rings, data.basis.rings), offset_range_A)
    found = _assign(state, data, settings, dealt, plan, offset_range_A)
    noise = _noise_test(state, data, dealt, plan, offset_range_A)
    result = finished_classes(
        found, data, state.parts, state.noise_power, noise, read,
        offset_range_A=offset_range_A, seed=state.seed, progress=progress,
    )  # fmt: skip
    return replace(result, messages=[*result.messages, *_collapse(result, settings), *plan.notes])


def _assign(
    state: MRAState, data: PreparedParticles, settings: MRA, dealt: Dealt, plan: SearchPlan, offset_range_A: float
) -> Assignment:
    sizes, grouping = _sizes(settings, dealt), settings.grouping
    fold_of = np.full(len(data), len(dealt.folds))  # of those held out
    for f, fold in enumerate(dealt.folds):
        fold_of[fold] = f

    def match(others: Sums, parts: tuple[Sums, ...], index: np.ndarray) -> tuple[Sums, Outcome]:
        references = group_references(others, parts, data, plan, offset_range_A)
        if len(index) == 0:
            return accumulate_at(data, Alignments.unknown(0), settings.classes, state.noise_power), Outcome.of_none()
        assigned, own = group_images(
            data, index, plan, references, 1, state.noise_power, grouping, sizes[fold_of[index[0]]]
        )
        sums = accumulate_at(data, own[0], settings.classes, state.noise_power, rings=plan.fine.rings)
        outcome = refined(
            data, index, _certain(assigned), references[1], state.noise_power,
            offset_sd_px=offset_range_A / 2 / data.pixel_size_A,
        )  # fmt: skip
        return sums, outcome

    given, index, outcome = survey(dealt.groups, state.parts, match, against=grouping.against)
    members = stacked(given, "members").sum(0).cpu().numpy()
    return Assignment(index=index, outcome=outcome, members=members, square_members=members)


def _certain(assigned: Assigned) -> Outcome:
    """A hard assignment: one hypothesis has all the probability."""
    n = len(assigned.label)
    one, none = np.ones(n, np.float32), np.zeros(n, np.float32)
    return Outcome(
        reference=assigned.label[:, 0],
        psi_rad=assigned.psi_rad[:, 0].astype(np.float32),
        shift_px=assigned.shift_px[:, 0].astype(np.float32),
        max_probability=one,
        class_probability=one,
        next_probability=none,
        entropy=none,
        significant=np.ones(n, np.int64),
        log_evidence=assigned.similarity,
        contenders=np.zeros((n, 0), np.uint8),
    )


def _noise_test(
    state: MRAState, data: PreparedParticles, dealt: Dealt, plan: SearchPlan, offset_range_A: float
) -> NoiseTest:
    """Images that no average has seen against noise, by likelihood whatever the score."""
    references = group_references(total(state.parts), state.parts, data, plan, offset_range_A)
    _, unseen = expect(data, dealt.held_out, plan, references, state.noise_power)
    return noise_test(
        data, plan, references, state.noise_power, np.concatenate(dealt.folds),
        unseen_evidence=unseen.log_evidence, seed=state.seed,
    )  # fmt: skip


def _collapse(result: Class2DResult, settings: MRA) -> list[str]:
    """What is said when classes have died."""
    share = ALIVE * result.population.sum() / settings.classes
    dead = int((result.population < share).sum())
    if dead < max(1, settings.classes // 10):
        return []
    largest = 100 * result.population.max() / result.population.sum()
    cure = "equal groups, or the score coefficient" if settings.score != "coefficient" else "equal groups"
    return [
        f"{dead} of {settings.classes} classes have collapsed (fewer than a tenth of an equal share of the images each)"
        f", and the largest has {largest:.0f} % of all; {cure} prevents that."
    ]
