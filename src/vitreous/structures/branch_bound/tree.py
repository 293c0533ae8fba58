"""Poses as a tree: directions and shifts in levels, each with more rings; the last one is the grid that is searched.

Every direction (and every shift) of a level belongs to the nearest one of the level before, its parent; they are
numbered so that the children of one parent follow each other. The frame of a child is that of its parent, turned the
shortest way from one direction to the other, so that one in-plane angle means the same for both. All levels have the
rotations of the last one.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import PoseGrid, PreparedParticles
from vitreous.rotations import fibonacci_directions, random_rotations
from vitreous.structures.abinitio.directions import asymmetric_unit, slice_matrices

__all__ = ["Level", "PoseTree", "level_rings", "pose_tree"]

FIRST_SHARE, FIRST_RINGS = 0.65, 4  # of the rings, and at least: fewer hold little of what a CTF leaves


@dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """D directions x S shifts at some rings.

    grid: its rings and shifts (S, 2) in pixels, with the rotations of the tree; matrices: (D, 3, 3) frames;
    direction_first: (D + 1,), shift_first: (S + 1,) places of the children in the next level, None in the last one.
    """

    grid: PoseGrid
    matrices: np.ndarray
    direction_first: np.ndarray | None = None
    shift_first: np.ndarray | None = None

    @property
    def shifts(self) -> int:
        """S."""
        return len(self.grid.shifts_px)

    @property
    def rows(self) -> int:
        """D S."""
        return len(self.matrices) * self.shifts


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseTree:
    """levels: from the coarsest to the grid that is searched."""

    levels: tuple[Level, ...]

    @property
    def finest(self) -> Level:
        """The grid that is searched."""
        return self.levels[-1]


def level_rings(rings: int) -> tuple[int, int]:
    """Rings of the two levels of a search at so many rings.

    More levels do not help: at low resolution a CTF leaves little signal, so bounds that begin there leave out nothing.
    """
    return min(rings, max(FIRST_RINGS, round(FIRST_SHARE * rings))), rings


def pose_tree(
    data: PreparedParticles,
    rings: int,
    *,
    offset_range_A: float,
    group: np.ndarray | None = None,
    seed: int = 0,
    levels: tuple[int, ...] | None = None,
) -> PoseTree:
    """The tree for particles at ``rings`` rings and origins within a range.

    Directions of a level are so far apart that the rim of the particle moves by half a wavelength of its outermost
    ring.
    group: (g, 3, 3), of whose copies one is searched; levels: rings of each, two or more, the last one ``rings``;
    :func:`level_rings` where there are none. ValueError for levels that are not so.
    """
    chosen = levels or level_rings(rings)
    if len(chosen) < 2 or chosen[-1] != rings or list(chosen) != sorted(chosen):
        raise ValueError(f"levels: expected two or more numbers of rings that grow to {rings}, found {chosen}")
    turn = random_rotations(1, seed=seed)[0].double()
    grids = [data.grid(r, offset_range_A) for r in chosen]
    directions = []
    for r in chosen:
        step = data.basis.window_px / (2 * data.basis.radius_px * r)
        directions.append((fibonacci_directions(math.ceil(4 * math.pi / step**2)).double() @ turn.T).numpy())
    if group is not None:
        inside = asymmetric_unit(torch.from_numpy(directions[-1]), torch.from_numpy(group))
        directions[-1] = directions[-1][inside.numpy()]
    directions, direction_first = _linked(directions)
    shifts, shift_first = _linked([grid.shifts_px.double().numpy() for grid in grids])
    frames = [slice_matrices(torch.from_numpy(directions[0])).numpy()]
    for above, below, firsts in zip(directions[:-1], directions[1:], direction_first, strict=True):
        parent = np.repeat(np.arange(len(above)), np.diff(firsts))
        frames.append(_shortest_turn(above[parent], below) @ frames[-1][parent])
    finest = grids[-1]
    return PoseTree(
        levels=tuple(
            Level(
                grid=PoseGrid(
                    basis=grid.basis,
                    n_psi=finest.n_psi,
                    shifts_px=torch.from_numpy(shifts[i]).float(),
                    notes=grid.notes,
                ),
                matrices=frames[i],
                direction_first=direction_first[i] if i + 1 < len(grids) else None,
                shift_first=shift_first[i] if i + 1 < len(grids) else None,
            )
            for i, grid in enumerate(grids)
        )
    )


def _linked(points: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Points of all levels in the order of their parents, those without children left out; places of the children."""
    kept = [points[-1]]
    parents: list[np.ndarray] = []
    for above in reversed(points[:-1]):
        below = kept[0]
        nearest = np.square(below[:, None] - above[None]).sum(-1).argmin(1)
        used, parent = np.unique(nearest, return_inverse=True)
        kept.insert(0, above[used])
        parents.insert(0, parent)
    firsts = []
    for i, parent in enumerate(parents):
        order = np.argsort(parent, kind="stable")
        kept[i + 1] = kept[i + 1][order]
        firsts.append(np.searchsorted(parent[order], np.arange(len(kept[i]) + 1)))
        if i + 1 < len(parents):
            place = np.empty(len(order), np.int64)
            place[order] = np.arange(len(order))
            parents[i + 1] = place[parents[i + 1]]
    return kept, firsts


def _shortest_turn(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Rotations (m, 3, 3) from unit vectors to others (m, 3) that are not opposite, about the axis across both."""
    axis, cosine = np.cross(start, end), (start * end).sum(1)
    zero = np.zeros(len(axis))
    x, y, z = axis.T
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    return np.eye(3) + cross + cross @ cross / (1 + cosine)[:, None, None]
