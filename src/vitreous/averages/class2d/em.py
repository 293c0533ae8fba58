"""Maximum a-posteriori 2D classification by cross-validated incremental EM.

Model: SCIENCE.md section 1 with P an in-plane rotation; priors: class (Dirichlet), Gaussian offset, Gaussian signal
of power tau^2(ring). One pass visits the folds of the data in turn. The particles of a fold are scored against
averages of all other folds and their statistics replace those of the fold's last visit (incremental EM: Neal and
Hinton 1998), so the averages improve F times per pass, and no particle ever meets its own noise in a reference
(SCIENCE.md section 3: self-attraction is what freezes and collapses classes at low SNR).

The posterior is sharpened (to the power 3, later 1.5): around the random start all references are alike and plain EM
at low SNR stays on that plateau for dozens of passes. Without self-attraction this costs nothing; reported
probabilities come from the plain posterior of the final pass.

Classes move: one that has nearly died, or whose particles another class explains as well, takes half of the folds of
the largest class (:mod:`vitreous.averages.class2d.moves`).

Every other pass meets only the classes that were close for a particle in the pass before (*contenders*), and those that
have moved since; what was far behind does not win one pass later. The final pass meets all of them again.

Resolution marches ring by ring: a ring is added when the classification has settled at the present resolution, and
never beyond what the averages resolve (SSNR of a class of average size above 1) plus two rings.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from vitreous.averages.class2d.moves import dying, move_classes, redundant
from vitreous.averages.class2d.settings import Class2D
from vitreous.matching import (
    CONVERGED,
    KEEP_NATS,
    Alignments,
    Candidates,
    March,
    Outcome,
    PreparedParticles,
    References,
    SearchPlan,
    Sums,
    accumulate_at,
    best,
    expect,
    pass_size,
    residual_noise,
    resolved_rings,
    ring_limit,
    signal_power,
    soft,
    stacked,
    visit,
    wiener,
)
from vitreous.processes import ALONE, Processes, by_process
from vitreous.randomness import uniforms

__all__ = [
    "BEST_KEEP_NATS",
    "Class2DState",
    "choosing",
    "class_log_prior",
    "class_references",
    "first_pass_size",
    "initial_state",
    "offset_sd_px",
    "one_pass",
]

PER_CLASS, FEWEST = 100, 5000  # particles in the first pass
MOVES_FROM_RINGS = 7  # before, the averages are too alike to tell which ones are redundant
FULL_EVERY = 2  # passes; the others meet contenders only
NARROW_FROM_RINGS = 7  # before, averages change too much from pass to pass
NARROW_SHARE = 0.25  # of the classes: with more contenders a pass over them saves nothing
NARROW_SHARE_COARSE = 0.08  # the same where a pass over all classes begins with a coarse one
CONTEND_NATS = 12.0  # below the best class of a particle, in a pass without a coarse one
BEST_KEEP_NATS = 2 * KEEP_NATS  # of log posterior, within which the largest correlation coefficient is looked for
SHARPNESS_FIRST, SHARPNESS_LAST, SHARPNESS_DECAY = 3.0, 1.5, 0.9


@dataclass(frozen=True, kw_only=True)
class Class2DState:
    """Everything that an iteration hands to the next one. n particles, F folds, K classes."""

    iteration: int
    seed: int
    march: March
    parts: tuple[Sums, ...]  # of the folds; with room for more rings than are in use
    noise_power: torch.Tensor  # (G, R)
    offset_sd_A: float  # per axis; 0 before it has been estimated
    alignments: Alignments  # of all particles; reference -1: not seen yet
    max_probability: np.ndarray  # (n,)
    log_evidence: np.ndarray  # (n,)
    changed: float
    contenders: np.ndarray  # (n, bytes) uint8, a bit for every class that was close in the last pass over all of them

    @property
    def room(self) -> int:
        """Number of rings that the sums have room for."""
        return self.parts[0].power.shape[1]


def first_pass_size(settings: Class2D) -> int:
    """Particles that the first pass sees, of as many as there are."""
    return settings.subset if settings.subset is not None else max(FEWEST, PER_CLASS * settings.classes)


def _seen(folds: tuple[np.ndarray, ...], settings: Class2D, iteration: int) -> list[np.ndarray]:
    """The particles of every fold that a pass sees."""
    n = sum(len(fold) for fold in folds)
    share = pass_size(first_pass_size(settings), n, iteration) / max(n, 1)
    return [fold[: max(1, round(share * len(fold)))] for fold in folds]


def initial_state(
    data: PreparedParticles,
    settings: Class2D,
    folds: tuple[np.ndarray, ...],
    seed: int,
    processes: Processes = ALONE,
) -> Class2DState:
    """Random classes and random in-plane angles: K averages that differ only by chance."""
    n_classes, n = settings.classes, len(data)
    noise = data.group_power.clamp_min(torch.finfo(torch.float32).tiny)
    parts = []
    for fold in _seen(folds, settings, 0):
        index = by_process(fold, processes)[processes.rank]
        random = uniforms(seed, "initial classes", ids=index, count=2)
        label = np.minimum((random[:, 0] * n_classes).astype(np.int64), n_classes - 1)
        start = Alignments.from_shifts(index, label, 2 * np.pi * random[:, 1], np.zeros((len(index), 2)))
        parts.append(processes.add(accumulate_at(data, start, n_classes, noise)))
    return Class2DState(
        iteration=0,
        seed=seed,
        march=March.start(data.basis.rings),
        parts=tuple(parts),
        noise_power=noise,
        offset_sd_A=0.0,
        alignments=Alignments.unknown(n),
        max_probability=np.zeros(n),
        log_evidence=np.zeros(n),
        changed=1.0,
        contenders=np.full((n, -(-n_classes // 8)), 255, np.uint8),
    )


def class_log_prior(members: torch.Tensor) -> torch.Tensor:
    """Log class probabilities (K,) from posterior counts (F, K), halfway to uniform (a Dirichlet prior worth the data).

    The pull towards equal classes keeps a class from dying of its small size alone.
    """
    count = members.sum(0)
    return torch.log_softmax(torch.log(count + count.mean() + 1e-6), 0)


def class_references(
    others: Sums,
    parts: tuple[Sums, ...],
    plan: SearchPlan,
    data: PreparedParticles,
    settings: Class2D,
    offset_sd_px: float,
) -> tuple[References | None, References]:
    """Wiener averages of the statistics ``others``, ready for a search; spectra and priors are those of all folds.

    With the choice ``best`` priors are flat.
    """
    grid = plan.fine
    tau2 = settings.tau2_fudge * signal_power(parts, data.basis)[: grid.rings]
    averages = wiener(others.signal[:, : grid.rings, : grid.harmonics], others.power[:, : grid.rings], tau2)
    if settings.choice == "best":
        prior, offset_sd_px = torch.zeros(len(averages), device=averages.device), math.inf
    else:
        prior = class_log_prior(stacked(parts, "members"))
    return plan.references(averages, ctf_harmonics=data.ctf_harmonics, log_class_prior=prior, offset_sd_px=offset_sd_px)


def offset_sd_px(state: Class2DState, data: PreparedParticles, offset_range_A: float) -> float:
    """Width of the prior on origins per axis, in working pixels; half of the range before it is known."""
    return (state.offset_sd_A or offset_range_A / 2) / data.pixel_size_A


def one_pass(
    state: Class2DState,
    data: PreparedParticles,
    settings: Class2D,
    folds: tuple[np.ndarray, ...],
    offset_range_A: float,
    *,
    processes: Processes = ALONE,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Class2DState, dict[str, Any]]:
    """Visit every fold once. progress receives (particles done, particles of this pass)."""
    sharpness = _sharpness(state.iteration)
    keep = BEST_KEEP_NATS if settings.choice == "best" else KEEP_NATS / sharpness
    plan = data.search(state.march.rings, offset_range_A, keep=keep)
    offset_sd, seen = offset_sd_px(state, data, offset_range_A), _seen(folds, settings, state.iteration)
    narrow = _narrow(state, settings, seen, plan)
    plan = replace(plan, coarse=None) if narrow else replace(plan, contend=CONTEND_NATS)
    batch = sum(len(index) for index in seen)

    def match(others: Sums, parts: tuple[Sums, ...], index: np.ndarray) -> tuple[Sums, Outcome]:
        references = class_references(others, parts, plan, data, settings, offset_sd)
        candidates = Candidates.from_mask(_close(state, settings, index)) if narrow else None
        chosen = choosing(settings, sharpness)
        return expect(data, index, plan, references, state.noise_power, candidates=candidates, **chosen)

    parts, index, outcome = visit(
        seen,
        state.parts,
        match,
        processes=processes,
        progress=None if progress is None else lambda done: progress(done, batch),
    )
    return _next_state(state, data, settings, plan, parts, index, outcome)


def _narrow(state: Class2DState, settings: Class2D, seen: Sequence[np.ndarray], plan: SearchPlan) -> bool:
    """Whether a pass meets contenders only: every other one, where these are few."""
    most = NARROW_SHARE if plan.coarse is None else NARROW_SHARE_COARSE
    if settings.choice == "best" or state.iteration % FULL_EVERY == 0 or state.march.rings < NARROW_FROM_RINGS:
        return False
    return bool(np.mean([_close(state, settings, index).mean() for index in seen]) < most)


def _close(state: Class2DState, settings: Class2D, index: np.ndarray) -> np.ndarray:
    """(m, K) bool, the contenders of particles; all classes of those that were not seen yet."""
    return np.unpackbits(state.contenders[index], axis=1, count=settings.classes).astype(bool)


def choosing(settings: Class2D, sharpness: float = 1.0) -> dict[str, Any]:
    """How :func:`vitreous.matching.expect` turns scores into weights: options of it.

    best: all weight on the class, rotation and shift with the largest correlation coefficient (seed 004, lecture 4b).
    """
    if settings.choice == "best":
        return {"choice": best, "similarity": "coefficient"}
    return {"choice": partial(soft, sharpness=sharpness)}


def _sharpness(iteration: int) -> float:
    """Exponent of the posterior in the E-step: early averages are all alike and part faster when pushed."""
    return SHARPNESS_LAST + (SHARPNESS_FIRST - SHARPNESS_LAST) * SHARPNESS_DECAY**iteration


def _next_state(
    state: Class2DState,
    data: PreparedParticles,
    settings: Class2D,
    plan: SearchPlan,
    parts: tuple[Sums, ...],
    index: np.ndarray,
    outcome: Outcome,
) -> tuple[Class2DState, dict[str, Any]]:
    """What follows from a visit, and what is worth knowing of it."""
    rings, tau2 = state.march.rings, signal_power(parts, data.basis)
    resolved = resolved_rings(parts, tau2[:rings])
    before = state.alignments.reference[index]
    changed = float((outcome.reference != before)[before >= 0].mean()) if (before >= 0).any() else 1.0
    march = state.march.next(changed=changed, resolved=resolved, most=ring_limit(data, settings.resolution_limit_A))
    free = _free_classes(state, settings, march, parts, outcome, changed)
    parts = move_classes(parts, free) if free else parts
    contenders = state.contenders if plan.contend is None else _put(state.contenders, index, outcome.contenders)
    offset_sd_A = _offset_sd(parts) * data.pixel_size_A
    following = replace(
        state,
        iteration=state.iteration + 1,
        march=march,
        parts=parts,
        noise_power=residual_noise(state.noise_power, data, tau2, rings),
        offset_sd_A=offset_sd_A if state.iteration >= 2 else 0.0,
        alignments=state.alignments.put(outcome.alignments(index, data.pixel_size_A)),
        max_probability=_put(state.max_probability, index, outcome.max_probability),
        log_evidence=_put(state.log_evidence, index, outcome.log_evidence),
        changed=changed,
        contenders=contenders | np.packbits(np.isin(np.arange(settings.classes), free)),
    )
    window_A = data.basis.window_px * data.pixel_size_A
    info = {
        "log_likelihood": float(outcome.log_evidence.mean()),
        "changed_fraction": changed,
        "resolution_A": window_A / max(resolved, 1),
        "search_resolution_A": window_A / rings,
        "rings": rings,
        "resolved_rings": resolved,
        "psi_step_deg": plan.fine.psi_step_deg,
        "shifts": len(plan.fine.shifts_px),
        "working_box_px": data.basis.box_px,
        "batch_size": len(index),
        "particles_seen": int((following.alignments.reference >= 0).sum()),
        "mean_max_probability": float(outcome.max_probability.mean()),
        "effective_classes": float(np.exp(outcome.entropy).mean()),
        "significant": float(outcome.significant.mean()),
        "populations": [round(float(m), 1) for m in stacked(parts, "members").sum(0)],
        "sigma_offset_A": offset_sd_A,
        "moved_classes": len(free),
        "converged": march.converged,
    }
    return following, info


def _free_classes(
    state: Class2DState, settings: Class2D, march: March, parts: tuple[Sums, ...], outcome: Outcome, changed: float
) -> list[int]:
    """Classes that move now: none in the last pass, or where the classification has nearly settled."""
    last = march.converged or state.iteration + 1 >= settings.iterations
    if last or changed < 2 * CONVERGED:
        return []
    free = dying(parts)
    if MOVES_FROM_RINGS <= state.march.rings < march.limit - 1:
        free += [k for k in redundant(outcome, settings.classes) if k not in free]
    return free


def _offset_sd(parts: tuple[Sums, ...]) -> float:
    """Standard deviation of shifts per axis, in working pixels."""
    total = stacked(parts, "members").sum()
    return float((stacked(parts, "offset_square_px2").sum() / (2 * total)).sqrt().clamp_min(0.5))


def _put(old: np.ndarray, index: np.ndarray, value: np.ndarray) -> np.ndarray:
    out = old.copy()
    out[index] = value
    return out
