"""Reference-free, reference-based and pyramidal alignment as one algorithm: they differ in where they begin.

From its first alignment on, every start is refined in the same way: pass by pass each image goes to the best pose on
the average of the other folds (:mod:`vitreous.alignment.groups`), with one ring more when few images still move and
never beyond what the average resolves by more than two rings. Starts are groups of the same images.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vitreous.alignment import (
    Groups,
    Matching,
    align_once,
    align_to,
    pyramid_alignments,
    random_alignments,
    sums_of_folds,
)
from vitreous.averages.align.settings import Align
from vitreous.matching import (
    Alignments,
    March,
    PreparedParticles,
    Sums,
    deal,
    held_out_size,
    residual_noise,
    resolved_rings,
    ring_limit,
    signal_power,
)

__all__ = ["AlignState", "Dealt", "align_step", "dealt_groups", "first_state"]

PYRAMID_RINGS = 8  # on which the pairs of a pyramid are compared


@dataclass(frozen=True, kw_only=True)
class AlignState:
    """Everything that a pass hands to the next one. m rows: images of the first start, of the second, .."""

    iteration: int
    seed: int
    march: March
    parts: tuple[Sums, ...]  # of the folds; a group for every start
    noise_power: torch.Tensor  # (G, R)
    alignments: Alignments  # of the rows
    log_evidence: np.ndarray  # (m,)
    moved: float


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """Images in ``starts`` groups and their folds, and those that no average sees."""

    groups: Groups
    folds: tuple[np.ndarray, ...]
    held_out: np.ndarray


def dealt_groups(data: PreparedParticles, settings: Align, seed: int) -> Dealt:
    """Who takes part in what."""
    good = np.flatnonzero(~data.bad)
    held_out = deal(good, 1, seed, held_out=held_out_size(len(good))).held_out
    label = np.where(data.bad, -1, 0)
    label[held_out] = -1
    groups = Groups.of_labels(label, settings.begun)
    return Dealt(groups=groups, folds=groups.folds(settings.folds, seed), held_out=held_out)


def first_state(
    data: PreparedParticles,
    settings: Align,
    dealt: Dealt,
    matching: Matching,
    seed: int,
    reference: torch.Tensor | None,
) -> AlignState:
    """The first alignment; reference: (1, R, Q), for the method that needs one."""
    noise = data.group_power.clamp_min(torch.finfo(torch.float32).tiny)
    groups = dealt.groups
    march = March.start(ring_limit_of(data, settings))
    if reference is not None:
        start, _ = align_to(data, groups, reference, noise, matching, ring_limit_of(data, settings))
    elif settings.method == "pyramidal":
        rings = min(PYRAMID_RINGS, ring_limit_of(data, settings))
        start = pyramid_alignments(data, groups, noise, matching, rings, seed)
    else:
        start = random_alignments(groups, seed, mirror=settings.mirror)
    return AlignState(
        iteration=0,
        seed=seed,
        march=march,
        parts=sums_of_folds(data, groups, dealt.folds, start, matching.noise(noise)),
        noise_power=noise,
        alignments=start,
        log_evidence=np.zeros(len(groups)),
        moved=1.0,
    )


def ring_limit_of(data: PreparedParticles, settings: Align) -> int:
    """Rings that may be used."""
    return min(ring_limit(data, settings.resolution_limit_A), data.basis.rings)


def align_step(
    state: AlignState,
    data: PreparedParticles,
    settings: Align,
    dealt: Dealt,
    matching: Matching,
    progress: Callable[[int], None] | None = None,
) -> tuple[AlignState, dict[str, Any]]:
    """One pass over all starts."""
    rings = state.march.rings
    found = align_once(
        data, dealt.groups, dealt.folds, state.parts, state.alignments, state.noise_power, matching, rings,
        progress=progress,
    )  # fmt: skip
    tau2 = signal_power(found.parts, data.basis)
    resolved = resolved_rings(found.parts, tau2[:rings])
    following = replace(
        state,
        iteration=state.iteration + 1,
        march=state.march.next(changed=found.moved, resolved=resolved, most=ring_limit_of(data, settings)),
        parts=found.parts,
        noise_power=residual_noise(state.noise_power, data, tau2, rings),
        alignments=found.alignments,
        log_evidence=found.log_evidence,
        moved=found.moved,
    )
    window_A = data.basis.window_px * data.pixel_size_A
    evidence = found.log_evidence.reshape(settings.begun, -1).mean(1)
    return following, {
        "moved_fraction": found.moved,
        "log_likelihood": float(evidence.max()),
        "resolution_A": window_A / max(resolved, 1),
        "rings": rings,
        "converged": following.march.converged,
    }
