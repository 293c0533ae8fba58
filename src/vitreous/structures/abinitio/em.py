"""Maximum a-posteriori structures from particles of unknown pose, by cross-validated incremental EM.

Model: an image is ``X = C S(o) P(G) V_k + N`` (SCIENCE.md section 1) with volume k, pose G and origin o unknown.
Priors: volumes by their members, all directions alike, Gaussian origins, Gaussian volumes of power tau^2(ring) (section
10). EM starts from random poses. Slices of the volumes along D directions are the references of the matching core, so
a pass is that of a 2D classification whose "classes" are tied together by the volumes that they are slices of.

One pass visits the folds of the particles in turn. Those of a fold meet volumes of all other folds, and their sums then
replace those of the fold's last visit (incremental EM: Neal and Hinton 1998), so that volumes improve F times per pass
and no particle ever meets its own noise. tau^2 is the cross power of even and odd folds, which noise does not bias.

Four things lead away from the random start: the posterior is sharpened, to the power 3 and less and less; the grid of
directions turns at random in every pass, so that no particle can rest on a grid point; passes see different particles
where a part of them suffices, so that a wrong structure is not held by the poses that made it; and resolution marches
ring by ring: what is found at few rings cannot be a detail. The width of the prior on origins is half of the range
(particles may be anywhere within it), and is learnt at the last rings alone where images decide their views
(:mod:`.origins`). It never falls below a third of the range, since too wide a prior does no harm.
Symmetry is imposed on the sums when the structure has been found without it (:mod:`.relaxed`); directions are then
searched within one asymmetric unit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from vitreous.matching import (
    Alignments,
    Outcome,
    PreparedParticles,
    References,
    SearchPlan,
    accumulate_at,
    expect,
    residual_noise,
    soft,
    stacked,
    total,
    visit,
)
from vitreous.processes import ALONE, Processes, by_process
from vitreous.randomness import uniforms
from vitreous.rotations import symmetry_matrices
from vitreous.structures.abinitio.ascent import Ascent
from vitreous.structures.abinitio.directions import direction_step_deg, directions_for, slice_matrices
from vitreous.structures.abinitio.origins import VIEWS_NATS, learnt_offset_sd_A, spherical_evidence
from vitreous.structures.abinitio.relaxed import FoundGroup, group_of_maps, impose, is_clear, time_to_look
from vitreous.structures.abinitio.schedule import Schedule, particles_of_pass, sharpness_of
from vitreous.structures.abinitio.settings import Abinitio
from vitreous.structures.abinitio.statistics import (
    FoldSums,
    densities,
    fold_sums,
    slices_of,
    volume_power,
    volume_references,
)
from vitreous.structures.poses import Poses
from vitreous.volumes import RingPoints

__all__ = [
    "Search",
    "StartState",
    "match_fold",
    "new_start",
    "next_state",
    "offset_sd_px",
    "one_pass",
    "poses_of",
    "search_at",
    "start_references",
    "with_symmetry",
]

FIRST_STEP_DEG = 20.0  # of the directions that first poses are drawn from
KEEP_NATS = 6.0  # below the best hypothesis, over the sharpness: what is dropped hardly adds to a sharpened posterior
MOVED_STEPS = 2.0  # a pose has moved when it turned by more than so many steps of the grid
REACH_STEPS, REACH_SD = 1.2, 1.9  # shifts that are searched: the nearest ones, and those that particles have
LEAST_STEP = 0.75  # working pixels, of the grid of shifts
FIRST_SD = 1 / 2  # of the range: width of the prior on origins until it is learnt


@dataclass(frozen=True, kw_only=True)
class StartState:
    """One random start. n particles, F folds.

    parts: statistics of the folds, with room for all rings; noise_power: (G, R); offset_sd_A: per axis, 0 before it has
    been estimated; poses: of all particles, volume -1 where not seen yet; moved: share of poses that the last pass
    moved; seen: particles of the last pass; symmetry: the point group in force, C1 until one is imposed; group: what
    was found when the axes were looked for last.
    """

    seed: int
    passes: int
    schedule: Schedule
    parts: tuple[FoldSums, ...]
    noise_power: torch.Tensor
    offset_sd_A: float
    poses: Poses
    moved: float
    seen: int
    ended: bool
    ascent: Ascent | None = None
    symmetry: str = "C1"
    group: FoundGroup | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """What particles are matched against: slices of K volumes at matrices (D, 3, 3), and the grid of the rest."""

    plan: SearchPlan
    points: RingPoints
    matrices: torch.Tensor  # float64
    step_deg: float
    offset_sd_px: float
    group: torch.Tensor
    room: int


def new_start(
    data: PreparedParticles,
    settings: Abinitio,
    folds: tuple[np.ndarray, ...],
    seed: int,
    schedule: Schedule,
    room: int,
    processes: Processes = ALONE,
) -> StartState:
    """Random poses, and random volumes with room for ``room`` rings: K volumes that differ only by chance."""
    group = symmetry_matrices("C1")
    matrices = slice_matrices(directions_for(FIRST_STEP_DEG, group, seed=seed, purpose=("first directions",))).float()
    noise = data.group_power.clamp_min(torch.finfo(torch.float32).tiny)
    points, count = RingPoints(basis=data.basis.truncated(room)), settings.volumes * len(matrices)
    parts = []
    for fold in particles_of_pass(folds, schedule.batch, 0):
        index = by_process(fold, processes)[processes.rank]
        random = uniforms(seed, "first poses", ids=index, count=2)
        label = np.minimum((random[:, 0] * count).astype(np.int64), count - 1)
        start = Alignments.from_shifts(index, label, 2 * np.pi * random[:, 1], np.zeros((len(index), 2)))
        sums = accumulate_at(data, start, count, noise, rings=room)
        own = fold_sums(sums, matrices.to(data.device), points, settings.volumes, room, group)
        parts.append(processes.add(own))
    return StartState(
        seed=seed,
        passes=0,
        schedule=schedule,
        parts=tuple(parts),
        noise_power=noise,
        offset_sd_A=0.0,
        poses=Poses.unknown(len(data)),
        moved=1.0,
        seen=0,
        ended=False,
    )


def offset_sd_px(state: StartState, data: PreparedParticles, offset_range_A: float) -> float:
    """Width of the prior on origins per axis, in working pixels; half of the range before it is known."""
    return (state.offset_sd_A or FIRST_SD * offset_range_A) / data.pixel_size_A


def search_at(
    state: StartState,
    data: PreparedParticles,
    settings: Abinitio,
    offset_range_A: float,
    *,
    rings: int,
    keep: float,
    purpose: tuple[str | int, ...],
) -> Search:
    """The search at a number of rings, along directions that ``purpose`` has turned."""
    window_A = data.basis.window_px * data.pixel_size_A
    group = symmetry_matrices(state.symmetry)
    step = direction_step_deg(window_A / rings, data.preparation.particle_diameter_A)
    shift_step_A = max(window_A / (4 * rings), LEAST_STEP * data.pixel_size_A)
    sd_px = offset_sd_px(state, data, offset_range_A)
    reach = max(REACH_STEPS * shift_step_A, min(offset_range_A, REACH_SD * sd_px * data.pixel_size_A))
    plan = data.search(rings, reach, keep=keep)
    return Search(
        plan=plan,
        points=RingPoints(basis=plan.fine.basis),
        matrices=slice_matrices(directions_for(step, group, seed=state.seed, purpose=purpose)),
        step_deg=step,
        offset_sd_px=sd_px,
        group=group,
        room=state.parts[0].volume(0).rings,
    )


def start_references(
    data: PreparedParticles,
    settings: Abinitio,
    search: Search,
    others: FoldSums,
    parts: tuple[FoldSums, ...],
) -> tuple[References | None, References]:
    """Slices of the volumes that the statistics ``others`` imply; spectra and priors are those of all folds."""
    return volume_references(
        _slices(data, settings, search, others, parts),
        stacked(parts, "members").sum(0),
        search.plan,
        ctf_harmonics=data.ctf_harmonics,
        offset_sd_px=search.offset_sd_px,
    )


def _slices(
    data: PreparedParticles, settings: Abinitio, search: Search, others: FoldSums, parts: tuple[FoldSums, ...]
) -> torch.Tensor:
    tau2 = settings.tau2_fudge * volume_power(parts, search.points.rings)
    return slices_of(densities(others, data.basis, tau2), search.matrices.float().to(data.device), search.points)


def match_fold(
    state: StartState,
    data: PreparedParticles,
    settings: Abinitio,
    search: Search,
    others: FoldSums,
    parts: tuple[FoldSums, ...],
    index: np.ndarray,
    sharpness: float = 1.0,
) -> tuple[FoldSums, Outcome, References]:
    """Match particles against the volumes of ``others``: (what they give, outcome, references)."""
    references = start_references(data, settings, search, others, parts)
    choice = partial(soft, sharpness=sharpness)
    sums, outcome = expect(data, index, search.plan, references, state.noise_power, choice=choice)
    matrices = search.matrices.float().to(data.device)
    own = fold_sums(sums, matrices, search.points, settings.volumes, search.room, search.group)
    return own, outcome, references[1]


def poses_of(outcome: Outcome, index: np.ndarray, search: Search, data: PreparedParticles, settings: Abinitio) -> Poses:
    """The best hypotheses of particles ``index`` as poses."""
    volumes, each = settings.volumes, len(search.matrices)
    return Poses.from_alignments(
        outcome.alignments(index, data.pixel_size_A),
        np.tile(search.matrices.numpy(), (volumes, 1, 1)),
        np.repeat(np.arange(volumes), each),
    )


def one_pass(
    state: StartState,
    data: PreparedParticles,
    settings: Abinitio,
    folds: tuple[np.ndarray, ...],
    offset_range_A: float,
    most_rings: int,
    *,
    processes: Processes = ALONE,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[StartState, dict[str, Any]]:
    """Visit every fold once. progress receives (particles done, particles of this pass)."""
    sharpness, rings = sharpness_of(state.passes), state.schedule.rings
    search = search_at(
        state,
        data,
        settings,
        offset_range_A,
        rings=rings,
        keep=KEEP_NATS / sharpness,
        purpose=("directions", state.passes),
    )
    seen = particles_of_pass(folds, state.schedule.batch, state.passes)
    batch = sum(len(index) for index in seen)

    def match(others: FoldSums, parts: tuple[FoldSums, ...], index: np.ndarray) -> tuple[FoldSums, Outcome]:
        return match_fold(state, data, settings, search, others, parts, index, sharpness)[:2]

    parts, index, outcome = visit(
        seen,
        state.parts,
        match,
        processes=processes,
        progress=None if progress is None else lambda done: progress(done, batch),
    )
    return next_state(
        state, data, settings, search, parts, index, outcome, offset_range_A, most_rings, sum(map(len, folds)),
        processes,
    )  # fmt: skip


def with_symmetry(state: StartState, data: PreparedParticles, settings: Abinitio, most_rings: int) -> StartState:
    """After a pass: turned into its axes, with the group imposed, where the map shows them or it is time to."""
    rings, passes = state.schedule.rings, state.passes
    if not time_to_look(
        settings,
        state.symmetry,
        passes=passes,
        decided=state.schedule.decided,
        at_last_rings=rings == most_rings,
        ended=state.ended,
    ):
        return state
    found, frames = group_of_maps(state.parts, data, settings, rings, passes)
    if not is_clear(found, settings, state.symmetry, passes=passes, ended=state.ended):
        return replace(state, group=found if state.symmetry == "C1" else state.group)
    window_A = data.basis.window_px * data.pixel_size_A
    parts, poses = impose(found.name, frames, state.parts, state.poses, window_A)
    return replace(
        state,
        parts=parts,
        poses=poses,
        symmetry=found.name,
        group=found,
        ascent=None,
        schedule=replace(state.schedule, here=0, settled=False),
        ended=passes >= settings.iterations,
    )


def next_state(
    state: StartState,
    data: PreparedParticles,
    settings: Abinitio,
    search: Search,
    parts: tuple[FoldSums, ...],
    index: np.ndarray,
    outcome: Outcome,
    offset_range_A: float,
    most_rings: int,
    most_particles: int,
    processes: Processes = ALONE,
) -> tuple[StartState, dict[str, Any]]:
    """What follows from a visit, and what is worth knowing of it."""
    poses = poses_of(outcome, index, search, data, settings)
    moved = _moved(state.poses.take(index), poses, search)
    tau2, evidence = volume_power(parts, search.points.rings), float(outcome.log_evidence.mean())
    schedule = state.schedule.next(moved=moved, evidence=evidence, most_rings=most_rings, most_particles=most_particles)
    last = schedule.decided and search.points.rings == most_rings
    known = last and _views_decide(state, data, settings, search, parts, index, outcome, processes)
    following = replace(
        state,
        passes=state.passes + 1,
        schedule=schedule,
        parts=parts,
        noise_power=residual_noise(state.noise_power, data, _mean_power(parts, tau2), search.points.rings),
        offset_sd_A=learnt_offset_sd_A(parts, offset_range_A, data.pixel_size_A) if known else 0.0,
        poses=state.poses.put(poses),
        moved=moved,
        seen=len(index),
        ended=schedule.settled or state.passes + 1 >= settings.iterations,
    )
    window_A = data.basis.window_px * data.pixel_size_A
    info = {
        "log_likelihood": evidence,
        "moved_fraction": moved,
        "rings": search.points.rings,
        "search_resolution_A": window_A / search.points.rings,
        "directions": len(search.matrices),
        "direction_step_deg": search.step_deg,
        "psi_step_deg": search.plan.fine.psi_step_deg,
        "shifts": len(search.plan.fine.shifts_px),
        "batch_size": len(index),
        "mean_max_probability": float(outcome.max_probability.mean()),
        "effective_views": float(np.exp(outcome.entropy).mean()),
        "significant": float(outcome.significant.mean()),
        "populations": [round(float(m), 1) for m in stacked(parts, "members").sum(0)],
        "sigma_offset_A": following.offset_sd_A,
    }
    return following, info


def _mean_power(parts: tuple[FoldSums, ...], tau2: torch.Tensor) -> torch.Tensor:
    """Power (R,) of the volume that an image shows, of those of the volumes (K, R)."""
    members = stacked(parts, "members").sum(0)
    return (members / members.sum()) @ tau2


def _views_decide(
    state: StartState, data: PreparedParticles, settings: Abinitio, search: Search, parts: tuple[FoldSums, ...],
    index: np.ndarray, outcome: Outcome, processes: Processes,
) -> bool:  # fmt: skip
    """Whether images decide their views; a fold's worth of particles tells."""
    some, members = index[: -(-len(index) // settings.folds)], stacked(parts, "members").sum(0)
    nats = spherical_evidence(
        data, search.plan, _slices(data, settings, search, total(parts), parts), members, state.noise_power, some,
        offset_sd_px=search.offset_sd_px, processes=processes,
    )  # fmt: skip
    return float(outcome.log_evidence[: len(some)].mean()) - nats >= VIEWS_NATS


def _moved(before: Poses, after: Poses, search: Search) -> float:
    """Share of the poses that have moved by more than two steps of the grid; 1 where none was known."""
    known = before.known
    if not known.any():
        return 1.0
    turned = np.einsum(
        "gab,nbc,nac->gn", search.group.numpy(), before.rotation[known], after.rotation[known], optimize=True
    )
    angle_deg = np.degrees(np.arccos(np.clip((turned.max(0) - 1) / 2, -1, 1)))
    elsewhere = before.volume[known] != after.volume[known]
    return float(((angle_deg > MOVED_STEPS * search.step_deg) | elsewhere).mean())
