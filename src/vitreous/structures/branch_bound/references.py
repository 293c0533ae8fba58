"""Slices of a map for all levels of a tree of poses, and how far the poses below a row can be from it.

A row p (a direction and a shift of a level with R' of R rings) stands for all poses below it in the tree. Of a pose c
below, in the frame that both share, the slice is ``a_c = a_p + rho_c``: on the first R' rings rho is what turning and
shifting change, on the others all of a_c. What bounds need is, for every row and every ring r,

    gap_p(r) = max_c |rho_c(r)|,       least_p(r) = min_c |a_c(r)|^2,

norms under the weights of rings. They are computed from the very arrays that are scored, for all c, so that nothing is
assumed of the map, of interpolation or of how shifts are cut off at the last harmonic.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.matching import References, make_references
from vitreous.structures.branch_bound.tree import Level, PoseTree
from vitreous.volumes import RingPoints, ring_slices

__all__ = ["LevelReferences", "TreeReferences", "parts", "tree_references"]

AT_ONCE = 64  # directions


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelReferences:
    """A level's slices: rows (D S, 2, P) and power (D, 2, R', H), as the compiled loop takes them.

    harmonics: (R',) of each ring; synthesis: (T, 2, Q') of all rotations. gap, least: of the module docstring, (D S, R)
    of all R rings; prior: (S,) the highest log prior of the shifts below. In the last level gap and least are None.
    every: the slices as products of matrices take them, without a prior; of the first level.
    """

    level: Level
    rows: np.ndarray
    power: np.ndarray
    harmonics: np.ndarray
    synthesis: np.ndarray
    prior: np.ndarray
    every: References | None = None
    gap: np.ndarray | None = None
    least: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class TreeReferences:
    """All levels of a tree with the slices of one map."""

    tree: PoseTree
    levels: tuple[LevelReferences, ...]


def tree_references(
    tree: PoseTree, volume_ft: torch.Tensor, *, ctf_harmonics: int, offset_sd_px: float
) -> TreeReferences:
    """Slices of a prepared map with room for the rings of the tree.

    ctf_harmonics: of the particles (:attr:`vitreous.matching.PreparedParticles.ctf_harmonics`); offset_sd_px: width of
    the Gaussian prior on origins, per axis (inf: flat).
    """
    made = [_slices(level, volume_ft, ctf_harmonics, offset_sd_px) for level in tree.levels]
    shifted = [
        torch.cat([level.grid.shift_references(part) for part in one.harmonics.split(AT_ONCE)])
        for level, one in zip(tree.levels, made, strict=True)
    ]
    prior = made[-1].log_prior[0].numpy()
    found: list[LevelReferences] = []
    for i in reversed(range(len(tree.levels))):
        level = tree.levels[i]
        gap = least = None
        if level.shift_first is not None:
            gap, least = _gaps(tree, i, shifted, made[-1].power[:, :, 0].real)
            prior = np.maximum.reduceat(prior, level.shift_first[:-1])
        basis = level.grid.basis
        weighted = (shifted[i] * basis.ring_weight[:, None]).flatten(0, 1)
        found.insert(
            0,
            LevelReferences(
                level=level,
                rows=parts(weighted[:, basis.used]),
                power=parts(made[i].power),
                harmonics=basis.q_max + 1,
                synthesis=_synthesis(level),
                prior=prior.astype(np.float32),
                every=replace(made[i], log_prior=torch.zeros_like(made[i].log_prior)) if i == 0 else None,
                gap=gap,
                least=least,
            ),
        )
    return TreeReferences(tree=tree, levels=tuple(found))


def _slices(level: Level, volume_ft: torch.Tensor, ctf_harmonics: int, offset_sd_px: float) -> References:
    harmonics = ring_slices(volume_ft, torch.from_numpy(level.matrices).float(), RingPoints(basis=level.grid.basis))
    return make_references(
        level.grid,
        harmonics,
        ctf_harmonics=ctf_harmonics,
        log_class_prior=torch.zeros(len(harmonics)),
        offset_sd_px=offset_sd_px,
    )


def parts(values: torch.Tensor) -> np.ndarray:
    """Real and imaginary part of (m, ...), as (m, 2, ...) float32."""
    values = values.to(torch.complex64)
    return np.ascontiguousarray(torch.stack([values.real, values.imag], 1).numpy())


def _synthesis(level: Level) -> np.ndarray:
    grid = level.grid
    return np.ascontiguousarray(grid.synthesis.reshape(grid.n_psi, 2, grid.harmonics).numpy())


def _gaps(
    tree: PoseTree, number: int, shifted: list[torch.Tensor], power: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """gap and least (D S, R) of a level, over the rows of the last one; power: (D', R) of the last level's slices."""
    level, finest = tree.levels[number], tree.finest
    of_direction, of_shift = (_ancestors(tree, number, name) for name in ("direction_first", "shift_first"))
    basis = finest.grid.basis
    rings, harmonics = level.grid.rings, level.grid.harmonics
    m = basis.multiplicity
    squares = torch.zeros(len(level.matrices), level.shifts, basis.rings)
    least = torch.full((len(level.matrices), basis.rings), torch.inf)
    where = torch.from_numpy(of_direction)
    for start in range(0, len(finest.matrices), AT_ONCE):
        here = slice(start, start + AT_ONCE)
        parent = where[here]
        below = shifted[-1][here]
        outer = (below.abs().square() * m).sum(3) * basis.ring_weight
        near = shifted[number][parent][:, torch.from_numpy(of_shift)]
        inner = below[:, :, :rings].clone()
        inner[..., :harmonics] -= near
        outer[:, :, :rings] = (inner.abs().square() * m).sum(3) * basis.ring_weight[:rings]
        for t, s in enumerate(of_shift):
            squares[:, s].scatter_reduce_(0, parent[:, None].expand(-1, basis.rings), outer[:, t], "amax")
        least.scatter_reduce_(0, parent[:, None].expand(-1, basis.rings), power[here], "amin")
    gap = squares.sqrt().flatten(0, 1).numpy()
    return gap, least.repeat_interleave(level.shifts, 0).numpy()


def _ancestors(tree: PoseTree, number: int, name: str) -> np.ndarray:
    """The ancestor in level ``number`` of every direction or shift of the last one."""
    first = getattr(tree.levels[number], name)
    found = np.repeat(np.arange(len(first) - 1), np.diff(first))
    for level in tree.levels[number + 1 : -1]:
        first = getattr(level, name)
        found = np.repeat(found, np.diff(first))
    return found
