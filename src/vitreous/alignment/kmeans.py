"""K-means with alignment (multi-reference alignment), free or with equal groups, for one or several runs at once.

The distance between an image and an average is that at the best rotation and shift (seed 000). A pass scores all images
against all averages and gives every image to one of them; the averages follow. What can differ is a :class:`Grouping`:

- *similarity*: :mod:`vitreous.matching.similarity`. With the plain correlation classes collapse: a class with more
  members has a less noisy average, which a Wiener filter leaves stronger, and so attracts still more.
- *equal*: every class gets the same number of images (EQK-means): all images of a fold are assigned at once, such that
  the sum of the similarities is largest among all assignments with equal groups
  (:func:`vitreous.matching.balanced`, exact). No class can collapse.
- *leave_out*: a fold of the images is compared with the averages of the other folds. Otherwise an image's own noise is
  in the average of its class, and raises its score there by about (number of Fourier coefficients) / (members) nats,
  so that at a low signal-to-noise ratio nobody moves (SCIENCE.md section 3).

Several runs on the same images are one pass: their averages stand side by side, and share the products of the core.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import (
    Alignments,
    PreparedParticles,
    References,
    SearchPlan,
    Similarity,
    Sums,
    accumulate_at,
    balanced,
    left_out,
    score_table,
    signal_power,
    total,
    visit,
    wiener,
)
from vitreous.randomness import uniforms

__all__ = [
    "EQK",
    "Assigned",
    "Grouping",
    "even_sizes",
    "group_images",
    "group_references",
    "kmeans_pass",
    "random_sums",
]


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """How images go to averages. similarity None: distance and the prior of the shifts."""

    similarity: Similarity | None = None
    equal: bool = True
    leave_out: bool = True

    def against(self, parts: Sequence[Sums], fold: int | None) -> Sums:
        """What the images of a fold are compared with."""
        return left_out(parts, fold) if self.leave_out else total(parts)


EQK = Grouping()


@dataclass(frozen=True, kw_only=True, eq=False)
class Assigned:
    """b images in m runs: label (b, m), the class of each in every run, from 0; the rest (b,) are of the first run.

    psi_rad; shift_px (b, 2) in the frame of the average, pixels of the working images; similarity: to its average.
    """

    label: np.ndarray
    psi_rad: np.ndarray
    shift_px: np.ndarray
    similarity: np.ndarray


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


def even_sizes(lengths: Sequence[int], classes: int) -> np.ndarray:
    """Members (pieces, K) of every class in pieces of so many images: equal within one in each piece, and in total."""
    edges = np.cumsum([0, *lengths])
    turns = (edges[:, None] + classes - 1 - np.arange(classes)) // classes  # members of class k among the first images
    return np.diff(turns, axis=0)


def group_references(
    others: Sums, parts: tuple[Sums, ...], data: PreparedParticles, plan: SearchPlan, offset_range_A: float
) -> tuple[References | None, References]:
    """Wiener averages of the statistics ``others`` ready for a search; the spectrum of the signal is that of all."""
    grid = plan.fine
    tau2 = signal_power(parts, data.basis)[: grid.rings]
    averages = wiener(others.signal[:, : grid.rings, : grid.harmonics], others.power[:, : grid.rings], tau2)
    return plan.references(
        averages,
        ctf_harmonics=data.ctf_harmonics,
        log_class_prior=torch.zeros(len(averages)),
        offset_sd_px=offset_range_A / 2 / data.pixel_size_A,
    )


def group_images(
    data: PreparedParticles,
    index: np.ndarray,
    plan: SearchPlan,
    references: tuple[References | None, References],
    runs: int,
    noise_power: torch.Tensor,
    grouping: Grouping,
    sizes: np.ndarray | None = None,
) -> tuple[Assigned, list[Alignments]]:
    """Images ``index`` (b,) to references (m K): what they got, and their alignments in every run.

    sizes: (K,) of equal groups; None: within one.
    """
    table = score_table(data, index, plan, references, noise_power, similarity=grouping.similarity)
    value, classes = table.log_posterior, references[1].count // runs

    def labels(r: int) -> np.ndarray:
        own = np.ascontiguousarray(value[:, r * classes : (r + 1) * classes])
        return balanced(own, sizes).labels if grouping.equal else own.argmax(1)

    label = [labels(r) for r in range(runs)]
    own = [table.alignments(index, r * classes + label[r], data.pixel_size_A) for r in range(runs)]
    assigned = Assigned(
        label=np.stack(label, 1),
        psi_rad=own[0].psi_rad,
        shift_px=own[0].shift_A / data.pixel_size_A,
        similarity=value[np.arange(len(index)), label[0]],
    )
    return assigned, own


def kmeans_pass(
    data: PreparedParticles,
    folds: tuple[np.ndarray, ...],
    parts: tuple[Sums, ...],
    runs: int,
    noise_power: torch.Tensor,
    offset_range_A: float,
    rings: int,
    *,
    grouping: Grouping = EQK,
    sizes: np.ndarray | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[tuple[Sums, ...], np.ndarray, Assigned]:
    """One pass of m runs with K classes each: sums of the folds (m K references), particles, and what they got.

    sizes: (F, K) of equal groups in every fold; None: within one. Memory: 8 bytes per image of a fold and reference,
    and what a pass over the data takes.
    """
    plan = data.search(rings, offset_range_A)
    fold_of = np.empty(len(data), np.int64)
    for f, fold in enumerate(folds):
        fold_of[fold] = f

    def match(others: Sums, parts: tuple[Sums, ...], index: np.ndarray) -> tuple[Sums, Assigned]:
        references = group_references(others, parts, data, plan, offset_range_A)
        of_fold = None if sizes is None else sizes[fold_of[index[0]]]
        assigned, own = group_images(data, index, plan, references, runs, noise_power, grouping, of_fold)
        sums = [accumulate_at(data, a, references[1].count, noise_power, rings=rings) for a in own]
        return Sums(**{name: sum(getattr(s, name) for s in sums) for name in vars(sums[0])}), assigned

    return visit(folds, parts, match, against=grouping.against, progress=progress)
