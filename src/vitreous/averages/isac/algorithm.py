"""Generations of ISAC: classes that several runs agree on and that are stable are accepted, the rest is tried again.

A generation on the particles that are not accounted for yet:

1. m quasi-independent EQK runs, each from random groups of its own, with one ring more every other pass. Where there
   are many groups, a run begins with a few large ones, which are then split in two until there are as many as wanted;
   images meet the groups near the one that they were in last, so that an image costs as much among many as among few
   (:mod:`vitreous.alignment.kmeans`);
2. classes of the m runs are matched by their common members (:func:`vitreous.alignment.match_classes`);
3. the common members of every match are aligned L times from random beginnings
   (:mod:`vitreous.averages.isac.members`). A match is accepted with those of its members that are stable and seen from
   the same side as most;
4. but for members that are farther from the average of the others than the bulk of all members is
   (:mod:`vitreous.alignment.residuals`).

The test of stability comes after the match, as it then concerns one set for every match in place of m: what is accepted
has to pass both, whichever comes first. Up to here labels and parameters decide alone, as in the original; the fourth
step is new. A particle with a neighbour beside it is as reproducible and stable as one without, and only what the
average leaves of it tells them apart.

Source: Yang, Fang, Chittuluru, Asturias, Penczek, Structure 20 (2012) 237-247; SCIENCE.md section 4.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vitreous.alignment import (
    FEWEST_MEMBERS,
    Groups,
    Near,
    kmeans_pass,
    match_classes,
    near_groups,
    random_sums,
    split_groups,
    standardised,
)
from vitreous.averages.isac.members import JudgedMembers, MemberTest, judged_members
from vitreous.averages.isac.settings import ISAC
from vitreous.matching import (
    FIRST_RINGS,
    Alignments,
    PreparedParticles,
    Sums,
    deal,
    residual_noise,
    resolved_rings,
    ring_limit,
    signal_power,
)

__all__ = ["Accepted", "ISACState", "first_state", "most_steps", "next_state"]

FOLDS = 4
PASSES = 12  # at least; with many groups the runs take more
FEW_GROUPS = 64  # that an image meets all of; a run with more begins with half as many, or a quarter, ...
NEAR_GROUPS = 32  # that an image meets where there are more
SPLIT_EVERY = 2  # passes
LAST_PASSES = 6  # with as many groups as are wanted
MOST_RINGS = 8  # in the runs: about 7 cycles across the particle, at a cost that grows with their fourth power
AHEAD = 2  # rings beyond what the averages resolve
TEST_AHEAD = 4  # rings beyond those of the runs in the test of members: mixtures that align at few rings do not at more
LEAST_SHARE = 0.2  # of a group: common members that a match has to have
ENOUGH = 0.02  # of the particles in a generation: with fewer accepted it is the last one


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What has been accepted so far. n particles, A classes.

    alignments: of all particles, reference -1 where a particle is not accounted for; error_A: (n,) their pixel errors,
    -1 where there is none; residual: (n,) of those that were tested for it, else -1; outlier: (n,) bool; generation,
    class_error_A, mirror_share, common: (A,).
    """

    alignments: Alignments
    error_A: np.ndarray
    residual: np.ndarray
    outlier: np.ndarray
    generation: np.ndarray
    class_error_A: np.ndarray
    mirror_share: np.ndarray
    common: np.ndarray

    @classmethod
    def nothing(cls, n: int) -> "Accepted":
        """At the beginning."""
        none = np.zeros(0)
        return cls(
            alignments=Alignments.unknown(n), error_A=np.full(n, -1.0),
            residual=np.full(n, -1.0), outlier=np.zeros(n, bool), generation=np.zeros(0, np.int64),
            class_error_A=none, mirror_share=none, common=np.zeros(0, np.int64),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ISACState:
    """Everything that a pass hands to the next one.

    passes: of this generation that are done; splits: of the groups that are still to come; parts: of the folds; label:
    (p, m) classes of the p particles of this generation in all runs, after the last pass; finished: nothing new was
    found.
    """

    iteration: int
    seed: int
    generation: int
    passes: int
    splits: int
    rings: int
    parts: tuple[Sums, ...]
    noise_power: torch.Tensor  # (G, R)
    label: np.ndarray
    accepted: Accepted
    finished: bool


def first_state(data: PreparedParticles, settings: ISAC, seed: int) -> ISACState:
    """The beginning of the first generation."""
    noise = data.group_power.clamp_min(torch.finfo(torch.float32).tiny)
    state = ISACState(
        iteration=0, seed=seed, generation=1, passes=0, splits=0, rings=FIRST_RINGS, parts=(), noise_power=noise,
        label=np.zeros((0, settings.runs), np.int64),
        accepted=Accepted.nothing(len(data)), finished=False,
    )  # fmt: skip
    return _begun(state, data, settings)


def _begun(state: ISACState, data: PreparedParticles, settings: ISAC) -> ISACState:
    """A generation before its first pass; the last one where too few particles are left."""
    folds = _folds(state, data)
    pool = sum(map(len, folds))
    if pool < 2 * settings.img_per_grp or state.generation > settings.generations:
        return replace(state, finished=True, parts=())
    splits = _splits(pool // settings.img_per_grp)
    classes = pool // settings.img_per_grp // 2**splits
    parts = random_sums(data, folds, settings.runs, classes, state.noise_power, _own_seed(state))
    return replace(state, passes=0, splits=splits, rings=min(FIRST_RINGS, data.basis.rings), parts=parts)


def _splits(classes: int) -> int:
    """How often the first groups are split in two, so that few make ``classes``."""
    return max(0, math.ceil(math.log2(classes / FEW_GROUPS)))


def _passes(splits: int) -> int:
    """Of a generation whose groups are split so often."""
    return max(PASSES, SPLIT_EVERY * splits + LAST_PASSES)


def most_steps(particles: int, settings: ISAC) -> int:
    """Steps at most: the passes of a generation and its end, in every generation."""
    return (_passes(_splits(particles // settings.img_per_grp)) + 1) * settings.generations


def _own_seed(state: ISACState) -> int:
    return 1000 * state.seed + state.generation


def _folds(state: ISACState, data: PreparedParticles) -> tuple[np.ndarray, ...]:
    """The particles that are neither accounted for nor outliers, in folds."""
    taken = (state.accepted.alignments.reference >= 0) | state.accepted.outlier
    pool = np.flatnonzero(~data.bad & ~taken)
    return deal(pool, FOLDS, _own_seed(state)).folds


def next_state(
    state: ISACState,
    data: PreparedParticles,
    settings: ISAC,
    offset_range_A: float,
    progress: Callable[[int, int], None],
) -> tuple[ISACState, dict[str, Any]]:
    """One pass, or the end of a generation."""
    if state.passes < _passes(_splits(sum(map(len, _folds(state, data))) // settings.img_per_grp)):
        following = _passed(state, data, settings, offset_range_A, progress)
        so_far = int((state.accepted.alignments.reference >= 0).sum())
        return following, {"generation": state.generation, "rings": state.rings, "accepted": so_far}
    accepted, new = _selected(state, data, settings, offset_range_A)
    pool = len(state.label)
    info = {"generation": state.generation, "rings": state.rings, "new_particles": new,
            "accepted": int((accepted.alignments.reference >= 0).sum()), "classes": len(accepted.common)}  # fmt: skip
    ended = replace(state, iteration=state.iteration + 1, generation=state.generation + 1, accepted=accepted)
    if new < max(ENOUGH * pool, FEWEST_MEMBERS):
        return replace(ended, finished=True, parts=()), info
    return _begun(ended, data, settings), info


def _passed(
    state: ISACState,
    data: PreparedParticles,
    settings: ISAC,
    offset_range_A: float,
    progress: Callable[[int, int], None],
) -> ISACState:
    folds = _folds(state, data)
    pool = sum(map(len, folds))
    parts, index, found = kmeans_pass(
        data, folds, state.parts, settings.runs, state.noise_power, offset_range_A, state.rings,
        near=_near(state, data, settings, folds, offset_range_A), progress=lambda done: progress(done, pool),
    )  # fmt: skip
    tau2 = signal_power(parts, data.basis)
    resolved = resolved_rings(parts, tau2[: state.rings])
    most = _most_rings(data, settings)
    wanted = FIRST_RINGS + (state.passes + 1) // 2
    label, splits = found.label, state.splits
    left = _passes(_splits(pool // settings.img_per_grp)) - state.passes - 1
    if splits and left == LAST_PASSES + SPLIT_EVERY * (splits - 1):
        classes, splits = len(parts[0].members) // settings.runs, splits - 1
        parts, label = split_groups(data, folds, index, found, classes, state.noise_power, _own_seed(state))
    return replace(
        state,
        iteration=state.iteration + 1,
        passes=state.passes + 1,
        splits=splits,
        rings=max(min(wanted, max(resolved + AHEAD, FIRST_RINGS), most), 1),
        parts=parts,
        noise_power=residual_noise(state.noise_power, data, tau2, state.rings),
        label=label[np.argsort(index)],
    )


def _near(
    state: ISACState, data: PreparedParticles, settings: ISAC, folds: tuple[np.ndarray, ...], offset_range_A: float
) -> Near | None:
    """The groups that images meet in the next pass; None where they meet all."""
    if len(state.parts[0].members) <= FEW_GROUPS * settings.runs:
        return None
    label = np.full((len(data), settings.runs), -1)
    label[np.sort(np.concatenate(folds))] = state.label
    return near_groups(data, state.parts, label, offset_range_A, state.rings, NEAR_GROUPS)


def _most_rings(data: PreparedParticles, settings: ISAC) -> int:
    return min(ring_limit(data, settings.resolution_limit_A), data.basis.rings, MOST_RINGS)


def _test_rings(state: ISACState, data: PreparedParticles, settings: ISAC) -> int:
    return min(state.rings + TEST_AHEAD, ring_limit(data, settings.resolution_limit_A), data.basis.rings)


def _selected(state: ISACState, data: PreparedParticles, settings: ISAC, offset_range_A: float) -> tuple[Accepted, int]:
    """What is accepted after this generation, and how many particles are new."""
    pool = np.sort(np.concatenate(_folds(state, data)))
    least = max(FEWEST_MEMBERS, round(LEAST_SHARE * settings.img_per_grp))
    matched = match_classes(state.label.T, least=least)
    if len(matched.common) == 0:
        return state.accepted, 0
    label = np.full(len(data), -1)
    label[pool] = matched.label
    groups = Groups.of_labels(label)
    test = MemberTest(
        offset_range_A=offset_range_A, starts=settings.starts, rings=_test_rings(state, data, settings),
        residual_rings=_most_rings(data, settings), seed=_own_seed(state),
    )  # fmt: skip
    tested = judged_members(groups, data, state.noise_power, test)
    return _with_new(state, tested, matched.common, settings, data)


def _with_new(
    state: ISACState, tested: JudgedMembers, common: np.ndarray, settings: ISAC, data: PreparedParticles
) -> tuple[Accepted, int]:
    """Stable matches with their stable members, as further classes; outliers among these are marked."""
    threshold_A = settings.threshold_px * data.preparation.pixel_size_A
    own, accepted, found, far = tested.alignments, state.accepted, tested.stability, tested.far
    member = tested.accepted(threshold_A)
    if not member.any():
        return accepted, 0
    # The bulk is that of all members so far: in the last generations most of what is left may be junk.
    before = accepted.residual[accepted.residual >= 0]
    outlying = np.zeros(len(member), bool)
    outlying[member] = standardised(np.concatenate([far[member], before]))[: member.sum()] > settings.outlier_sd
    size = np.bincount(own.reference[member & ~outlying], minlength=len(common))
    kept = np.flatnonzero(size >= FEWEST_MEMBERS)
    number = np.full(len(common), -1)
    number[kept] = len(accepted.common) + np.arange(len(kept))
    mine = np.flatnonzero(member & ~outlying & (number[own.reference] >= 0))
    new = own.take(mine)
    return Accepted(
        alignments=accepted.alignments.put(replace(new, reference=number[new.reference])),
        error_A=_put(accepted.error_A, new.particle, found.member_error_A[mine]),
        residual=_put(accepted.residual, own.particle[member], far[member]),
        outlier=_put(accepted.outlier, own.particle[outlying], True),
        generation=np.concatenate([accepted.generation, np.full(len(kept), state.generation)]),
        class_error_A=np.concatenate([accepted.class_error_A, found.error_A[kept]]),
        mirror_share=np.concatenate([accepted.mirror_share, found.mirror_share[kept]]),
        common=np.concatenate([accepted.common, common[kept]]),
    ), len(mine)


def _put(old: np.ndarray, index: np.ndarray, value: np.ndarray | bool) -> np.ndarray:
    out = old.copy()
    out[index] = value
    return out
