"""The best pose of every particle in a map by branch and bound: directions and shifts in levels, rotations all at once.

*Scores.* With ``x = C X / sigma^2`` and slices ``a`` (weights of rings in the inner product), the log likelihood of a
pose c at all R rings is, up to a constant,

    L(c) = Re <x, a_c> - 1/2 |C a_c|^2 / sigma^2 + prior.

A row p of a coarser level has R' rings and stands for the poses c below it in the tree, ``a_c = a_p + rho_c``
(:mod:`.references`). From its own score ``l(p) = Re <x, a_p> - 1/2 |C a_p|^2 / sigma^2`` follows

    L(c) = l(p) + Re <x, rho_c> - 1/2 (|C a_c|^2 - |C a_p|^2) / sigma^2 + prior.

*The sure bound.* By Cauchy and Schwarz on every ring, ``Re <x, rho_c> <= sum_r |x(r)| gap_p(r)``; the power of a_c is
at least ``least_p``, and on a ring C^2 / sigma^2 is at least ``D-`` and at most ``D+``, which differ by astigmatism:

    L(c) <= l(p) + sum_r |x(r)| gap_p(r) + 1/2 sum_r (D+(r) |a_p(r)|^2 - D-(r) least_p(r)) + prior.

It holds for every image and every pose below, so the best pose of the whole grid is never lost: the result is that of
the exhaustive search. But ``|x|`` is mostly noise, in all directions of Fourier space, and the bound is wide.

*The likely bound* (the idea of Punjani et al. 2017). If c is the pose of the particle, then ``X = C a_c + noise``, and

    L(c) - l(p) - prior = 1/2 |C rho_c|^2 / sigma^2 + |C rho_c| / sigma nu,     nu ~ N(0, 1),

since noise has one component only along rho. With ``G^2 = sum_r D(r) gap_p(r)^2``, D the mean of C^2 / sigma^2 on a
ring, the true pose has ``L(c) <= l(p) + G^2 / 2 + k G + prior`` but with probability Phi(-k), for every level but the
last, which is scored: 0.14 % for two levels and k = 3. Two things are not in it: poses between the points of the grid,
and that the best pose is the highest of many, which may owe its height to noise. How often it differs from the best one
of the exhaustive search is measured (``python -m benchmarks branch-and-bound``).

Both bounds are for the best pose, not for sums over poses. A row is left out where its bound is below a score that some
pose of the grid is known to reach: at each level the search goes down once from the best row of every image.
"""

import math
from dataclasses import dataclass, fields
from functools import reduce
from operator import add

import numpy as np
import torch

from vitreous.matching import ImageTile, PreparedParticles, ReferenceBlocks, in_blocks, row_maxima
from vitreous.structures._kernels.bound import descend
from vitreous.structures.branch_bound.references import LevelReferences, TreeReferences, parts

__all__ = ["BoundedPoses", "Evaluated", "best_by_bound"]

TILE = 256  # images at a time
ROUNDING = 1e-5  # of the known score: sums of single precision


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundedPoses:
    """m particles: rotation (m, 3, 3), origin_A (m, 2), score (m,) log likelihood with the prior.

    direction, shift, turn: (m,) their places in the finest level; evaluated: what it took.
    """

    rotation: np.ndarray
    origin_A: np.ndarray
    score: np.ndarray
    direction: np.ndarray
    shift: np.ndarray
    turn: np.ndarray
    evaluated: "Evaluated"


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """Poses of every level (levels,), over all particles: how many were scored, and how many there are."""

    poses: np.ndarray
    all_poses: np.ndarray

    def __add__(self, other: "Evaluated") -> "Evaluated":
        return Evaluated(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    @property
    def fewer(self) -> float:
        """Poses of the finest level over those that were scored, on whatever level."""
        return float(self.all_poses[-1] / self.poses.sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Pairs of image and row (c,), in any order, with their scores and the rotations (-1: not known) of these."""

    image: np.ndarray
    row: np.ndarray
    score: np.ndarray
    turn: np.ndarray

    def take(self, kept: np.ndarray) -> "_Rows":
        """Some of them."""
        return _Rows(**{f.name: getattr(self, f.name)[kept] for f in fields(self)})

    def joined(self, other: "_Rows") -> "_Rows":
        """Those of both."""
        return _Rows(**{f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)})

    def best(self) -> "_Rows":
        """The highest of every image that has any, in the order of images."""
        order = np.lexsort((self.row, -self.score, self.image))
        return self.take(order[np.unique(self.image[order], return_index=True)[1]])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Images:
    """Images as the compiled loop takes them: x (n, 2, P), ctf_power (n, 2, R, H); and what bounds need of them.

    size: (n, R) |x(r)| under the weights of rings; highest, mean, lowest: (n, R) C^2 / sigma^2 on a ring. C^2 is the
    series of harmonics that scores are made with, which may fall below 0 by less than 1e-4; lowest does not.
    """

    x: np.ndarray
    ctf_power: np.ndarray
    size: np.ndarray
    highest: np.ndarray
    mean: np.ndarray
    lowest: np.ndarray

    @classmethod
    def of(cls, tile: ImageTile, finest: LevelReferences) -> "_Images":
        basis = finest.level.grid.basis
        squares = (tile.data.abs().square() * basis.multiplicity).sum(2) * basis.ring_weight
        mean = tile.ctf_power[:, :, 0].real
        swing = 2 * tile.ctf_power[:, :, 1:].abs().sum(2)
        return cls(
            x=parts(tile.data[:, basis.used]),
            ctf_power=parts(tile.ctf_power),
            size=squares.sqrt().numpy(),
            highest=(mean + swing).numpy(),
            mean=mean.numpy(),
            lowest=(mean - swing).clamp_min(0).numpy(),
        )


def best_by_bound(
    data: PreparedParticles,
    index: np.ndarray,
    noise_power: torch.Tensor,
    references: TreeReferences,
    *,
    sigmas: float | None = None,
) -> BoundedPoses:
    """The best pose of particles ``index`` (m,) on the finest level of the tree.

    noise_power: (G, >= R) sigma^2 of the noise groups; sigmas: k of the likely bound, None for the sure one.
    """
    finest, first = references.tree.finest, references.levels[0].every
    assert first is not None
    blocks = in_blocks(first, TILE, memory_bytes=data.memory_bytes // 4)
    found = [
        _search(data.tile(part, finest.grid.rings, noise_power), blocks, references, sigmas)
        for part in np.array_split(index, max(1, math.ceil(len(index) / TILE)))
    ]
    row, score, turn = (np.concatenate([getattr(one[0], name) for one in found]) for name in ("row", "score", "turn"))
    direction, shift = row // finest.shifts, row % finest.shifts
    psi = turn * (2 * np.pi / finest.grid.n_psi)
    c, s = np.cos(psi), np.sin(psi)
    about = np.tile(np.eye(3), (len(psi), 1, 1))
    about[:, 0, 0], about[:, 0, 1], about[:, 1, 0], about[:, 1, 1] = c, -s, s, c
    origin = finest.grid.origins_px(torch.from_numpy(psi), torch.from_numpy(shift)).double().numpy()
    return BoundedPoses(
        rotation=finest.matrices[direction] @ about,
        origin_A=origin * data.pixel_size_A,
        score=score,
        direction=direction,
        shift=shift,
        turn=turn,
        evaluated=reduce(add, (one[1] for one in found)),
    )


def _search(
    tile: ImageTile, blocks: ReferenceBlocks, references: TreeReferences, sigmas: float | None
) -> tuple[_Rows, Evaluated]:
    """The best row of the finest level for every image, and what was scored."""
    levels, n = references.levels, len(tile)
    images = _Images.of(tile, levels[-1])
    counts = np.zeros(len(levels), np.int64)
    every_score = _first_level(tile, blocks, levels[0], counts)
    highest = np.arange(levels[0].level.rows) == every_score.argmax(1)[:, None]
    reached = _down(images, levels, 0, _listed(every_score, highest), counts)
    floor = _known(reached)[:, None] - _wide(images, levels[0], sigmas)
    rows = _listed(every_score, every_score >= floor)
    rows = _below(images, levels, 1, rows, floor[rows.image, rows.row], counts)
    for i in range(1, len(levels) - 1):
        reached = reached.joined(_down(images, levels, i, rows.best(), counts)).best()
        floor = (_known(reached)[:, None] - _wide(images, levels[i], sigmas))[rows.image, rows.row]
        kept = rows.score >= floor
        rows = _below(images, levels, i + 1, rows.take(kept), floor[kept], counts)
    every = n * np.array([level.level.rows * level.level.grid.n_psi for level in levels])
    return reached.joined(rows).best(), Evaluated(poses=counts, all_poses=every)


def _first_level(tile: ImageTile, blocks: ReferenceBlocks, level: LevelReferences, counts: np.ndarray) -> np.ndarray:
    """Scores (n, D S) of all rows of the first level, by products of matrices."""
    inner = tile.truncated(level.level.grid)
    score = torch.cat([row_maxima(inner, block) for block in blocks], 1).flatten(1).numpy()
    counts[0] += score.size * level.level.grid.n_psi
    return np.asarray(score)


def _listed(score: np.ndarray, kept: np.ndarray) -> _Rows:
    """What is kept of (n, D S), row after row."""
    row, image = np.nonzero(kept.T)
    return _Rows(image=image, row=row, score=score[image, row], turn=np.full(len(row), -1))


def _down(images: _Images, levels: tuple[LevelReferences, ...], number: int, rows: _Rows, counts: np.ndarray) -> _Rows:
    """The best rows of the last level that are reached from single ones by taking the best child again and again."""
    for below in range(number + 1, len(levels)):
        rows = _below(images, levels, below, rows, np.full(len(rows.row), -np.inf), counts).best()
    return rows


def _known(reached: _Rows) -> np.ndarray:
    """What some pose of every image (n,) has, less rounding."""
    return np.asarray(reached.score - ROUNDING * np.abs(reached.score))


def _below(
    images: _Images,
    levels: tuple[LevelReferences, ...],
    number: int,
    rows: _Rows,
    floor: np.ndarray,
    counts: np.ndarray,
) -> _Rows:
    """The children of rows, in level ``number``, with their scores; in the last level these have the prior."""
    above, below = levels[number - 1], levels[number]
    directions, shifts = above.level.direction_first, above.level.shift_first
    assert directions is not None
    assert shifts is not None
    each = (np.diff(directions)[:, None] * np.diff(shifts)).ravel()[rows.row]
    row, turn = np.empty(each.sum(), np.int64), np.empty(each.sum(), np.int64)
    score = np.empty(len(row), np.float32)
    counts[number] += descend(
        images.x,
        images.ctf_power,
        above.rows,
        above.power,
        above.harmonics,
        below.rows,
        below.power,
        below.harmonics,
        below.synthesis,
        np.array([above.level.shifts, below.level.shifts]),
        directions,
        shifts,
        rows.image,
        rows.row,
        floor.astype(np.float32),
        row,
        score,
        turn,
    )
    if number == len(levels) - 1:
        score += below.prior[row % below.level.shifts]
    return _Rows(image=np.repeat(rows.image, each), row=row, score=score, turn=turn)


def _wide(images: _Images, level: LevelReferences, sigmas: float | None) -> np.ndarray:
    """By how much poses below a row may exceed its score (with ``sigmas`` by the likely bound), (n, D S)."""
    assert level.gap is not None
    assert level.least is not None
    prior = np.tile(level.prior, len(level.level.matrices))
    if sigmas is None:
        power = level.power[:, 0, :, 0].repeat(level.level.shifts, 0)
        wide = images.size @ level.gap.T
        wide += 0.5 * (images.highest[:, : level.level.grid.rings] @ power.T - images.lowest @ level.least.T)
        return np.asarray(wide + prior)
    square = images.mean @ np.square(level.gap).T
    return np.asarray(0.5 * square + sigmas * np.sqrt(square) + prior)
