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
the largest class (:func:`redundant`, :func:`move_classes`).

Resolution marches ring by ring: a ring is added when the classification has settled at the present resolution, and
never beyond what the averages resolve (SSNR of a class of average size above 1) plus two rings.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from vitreous.averages.class2d.model import FoldSums, left_out, resolved_rings, signal_power, wiener
from vitreous.averages.class2d.settings import Class2D
from vitreous.matching import (
    Alignments,
    Outcome,
    PreparedParticles,
    SearchPlan,
    Sums,
    accumulate_at,
    expect,
    plan_search,
    soft,
)
from vitreous.randomness import uniforms

__all__ = ["Members", "State", "class_log_prior", "deal", "initial_state", "one_pass"]

FIRST_RINGS = 5  # about 4.4 cycles across the particle
SETTLED = 0.15  # share of particles that still change class below which a ring is added
PATIENCE = 4  # passes at one resolution after which a ring is added anyway
CONVERGED = 0.03  # share of changes below which the classification ends, at the final resolution
RESCUE_BELOW = 0.1  # of the average class size
REDUNDANT_BELOW = 0.6  # of the median cost of doing without a class
UNSURE_NATS = 8.0  # log odds below which a particle fits another class nearly as well
MOVES_PER_CLASS = 0.06  # at most, in one pass
MOVES_FROM_RINGS = 7  # before, the averages are too alike to tell which ones are redundant
NOISE_FLOOR = 0.1  # of the total power of a ring: what the noise cannot fall below
SUBSET_GROWTH = 1.25
SHARPNESS_FIRST, SHARPNESS_LAST, SHARPNESS_DECAY = 3.0, 1.5, 0.9
JURY_SHARE, JURY_LEAST, JURY_MOST = 0.1, 100, 250  # of the particles; enough to tell signal from noise
KEEP_NATS = 10.0  # hypotheses with less than exp(-10) of the best one's weight are dropped


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything that an iteration hands to the next one. n particles, F folds, K classes."""

    iteration: int
    seed: int
    rings: int  # in use; sums have room for more
    passes_at_rings: int
    sums: FoldSums
    noise_power: torch.Tensor  # (G, R)
    offset_sd_A: float  # per axis; 0 before it has been estimated
    reference: np.ndarray  # (n,) int64, -1: not seen yet
    psi_rad: np.ndarray  # (n,)
    shift_A: np.ndarray  # (n, 2) in the class frame (see vitreous.matching.grid)
    max_probability: np.ndarray  # (n,)
    log_evidence: np.ndarray  # (n,)
    changed: float
    converged: bool


@dataclass(frozen=True, kw_only=True)
class Members:
    """Who takes part in what: the folds of the EM, and a jury that meets the averages only in the final pass."""

    folds: list[np.ndarray]
    jury: np.ndarray

    @property
    def groups(self) -> list[tuple[int | None, np.ndarray]]:
        """(fold to leave out, particles): the folds, then the jury, for which nothing has to be left out."""
        return [*enumerate(self.folds), (None, self.jury)]


def deal(good: np.ndarray, folds: int, seed: int) -> Members:
    """Deal particles (indices of the good ones) into folds and jury, in an order that depends on (seed, index) only.

    Folds are in random order and differ by one member at most.
    """
    key = uniforms(seed, "fold", ids=good)[:, 0]
    order = good[np.argsort(key, kind="stable")]
    jury = min(max(int(JURY_SHARE * len(order)), min(JURY_LEAST, len(order) // 5)), JURY_MOST)
    return Members(folds=[order[jury + f :: folds] for f in range(folds)], jury=np.sort(order[:jury]))


def pass_size(settings: Class2D, n: int, iteration: int) -> int:
    """Particles that a pass sees."""
    first = settings.subset if settings.subset is not None else max(5000, 100 * settings.classes)
    return int(min(n, first * SUBSET_GROWTH**iteration))


def initial_state(data: PreparedParticles, settings: Class2D, members: list[np.ndarray], seed: int) -> State:
    """Random classes and random in-plane angles: K averages that differ only by chance."""
    n_classes, rings = settings.classes, data.basis.rings
    noise = data.group_power.clamp_min(torch.finfo(torch.float32).tiny)
    n_good = sum(len(m) for m in members)
    share = pass_size(settings, n_good, 0) / max(n_good, 1)
    parts = []
    for fold in members:
        index = fold[: max(1, round(share * len(fold)))]
        random = uniforms(seed, "initial classes", ids=index, count=2)
        label = np.minimum((random[:, 0] * n_classes).astype(np.int64), n_classes - 1)
        start = Alignments.from_shifts(index, label, 2 * np.pi * random[:, 1], np.zeros((len(index), 2)))
        parts.append(accumulate_at(data, start, n_classes, noise))
    n = len(data)
    return State(
        iteration=0,
        seed=seed,
        rings=min(FIRST_RINGS, rings),
        passes_at_rings=0,
        sums=_stack(parts),
        noise_power=noise,
        offset_sd_A=0.0,
        reference=np.full(n, -1, np.int64),
        psi_rad=np.zeros(n),
        shift_A=np.zeros((n, 2)),
        max_probability=np.zeros(n),
        log_evidence=np.zeros(n),
        changed=1.0,
        converged=False,
    )


def _stack(parts: list[Sums]) -> FoldSums:
    names = ("signal", "power", "members", "square_members", "offset_square_px2")
    return FoldSums(**{name: torch.stack([getattr(p, name) for p in parts]) for name in names})


def class_log_prior(members: torch.Tensor) -> torch.Tensor:
    """Log class probabilities (K,) from posterior counts (F, K), halfway to uniform (a Dirichlet prior worth the data).

    The pull towards equal classes keeps a class from dying of its small size alone.
    """
    count = members.sum(0)
    return torch.log_softmax(torch.log(count + count.mean() + 1e-6), 0)


def one_pass(
    state: State,
    data: PreparedParticles,
    settings: Class2D,
    members: list[np.ndarray],
    offset_range_A: float,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[State, dict[str, Any]]:
    """Visit every fold once. progress receives (particles done, particles of this pass)."""
    rings = state.rings
    sharpness = _sharpness(state.iteration)
    reach = offset_range_A / data.pixel_size_A
    plan = plan_search(data.grid(rings, offset_range_A), reach, keep=KEEP_NATS / sharpness)
    offset_sd = state.offset_sd_A / data.pixel_size_A or reach / 2
    n_good = sum(len(m) for m in members)
    share = pass_size(settings, n_good, state.iteration) / n_good
    sums, parts, done = state.sums, [], 0
    for fold, everyone in enumerate(members):
        index = everyone[: max(1, round(share * len(everyone)))]
        references = fold_references(sums, fold, plan, data, settings, offset_sd)
        fold_sums, outcome = expect(
            data, index, plan, references, state.noise_power, choice=partial(soft, sharpness=sharpness)
        )
        sums = _replace_fold(sums, fold, fold_sums)
        parts.append((index, outcome))
        done += len(index)
        if progress is not None:
            progress(done, round(share * n_good))
    index, outcome = np.concatenate([i for i, _ in parts]), Outcome.join([o for _, o in parts])
    return _next_state(state, data, settings, plan, sums, index, outcome)


def _sharpness(iteration: int) -> float:
    """Exponent of the posterior in the E-step: early averages are all alike and part faster when pushed."""
    return SHARPNESS_LAST + (SHARPNESS_FIRST - SHARPNESS_LAST) * SHARPNESS_DECAY**iteration


def fold_references(
    sums: FoldSums, fold: int | None, plan: SearchPlan, data: PreparedParticles, settings: Class2D, offset_sd_px: float
):
    """References for the particles of one fold: Wiener averages of all the others (None: of all)."""
    grid = plan.fine
    signal, power = left_out(sums, fold)
    tau2 = settings.tau2_fudge * signal_power(sums, data.basis)[: grid.rings]
    averages = wiener(signal[:, : grid.rings, : grid.harmonics], power[:, : grid.rings], tau2)
    return plan.references(
        averages,
        ctf_harmonics=data.ctf_harmonics,
        log_class_prior=class_log_prior(sums.members),
        offset_sd_px=offset_sd_px,
    )


def _replace_fold(sums: FoldSums, fold: int, new: Sums) -> FoldSums:
    """The statistics with those of one fold exchanged; rings that the new ones lack become empty."""

    def put(old: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out = old.clone()
        out[fold] = 0
        out[fold][tuple(slice(0, size) for size in value.shape)] = value
        return out

    return FoldSums(
        signal=put(sums.signal, new.signal),
        power=put(sums.power, new.power),
        members=put(sums.members, new.members),
        square_members=put(sums.square_members, new.square_members),
        offset_square_px2=put(sums.offset_square_px2, new.offset_square_px2),
    )


def _next_state(
    state: State, data: PreparedParticles, settings: Class2D, plan: SearchPlan, sums: FoldSums,
    index: np.ndarray, outcome: Outcome,
) -> tuple[State, dict[str, Any]]:  # fmt: skip
    tau2 = signal_power(sums, data.basis)
    resolved = resolved_rings(sums, tau2[: state.rings])
    seen = state.reference[index] >= 0
    changed = float((outcome.reference != state.reference[index])[seen].mean()) if seen.any() else 1.0
    limit = min(max(resolved + 2, FIRST_RINGS), data_limit(data, settings))
    advance = state.rings < limit and (changed < SETTLED or state.passes_at_rings + 1 >= PATIENCE)
    converged = not advance and state.rings >= limit and changed < CONVERGED
    last = converged or state.iteration + 1 >= settings.iterations
    free: list[int] = []
    if not last and changed >= 2 * CONVERGED:
        free = dying(sums)
        if MOVES_FROM_RINGS <= state.rings < limit - 1:
            free += [k for k in redundant(outcome, settings.classes) if k not in free]
    if free:
        sums = move_classes(sums, free)
    total = sums.members.sum()
    offset_sd = float((sums.offset_square_px2.sum() / (2 * total)).sqrt().clamp_min(0.5)) * data.pixel_size_A
    following = replace(
        state,
        iteration=state.iteration + 1,
        rings=state.rings + 1 if advance else state.rings,
        passes_at_rings=0 if advance else state.passes_at_rings + 1,
        sums=sums,
        noise_power=_noise(state.noise_power, data, tau2, state.rings),
        offset_sd_A=offset_sd if state.iteration >= 2 else 0.0,
        reference=_put(state.reference, index, outcome.reference),
        psi_rad=_put(state.psi_rad, index, outcome.psi_rad),
        shift_A=_put(state.shift_A, index, outcome.shift_px * data.pixel_size_A),
        max_probability=_put(state.max_probability, index, outcome.max_probability),
        log_evidence=_put(state.log_evidence, index, outcome.log_evidence),
        changed=changed,
        converged=converged,
    )
    window_A = data.basis.window_px * data.pixel_size_A
    members = sums.members.sum(0)
    info = {
        "log_likelihood": float(outcome.log_evidence.mean()),
        "changed_fraction": changed,
        "resolution_A": window_A / max(resolved, 1),
        "search_resolution_A": window_A / state.rings,
        "rings": state.rings,
        "resolved_rings": resolved,
        "psi_step_deg": plan.fine.psi_step_deg,
        "shifts": len(plan.fine.shifts_px),
        "working_box_px": data.basis.box_px,
        "batch_size": len(index),
        "particles_seen": int((following.reference >= 0).sum()),
        "mean_max_probability": float(outcome.max_probability.mean()),
        "effective_classes": float(np.exp(outcome.entropy).mean()),
        "significant": float(outcome.significant.mean()),
        "populations": [round(float(m), 1) for m in members],
        "sigma_offset_A": offset_sd,
        "moved_classes": len(free),
        "converged": converged,
    }
    return following, info


def data_limit(data: PreparedParticles, settings: Class2D) -> int:
    """Rings that the user's resolution limit and the Nyquist frequency allow."""
    full = data.preparation.working_basis(1 << 20).rings
    if settings.resolution_limit_A is None:
        return full
    window_A = data.basis.window_px * data.pixel_size_A
    return max(1, min(full, int(window_A / settings.resolution_limit_A)))


def redundant(outcome: Outcome, n_classes: int) -> list[int]:
    """Classes that would be missed least: their particles fit another class nearly as well.

    The cost of doing without a class is the sum over its particles of the log odds between it and the next best
    class. It must be small compared with other classes, and the odds of a typical particle must be small too: a rare
    view that nothing else explains stays, however few its particles; one of two classes of the same view may go.
    """
    floor = np.exp(-KEEP_NATS)
    odds = np.log(np.maximum(outcome.class_probability, floor) / np.maximum(outcome.next_probability, floor))
    cost = np.bincount(outcome.reference, weights=np.maximum(odds, 0), minlength=n_classes)
    typical = cost / np.maximum(np.bincount(outcome.reference, minlength=n_classes), 1)
    most = round(MOVES_PER_CLASS * n_classes)
    cheap = (cost < REDUNDANT_BELOW * np.median(cost)) & (typical < UNSURE_NATS)
    return [int(k) for k in np.argsort(cost, kind="stable") if cheap[k]][:most]


def dying(sums: FoldSums) -> list[int]:
    """Classes with less than a tenth of the average number of members."""
    members = sums.members.sum(0)
    return [int(k) for k in (members < RESCUE_BELOW * members.mean()).nonzero().ravel()]


def move_classes(sums: FoldSums, free: list[int]) -> FoldSums:
    """Give every class in ``free`` half of the folds of one of the largest classes.

    The two then differ by the noise of their halves only, and the next passes let them part if their particles do.
    """
    members = sums.members.sum(0)
    largest = [k for k in torch.argsort(members, descending=True, stable=True).tolist() if k not in free]
    fields = {name: getattr(sums, name).clone() for name in sums.__dataclass_fields__}
    odd = torch.arange(len(sums.members)) % 4 >= 2  # each half keeps even and odd folds, for its signal power
    for empty, full in zip(free, largest, strict=False):
        for value in fields.values():
            value[odd, empty] = value[odd, full]
            value[~odd, empty] = 0
            value[odd, full] = 0
    return FoldSums(**fields)


def _noise(noise: torch.Tensor, data: PreparedParticles, tau2: torch.Tensor, rings: int) -> torch.Tensor:
    """Noise power (G, R): what is left of the images' power when that of the averages (after the CTF) is taken away."""
    out = noise.clone()
    for group in range(len(noise)):
        power = data.group_power[group, :rings]
        signal = data.mean_ctf_power(group, rings) * tau2[:rings]
        out[group, :rings] = torch.maximum(power - signal, NOISE_FLOOR * power)
    return out


def _put(old: np.ndarray, index: np.ndarray, value: np.ndarray) -> np.ndarray:
    out = old.copy()
    out[index] = value
    return out
