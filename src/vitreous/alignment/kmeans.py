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

Many groups are made from few. Averages are compared with averages (:func:`near_groups`), which are as many as there are
groups and not as there are images; an image then meets the groups near its own (:class:`Near`), and the work for an
image does not grow with their number. Where groups are split in two (:func:`split_groups`), the number of groups an
image meets stays the same from the first few, which it meets all, to the last many.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import (
    Alignments,
    Cell,
    ImageTile,
    PreparedParticles,
    References,
    SearchPlan,
    Similarity,
    Sums,
    accumulate_at,
    balanced,
    chosen_alignments,
    left_out,
    reference_maxima,
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
    "Near",
    "even_sizes",
    "group_images",
    "group_references",
    "kmeans_pass",
    "near_groups",
    "random_sums",
    "split_groups",
]


PER_CELL = 6  # groups that the images of a cell meet for each group of the cell


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
    """b images in m runs: label (b, m), the class of each in every run, from 0, and its pose on the average of this.

    psi_rad: (b, m); shift_px: (b, m, 2) in the frame of the average, pixels of the working images; similarity: (b,) to
    the average of the first run.
    """

    label: np.ndarray
    psi_rad: np.ndarray
    shift_px: np.ndarray
    similarity: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Near:
    """Which groups an image meets: those near its cell, a few groups that are near one another.

    cell: (m, K) of every group in its run; groups: (m, cells, C) ascending, those that the images of a cell meet, its
    own among them; label: (N, m), the groups that all N images were in last.
    """

    cell: np.ndarray
    groups: np.ndarray
    label: np.ndarray

    def of(self, index: np.ndarray, run: int) -> np.ndarray:
        """(b, C) groups that images ``index`` meet in a run."""
        found: np.ndarray = self.groups[run, self.cell[run, self.label[index, run]]]
        return found

    def cells(self, index: np.ndarray) -> list[Cell]:
        """Of images ``index`` and all runs: reference r K + k is group k of run r."""
        runs, classes = self.cell.shape
        found = []
        for r in range(runs):
            own = self.cell[r, self.label[index, r]]
            order = np.argsort(own, kind="stable")
            edges = np.searchsorted(own[order], np.arange(self.groups.shape[1] + 1))
            found += [
                Cell(
                    images=order[edges[c] : edges[c + 1]],
                    references=self.groups[r, c] + r * classes,
                    column=r * self.groups.shape[2],
                )
                for c in np.flatnonzero(np.diff(edges))
            ]
        return found


def near_groups(
    data: PreparedParticles,
    parts: tuple[Sums, ...],
    label: np.ndarray,
    offset_range_A: float,
    rings: int,
    count: int,
) -> Near:
    """Every image meets the ``count`` groups whose averages are nearest to those of its cell.

    label: (N, m), groups that all images were in last. An average is matched with the others of its run as an image
    without noise and with the mean CTF of its members is.
    """
    runs, plan, every = label.shape[1], data.search(rings, offset_range_A), total(parts)
    references = group_references(every, parts, data, plan, offset_range_A)[1]
    classes = references.count // runs
    power = every.power[:, : plan.fine.rings] / every.members.clamp_min(1.0)[:, None]
    cells, groups = [], []
    for r in range(runs):
        own = slice(r * classes, (r + 1) * classes)
        averages = ImageTile(
            data=references.harmonics[own] * power[own, :, None], ctf_power=power[own, :, None].to(torch.complex64)
        )
        likeness = np.empty((classes, classes), np.float32)
        for block in plan.blocks((None, references.take(own)), classes).fine:
            likeness[:, block.first : block.first + block.references.count] = reference_maxima(averages, block).cpu()
        np.fill_diagonal(likeness, np.inf)
        nearest = np.argsort(-likeness, axis=1, kind="stable")
        cells.append(_cells(nearest, max(1, count // PER_CELL)))
        groups.append(_met(nearest, cells[-1], min(count, classes)))
    most = max(map(len, groups))
    filled = [np.concatenate([g, np.zeros((most - len(g), g.shape[1]), np.int64)]) for g in groups]
    return Near(cell=np.stack(cells), groups=np.stack(filled), label=label)


def _cells(nearest: np.ndarray, most: int) -> np.ndarray:
    """Cell (K,) of every group, from nearest (K, K): a group with those of its nearest that have no cell yet."""
    cell = np.full(len(nearest), -1)
    for k in range(len(nearest)):
        if cell[k] < 0:
            near = nearest[k, : 2 * most]
            cell[near[cell[near] < 0][:most]] = cell.max() + 1
    return cell


def _met(nearest: np.ndarray, cell: np.ndarray, count: int) -> np.ndarray:
    """(cells, count) ascending: the groups that are nearest to any group of the cell."""
    rank = np.argsort(nearest, axis=1)
    least = np.stack([rank[cell == c].min(0) for c in range(int(cell.max()) + 1)])
    return np.sort(np.argsort(least, axis=1, kind="stable")[:, :count], axis=1)


def split_groups(
    data: PreparedParticles,
    folds: tuple[np.ndarray, ...],
    index: np.ndarray,
    found: Assigned,
    classes: int,
    noise_power: torch.Tensor,
    seed: int,
) -> tuple[tuple[Sums, ...], np.ndarray]:
    """Every group in two halves by chance, equal in every fold: sums of the folds (2 m K references), labels (b, m).

    index: (b,) the images of ``found``. Group k becomes 2 k and 2 k + 1.
    """
    place = np.empty(len(data), np.int64)
    place[index] = np.arange(len(index))
    label = np.empty_like(found.label)
    parts = []
    for fold in folds:
        here, sums = place[fold], []
        for r in range(found.label.shape[1]):
            before = found.label[here, r]
            order = np.lexsort((uniforms(seed, "halves of groups", r, ids=fold)[:, 0], before))
            size = np.bincount(before, minlength=classes)
            turn = np.arange(len(fold)) - (np.cumsum(size) - size)[before[order]]
            label[here[order], r] = 2 * before[order] + turn % 2
            shift_A = found.shift_px[here, r] * data.pixel_size_A
            own = Alignments.from_shifts(fold, label[here, r], found.psi_rad[here, r], shift_A)
            sums.append(accumulate_at(data, own, 2 * classes, noise_power))
        parts.append(_side_by_side(sums))
    return tuple(parts), label


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
    near: Near | None = None,
) -> tuple[Assigned, list[Alignments]]:
    """Images ``index`` (b,) to references (m K): what they got, and their alignments in every run.

    sizes: (K,) of equal groups; None: within one. near: the groups that they meet; None: all.
    """
    classes = references[1].count // runs
    cells = None if near is None else near.cells(index)
    table = score_table(data, index, plan, references, noise_power, similarity=grouping.similarity, cells=cells)
    value, width = table.log_posterior, table.log_posterior.shape[1] // runs

    def column(r: int) -> np.ndarray:
        own = np.ascontiguousarray(value[:, r * width : (r + 1) * width])
        if not grouping.equal:
            return own.argmax(1)
        return balanced(own, sizes, among=None if near is None else near.of(index, r), classes=classes).column

    columns = [r * width + column(r) for r in range(runs)]
    own = chosen_alignments(data, index, references[1], noise_power, table, columns)
    assigned = Assigned(
        label=np.stack([a.reference - r * classes for r, a in enumerate(own)], 1),
        psi_rad=np.stack([a.psi_rad for a in own], 1),
        shift_px=np.stack([a.shift_A for a in own], 1) / data.pixel_size_A,
        similarity=value[np.arange(len(index)), columns[0]],
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
    near: Near | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[tuple[Sums, ...], np.ndarray, Assigned]:
    """One pass of m runs with K classes each: sums of the folds (m K references), particles, and what they got.

    sizes: (F, K) of equal groups in every fold; None: within one. near: the groups that images meet, their own among
    them, so that equal groups are possible; None: all. Memory: 6 bytes per image of a fold and reference that it meets,
    and what a pass over the data takes.
    """
    plan = data.search(rings, offset_range_A)
    fold_of = np.empty(len(data), np.int64)
    for f, fold in enumerate(folds):
        fold_of[fold] = f

    def match(others: Sums, parts: tuple[Sums, ...], index: np.ndarray) -> tuple[Sums, Assigned]:
        references = group_references(others, parts, data, plan, offset_range_A)
        of_fold = None if sizes is None else sizes[fold_of[index[0]]]
        assigned, own = group_images(data, index, plan, references, runs, noise_power, grouping, of_fold, near)
        sums = [accumulate_at(data, a, references[1].count, noise_power, rings=rings) for a in own]
        return Sums(**{name: sum(getattr(s, name) for s in sums) for name in vars(sums[0])}), assigned

    return visit(folds, parts, match, against=grouping.against, progress=progress)
