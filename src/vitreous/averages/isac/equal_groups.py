"""EQK-means with alignment: K-means whose classes all have the same number of members.

K-means with alignment (MRA) collapses: a class with more members has a less noisy average, which attracts still more
(SCIENCE.md section 3). With equal groups no class can. Every pass scores all images against all averages, each at its
best rotation and shift; then all images are assigned at once, such that the sum of the scores is largest among all
assignments with equal groups (:func:`vitreous.matching.balanced`, exact). A fold of the images is compared with the
averages of the other folds and balanced by itself, so that no image meets its own noise and the whole is balanced, too.

Several runs on the same images are one pass: their averages stand side by side, and share the products of the core.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import (
    Alignments,
    PreparedParticles,
    Sums,
    accumulate_at,
    balanced,
    score_table,
    signal_power,
    visit,
    wiener,
)
from vitreous.randomness import uniforms

__all__ = ["Assigned", "equal_pass", "random_sums"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Assigned:
    """b images in m runs: label (b, m), the class of each in every run, from 0."""

    label: np.ndarray


def random_sums(
    data: PreparedParticles,
    folds: tuple[np.ndarray, ...],
    runs: int,
    classes: int,
    noise_power: torch.Tensor,
    seed: int,
) -> tuple[Sums, ...]:
    """Sums of every fold with random labels and rotations, others in every run: averages that differ by chance."""
    parts = []
    for fold in folds:
        sums = []
        for r in range(runs):
            random = uniforms(seed, "first groups", r, ids=fold, count=2)
            label = np.argsort(np.argsort(random[:, 0])) * classes // max(len(fold), 1)
            start = Alignments.from_shifts(fold, label, 2 * np.pi * random[:, 1], np.zeros((len(fold), 2)))
            sums.append(accumulate_at(data, start, classes, noise_power))
        parts.append(_side_by_side(sums))
    return tuple(parts)


def _side_by_side(sums: list[Sums]) -> Sums:
    return Sums(**{name: torch.cat([getattr(s, name) for s in sums]) for name in vars(sums[0])})


def equal_pass(
    data: PreparedParticles,
    folds: tuple[np.ndarray, ...],
    parts: tuple[Sums, ...],
    runs: int,
    noise_power: torch.Tensor,
    offset_range_A: float,
    rings: int,
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[tuple[Sums, ...], np.ndarray, Assigned]:
    """One pass of m runs with K classes each: sums of the folds (m K references), particles, and what they got."""
    plan, classes = data.search(rings, offset_range_A), len(parts[0].power) // runs
    grid = plan.fine

    def match(others: Sums, parts: tuple[Sums, ...], index: np.ndarray) -> tuple[Sums, Assigned]:
        tau2 = signal_power(parts, data.basis)[: grid.rings]
        averages = wiener(others.signal[:, : grid.rings, : grid.harmonics], others.power[:, : grid.rings], tau2)
        references = plan.references(
            averages,
            ctf_harmonics=data.ctf_harmonics,
            log_class_prior=torch.zeros(len(averages)),
            offset_sd_px=offset_range_A / 2 / data.pixel_size_A,
        )
        table = score_table(data, index, plan, references, noise_power)
        labels = [
            balanced(np.ascontiguousarray(table.log_posterior[:, r * classes : (r + 1) * classes])).labels
            for r in range(runs)
        ]
        own = [table.alignments(index, r * classes + labels[r], data.pixel_size_A) for r in range(runs)]
        sums = [accumulate_at(data, a, runs * classes, noise_power, rings=rings) for a in own]
        every = Sums(**{name: sum(getattr(s, name) for s in sums) for name in vars(sums[0])})
        return every, Assigned(label=np.stack(labels, 1))

    return visit(folds, parts, match, progress=progress)
