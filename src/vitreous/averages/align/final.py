"""What follows the last pass of an alignment: starts compared, the best refined, averaged, and put to the test."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from vitreous.alignment import Groups, Matching, Registered, align_to, refine_left_out, register
from vitreous.averages.align.algorithm import AlignState, Dealt
from vitreous.averages.align.result import AlignResult
from vitreous.matching import (
    Alignments,
    Averages,
    NoiseTest,
    PreparedParticles,
    Sums,
    claimed_resolution_A,
    corrected_frc,
    noise_test,
    restore,
    signal_power,
    total,
)
from vitreous.randomness import uniforms

__all__ = ["finish"]

MOST_NOISE = 5000  # noise images that are aligned to measure the bias
Progress = Callable[[int, int, str], None]


def finish(
    state: AlignState,
    data: PreparedParticles,
    dealt: Dealt,
    matching: Matching,
    read: Callable[[np.ndarray], np.ndarray],
    progress: Progress,
) -> AlignResult:
    """The result of a state."""
    groups, starts = dealt.groups, dealt.groups.count
    rings = min(state.march.rings, data.basis.rings)
    tau2 = signal_power(state.parts, data.basis)
    refined = refine_left_out(data, groups, state.alignments, state.noise_power, tau2, matching, rings)
    per_start = len(groups) // starts
    sets = [refined.take(slice(s * per_start, (s + 1) * per_start)) for s in range(starts)]
    evidence = state.log_evidence.reshape(starts, per_start).mean(1)
    best = int(evidence.argmax())
    registered = register(sets, data.preparation.particle_diameter_A / 2) if starts > 1 else None
    sums = total(state.parts)
    averages = matching.averages(_cut(sums, rings, data), tau2[:rings])[best : best + 1]
    unseen = Groups(particle=dealt.held_out, group=np.zeros(len(dealt.held_out), np.int64), count=1)
    others, unseen_evidence = align_to(data, unseen, averages, state.noise_power, matching, rings)
    noise = _test(data, dealt, averages, unseen_evidence, state, matching, rings)
    own = _joined(sets[best], others)
    restored = restore(
        read, data.preparation, data.ctf, own, _half(own, state.seed), 1, threads=data.threads,
        progress=lambda done, of: progress(done, of, "average"),
    )  # fmt: skip
    return _result(state, data, own, registered, best, evidence, restored, noise)


def _cut(sums: Sums, rings: int, data: PreparedParticles) -> Sums:
    harmonics = data.basis.truncated(rings).harmonics
    return Sums(**{**vars(sums), "signal": sums.signal[:, :rings, :harmonics], "power": sums.power[:, :rings]})


def _joined(seen: Alignments, unseen: Alignments) -> Alignments:
    """Both, to reference 0, in the order of the particles."""
    every = Alignments(**{name: np.concatenate([getattr(seen, name), getattr(unseen, name)]) for name in vars(seen)})
    return replace(every, reference=np.zeros(len(every), np.int64)).take(np.argsort(every.particle))


def _test(
    data: PreparedParticles,
    dealt: Dealt,
    average: torch.Tensor,
    unseen_evidence: np.ndarray,
    state: AlignState,
    matching: Matching,
    rings: int,
) -> NoiseTest:
    """Whether images that the average has not seen fit it better than noise does."""
    plan = data.search(rings, matching.offset_range_A)
    members = dealt.groups.particle[dealt.groups.group == 0]
    return noise_test(
        data,
        plan,
        matching.references(average, data, plan),
        matching.noise(state.noise_power),
        members,
        unseen_evidence=unseen_evidence,
        seed=state.seed,
        per_reference=min(len(members), MOST_NOISE),
    )


def _half(own: Alignments, seed: int) -> np.ndarray:
    """Half (m,) of every image, 0 or 1, in equal numbers."""
    order = np.argsort(uniforms(seed, "half", ids=own.particle)[:, 0])
    half = np.empty(len(own), np.int64)
    half[order] = np.arange(len(own)) % 2
    return half


def _result(
    state: AlignState,
    data: PreparedParticles,
    own: Alignments,
    registered: Registered | None,
    best: int,
    evidence: np.ndarray,
    restored: Averages,
    noise: NoiseTest,
) -> AlignResult:
    pixel, n = data.preparation.pixel_size_A, len(data)
    frc = corrected_frc(restored.frc.cpu().numpy(), noise.frc, data.basis)
    resolution = float(claimed_resolution_A(frc, data.preparation)[0])
    error, stable = np.full(n, np.nan), np.ones(n, bool)
    if registered is not None:
        seen = registered.sets[0].particle
        error[seen], stable[seen] = registered.pixel_error_A, registered.mirror_stable
    sums = total(state.parts)
    pictures = data.picture(sums.signal / sums.power.clamp_min(torch.finfo(torch.float32).tiny)[..., None])
    messages = () if noise.found_signal else (
        "Nothing was found: images that the average has not seen match it no better than pure noise does "
        f"({noise.excess:+.2f} nats per image, {noise.sigmas:.1f} standard errors); the average is aligned noise.",
    )  # fmt: skip
    return AlignResult(
        pixel_size_A=pixel,
        particle_diameter_A=data.preparation.particle_diameter_A,
        average=restored.full[0].cpu().numpy(),
        halves=restored.halves[:, 0].cpu().numpy(),
        frc=frc[0],
        resolution_A=resolution if noise.found_signal else np.inf,
        alignments=Alignments.unknown(n).put(own),
        pixel_error_A=error,
        mirror_stable=stable,
        start_evidence=evidence,
        start_error_A=np.zeros(1) if registered is None else registered.pair_error_A[best],
        start_averages=pictures.cpu().numpy(),
        found_signal=noise.found_signal,
        messages=messages,
    )
