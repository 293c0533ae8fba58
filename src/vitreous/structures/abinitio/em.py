"""Maximum a-posteriori structures from unknown poses by cross-validated incremental EM."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from vitreous.matching import (
    KEEP_NATS,
    Alignments,
    Outcome,
    PreparedParticles,
    accumulate_at,
    expect,
    residual_noise,
    soft,
    stacked,
    visit,
)
from vitreous.processes import ALONE, Processes, by_process
from vitreous.randomness import uniforms
from vitreous.rotations import symmetry_matrices
from vitreous.structures.abinitio.directions import direction_step_deg, directions_for, slice_matrices
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

__all__ = ["StartState", "new_start", "one_pass"]

FIRST_RINGS = 5
SHARPNESS_FIRST, SHARPNESS_LAST, SHARPNESS_DECAY = 3.0, 1.5, 0.9
KEEP = 6.0
PATIENCE = 3
SETTLED = 0.3


@dataclass(frozen=True, kw_only=True)
class StartState:
    seed: int
    passes: int
    rings: int
    passes_here: int  # at this number of rings
    batch: int
    parts: tuple[FoldSums, ...]
    noise_power: torch.Tensor
    offset_sd_A: float
    poses: Poses
    evidence: float
    finished: bool


def _seen(folds, batch):
    n = sum(len(f) for f in folds)
    share = min(1.0, batch / max(n, 1))
    return [fold[: max(1, round(share * len(fold)))] for fold in folds]


def new_start(data, settings, folds, seed, batch, room, processes=ALONE):
    group = symmetry_matrices(settings.symmetry)
    directions = directions_for(20.0, group, seed=seed, purpose=("first directions",))
    matrices = slice_matrices(directions).float()
    noise = data.group_power.clamp_min(torch.finfo(torch.float32).tiny)
    points = RingPoints(basis=data.basis)
    count = settings.volumes * len(matrices)
    parts = []
    for fold in _seen(folds, batch):
        index = by_process(fold, processes)[processes.rank]
        random = uniforms(seed, "first poses", ids=index, count=2)
        label = np.minimum((random[:, 0] * count).astype(np.int64), count - 1)
        start = Alignments.from_shifts(index, label, 2 * np.pi * random[:, 1], np.zeros((len(index), 2)))
        sums = accumulate_at(data, start, count, noise)
        parts.append(processes.add(fold_sums(sums, matrices, points, settings.volumes, room, group)))
    return StartState(
        seed=seed, passes=0, rings=min(FIRST_RINGS, room), passes_here=0, batch=batch, parts=tuple(parts),
        noise_power=noise, offset_sd_A=0.0, poses=Poses.unknown(len(data)), evidence=0.0, finished=False,
    )


def one_pass(state, data, settings, folds, offset_range_A, most_rings, *, processes=ALONE, progress=None):
    group = symmetry_matrices(settings.symmetry)
    sharpness = SHARPNESS_LAST + (SHARPNESS_FIRST - SHARPNESS_LAST) * SHARPNESS_DECAY**state.passes
    plan = data.search(state.rings, offset_range_A, keep=KEEP / sharpness)
    seen = _seen(folds, state.batch)
    window_A = data.basis.window_px * data.pixel_size_A
    step = direction_step_deg(window_A / state.rings, data.preparation.particle_diameter_A)
    directions = directions_for(step, group, seed=state.seed, purpose=("directions", state.passes))
    exact = slice_matrices(directions)
    matrices = exact.float()
    points = RingPoints(basis=plan.fine.basis)
    room = state.parts[0].volume(0).rings
    sd = (state.offset_sd_A or offset_range_A / 2) / data.pixel_size_A

    def match(others, parts, index):
        tau2 = settings.tau2_fudge * volume_power(parts, state.rings)
        slices = slices_of(densities(others, data.basis, tau2), matrices, points)
        refs = volume_references(
            slices, stacked(parts, "members").sum(0), plan, ctf_harmonics=data.ctf_harmonics, offset_sd_px=sd
        )
        sums, outcome = expect(data, index, plan, refs, state.noise_power, choice=partial(soft, sharpness=sharpness))
        return fold_sums(sums, matrices, points, settings.volumes, room, group), outcome

    parts, index, outcome = visit(seen, state.parts, match, processes=processes)
    K = settings.volumes
    D = len(matrices)
    poses = Poses.from_alignments(
        outcome.alignments(index, data.pixel_size_A), np.tile(exact.numpy(), (K, 1, 1)), np.repeat(np.arange(K), D)
    )
    before = state.poses.take(index)
    both = before.known
    moved = 1.0
    med = 180.0
    if both.any():
        cos = np.einsum("gab,nbc,nac->gn", group.numpy(), before.rotation[both], poses.rotation[both], optimize=True).max(0)
        angle = np.degrees(np.arccos(np.clip((cos - 1) / 2, -1, 1)))
        moved = float((angle > 2 * step).mean())
        med = float(np.median(angle))
    tau2 = volume_power(parts, state.rings)
    members = stacked(parts, "members").sum()
    osd = float((stacked(parts, "offset_square_px2").sum() / (2 * members)).sqrt().clamp_min(0.5)) * data.pixel_size_A
    up = state.rings < most_rings and (moved < SETTLED or state.passes_here + 1 >= PATIENCE)
    nxt = replace(
        state,
        passes=state.passes + 1,
        rings=state.rings + up,
        passes_here=0 if up else state.passes_here + 1,
        parts=parts,
        noise_power=residual_noise(state.noise_power, data, tau2.mean(0), state.rings),
        offset_sd_A=osd if state.passes >= 2 else 0.0,
        poses=state.poses.put(poses),
        evidence=float(outcome.log_evidence.mean()),
    )
    info = dict(rings=state.rings, D=D, S=len(plan.fine.shifts_px), npsi=plan.fine.n_psi, evidence=nxt.evidence, moved=moved, med=med, pmax=float(outcome.max_probability.mean()), sig=float(outcome.significant.mean()), ent=float(np.exp(outcome.entropy).mean()), osd=osd, batch=len(index), tau2=[f"{x:.2g}" for x in tau2.mean(0)])
    return nxt, info
