"""What decides between starts, and what the user gets: held-out evidence, agreement, poses of all particles, maps.

Particles that no start has used are matched against the volumes of every start, all at the same resolution with the
plain posterior. Their evidence ranks the starts, and their poses say whether two starts have found one structure: one
rotation must take the poses of the one to those of the other, over both hands, for more of them than by chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import softmax

from vitreous.matching import (
    KEEP_NATS,
    Dealt,
    NoiseTest,
    Outcome,
    PreparedParticles,
    References,
    expect,
    noise_test,
    refined,
    survey,
    total,
)
from vitreous.processes import ALONE, Processes
from vitreous.rotations import Agreement, compare_poses
from vitreous.structures.abinitio.em import Search, StartState, match_fold, poses_of, search_at, start_references
from vitreous.structures.abinitio.maps import at_particle_size
from vitreous.structures.abinitio.relaxed import FoundGroup, group_of_maps, symmetry_messages
from vitreous.structures.abinitio.result import AbinitioResult, StartSummary
from vitreous.structures.abinitio.settings import AUTO, Abinitio
from vitreous.structures.abinitio.statistics import FoldSums, densities, volume_power
from vitreous.structures.abinitio.views import one_view_message
from vitreous.structures.poses import Poses

__all__ = ["finish"]

AGREEMENT_STEPS = 2.5  # of the grid of directions, within which two poses are the same
MOST_COMPARED = 2400  # poses times members of the point group
CLOSE_SIGMAS = 2.0  # evidence of starts that are as good as the best one
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Posed(Outcome):
    """Outcomes with the posterior of the volumes, (n, K)."""

    volume_posterior: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Unseen:
    """Held-out particles against the volumes of a start."""

    log_evidence: np.ndarray
    poses: Poses
    search: Search


def finish(
    starts: Sequence[StartState],
    data: PreparedParticles,
    settings: Abinitio,
    dealt: Dealt,
    offset_range_A: float,
    progress: Progress,
    processes: Processes = ALONE,
) -> AbinitioResult:
    """Rank the starts, then pose every particle in the frame of the best one."""
    rings = max(start.schedule.rings for start in starts)
    unseen = []
    for i, start in enumerate(starts):
        unseen.append(_match_unseen(start, data, settings, dealt, offset_range_A, rings, processes))
        progress(i + 1, len(starts), "comparing starts")
    best = int(np.argmax([found.log_evidence.mean() for found in unseen]))
    summaries = tuple(
        _summary(start, found, unseen[best], settings) for start, found in zip(starts, unseen, strict=True)
    )
    chosen, search = starts[best], unseen[best].search
    noise = noise_test(
        data,
        search.plan,
        start_references(data, settings, search, total(chosen.parts), chosen.parts),
        chosen.noise_power,
        np.concatenate(dealt.folds)[: len(dealt.held_out)],  # as many noise images as there are unseen ones
        unseen_evidence=unseen[best].log_evidence,
        seed=chosen.seed,
        processes=processes,
    )
    everyone = sum(len(index) for _, index in dealt.groups)

    def match(others: FoldSums, parts: tuple[FoldSums, ...], index: np.ndarray) -> tuple[FoldSums, Posed]:
        own, outcome, references = match_fold(chosen, data, settings, search, others, parts, index)
        posterior = _volume_posterior(data, search, references, index, chosen.noise_power, settings.volumes)
        finer = refined(data, index, outcome, references, chosen.noise_power, offset_sd_px=search.offset_sd_px)
        return own, Posed(**vars(finer), volume_posterior=posterior)

    given, index, outcome = survey(
        dealt.groups,
        chosen.parts,
        match,
        processes=processes,
        progress=lambda done: progress(done, everyone, "posing all particles"),
    )
    return _result(chosen, data, settings, search, given, index, outcome, summaries, best, noise)


def _match_unseen(
    start: StartState,
    data: PreparedParticles,
    settings: Abinitio,
    dealt: Dealt,
    offset_range_A: float,
    rings: int,
    processes: Processes,
) -> _Unseen:
    search = search_at(start, data, settings, offset_range_A, rings=rings, keep=KEEP_NATS, purpose=("final",))

    def match(others: FoldSums, parts: tuple[FoldSums, ...], index: np.ndarray) -> tuple[FoldSums, Outcome]:
        return match_fold(start, data, settings, search, others, parts, index)[:2]

    _, index, outcome = survey([(None, dealt.held_out)], start.parts, match, processes=processes)
    order = np.argsort(index)
    poses = poses_of(outcome, index, search, data, settings)
    return _Unseen(log_evidence=outcome.log_evidence[order], poses=poses.take(order), search=search)


def _volume_posterior(
    data: PreparedParticles,
    search: Search,
    references: References,
    index: np.ndarray,
    noise_power: torch.Tensor,
    volumes: int,
) -> np.ndarray:
    """Posterior probabilities (n, K) of volumes: the evidence of an image for the slices of each of them."""
    if volumes == 1 or len(index) == 0:
        return np.ones((len(index), volumes), np.float32)
    each, evidence = references.count // volumes, []
    for k in range(volumes):
        mine = references.take(slice(k * each, (k + 1) * each))
        _, outcome = expect(data, index, replace(search.plan, coarse=None), (None, mine), noise_power)
        evidence.append(outcome.log_evidence)
    return np.asarray(softmax(np.stack(evidence, 1), axis=1), np.float32)


def _summary(start: StartState, found: _Unseen, best: _Unseen, settings: Abinitio) -> StartSummary:
    behind = best.log_evidence - found.log_evidence
    return StartSummary(
        evidence=float(found.log_evidence.mean()),
        error=float(behind.std() / np.sqrt(len(behind))),
        passes=start.passes,
        particles=start.seen,
        settled=start.schedule.settled,
        agreement=_agreement(found, best),
        symmetry=start.symmetry,
        group=start.group,
    )


def _agreement(found: _Unseen, best: _Unseen) -> Agreement:
    """Poses are the same but for the larger of the two groups that the starts have ended with."""
    if len(found.search.group) >= len(best.search.group):
        return agreement_of(found.poses, best.poses, found.search)
    return agreement_of(best.poses, found.poses, best.search)


def agreement_of(poses: Poses, others: Poses, search: Search) -> Agreement:
    """Of poses with others of the same particles, each volume with the one that it agrees with best."""
    group = search.group.numpy()
    few = slice(0, max(20, MOST_COMPARED // len(group)))
    poses, others = poses.take(few), others.take(few)
    count = 1 + max(poses.volume.max(initial=0), others.volume.max(initial=0))
    found: dict[tuple[int, int], tuple[np.ndarray, Agreement]] = {}
    agreeing = np.zeros((count, count))
    for k in range(count):
        for j in range(count):
            rows = np.flatnonzero((poses.volume == k) & (others.volume == j))
            if len(rows):
                one = compare_poses(
                    poses.rotation[rows],
                    others.rotation[rows],
                    group=group,
                    within_deg=AGREEMENT_STEPS * search.step_deg,
                    chance=True,
                )
                found[k, j] = rows, one
                agreeing[k, j] = one.agrees.sum()
    from scipy.optimize import linear_sum_assignment  # here: it takes a tenth of a second of every start

    pairs = [found[k, j] for k, j in zip(*linear_sum_assignment(-agreeing), strict=True) if (k, j) in found]
    agrees = np.zeros(len(poses), bool)
    for rows, one in pairs:
        agrees[rows] = one.agrees
    largest = max(pairs, key=lambda pair: pair[1].agrees.sum())[1]
    by_chance = sum(len(rows) * one.chance for rows, one in pairs) / max(1, len(poses))
    return Agreement(
        fraction=float(agrees.mean()),
        other_hand=largest.other_hand,
        rotation=largest.rotation,
        agrees=agrees,
        chance=by_chance,
    )


def _result(
    start: StartState,
    data: PreparedParticles,
    settings: Abinitio,
    search: Search,
    given: Sequence[FoldSums],
    index: np.ndarray,
    outcome: Posed,
    summaries: tuple[StartSummary, ...],
    best: int,
    noise: NoiseTest,
) -> AbinitioResult:
    """The result with volumes in the order of their population."""
    n, poses = len(data), poses_of(outcome, index, search, data, settings)
    population = np.bincount(poses.volume, minlength=settings.volumes)
    order = np.argsort(-population, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    parts = given[: len(start.parts)]
    tau2 = settings.tau2_fudge * volume_power(parts, search.points.rings)
    maps = densities(total(given), data.basis, tau2)

    def spread(values: np.ndarray) -> np.ndarray:
        out = np.zeros(n)
        out[index] = values
        return out

    window_A = data.basis.window_px * data.pixel_size_A
    ranked = Poses(particle=poses.particle, volume=rank[poses.volume], rotation=poses.rotation, origin_A=poses.origin_A)
    return AbinitioResult(
        volumes=tuple(at_particle_size(maps[k], data) for k in order.tolist()),
        symmetry=start.symmetry,
        particle_diameter_A=data.preparation.particle_diameter_A,
        resolution_A=window_A / search.points.rings,
        direction_step_deg=search.step_deg,
        poses=Poses.unknown(n).put(ranked),
        volume_probability=spread(outcome.volume_posterior[np.arange(len(index)), poses.volume]),
        max_probability=spread(outcome.max_probability),
        log_evidence=spread(outcome.log_evidence),
        population=population[order] / population.sum(),
        starts=summaries,
        best=best,
        found_signal=noise.found_signal,
        messages=[
            *_messages(summaries, best, noise, data, population[order]),
            *(one_view_message(poses.rotation, start.symmetry) if noise.found_signal else ()),
            *symmetry_messages(_group(start, summaries, data, settings), [one.symmetry for one in summaries], settings),
        ],
    )


def _group(
    start: StartState, summaries: tuple[StartSummary, ...], data: PreparedParticles, settings: Abinitio
) -> FoundGroup | None:
    """The clearest sight of the group among starts that agree with the best one and ended with it.

    Without a group, what the map has where poses did not come to rest.
    """
    seen = [one.group for one in summaries if one.agrees and one.symmetry == start.symmetry and one.group is not None]
    if seen:
        return max(seen, key=lambda group: group.merit)
    if start.schedule.settled or not start.schedule.decided:
        return None
    return group_of_maps(start.parts, data, replace(settings, symmetry=AUTO), start.schedule.rings, start.passes)[0]


def _messages(
    starts: tuple[StartSummary, ...], best: int, noise: NoiseTest, data: PreparedParticles, population: np.ndarray
) -> list[str]:
    lines = []
    if not noise.found_signal:
        lines.append(
            "Nothing was found: particles that no start has used match the volumes no better than pure noise does "
            f"({noise.excess:+.2f} nats per image, {noise.sigmas:.1f} standard errors); the maps are aligned noise."
        )
    if not starts[best].settled:
        lines.append(
            f"Not finished: the best start was still moving after {starts[best].passes} passes; allow more passes "
            "(--iterations), more particles or a coarser resolution limit."
        )
    if len(starts) > 1 and sum(start.agrees for start in starts) == 1:
        close = [
            i + 1
            for i, start in enumerate(starts)
            if i != best and starts[best].evidence - start.evidence < CLOSE_SIGMAS * start.error
        ]
        which = f"start{'s' * (len(close) > 1)} {', '.join(map(str, close))}" if close else ""
        as_good = f"; {which} explained unseen particles as well by another structure" if close else ""
        lines.append(
            f"Not reproducible: no other start agrees with the best one{as_good}. Try more starts, more particles, or "
            "another symmetry."
        )
    if data.bad.any():
        lines.append(f"{int(data.bad.sum())} particles were refused (NaN, infinite or constant) and have no pose.")
    empty = int((population == 0).sum())
    if empty:
        lines.append(f"{empty} volume{'s' * (empty > 1)} got no particles.")
    return lines
