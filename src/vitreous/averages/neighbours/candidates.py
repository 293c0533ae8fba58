"""Which images could be neighbours: by features, or by the affinity of all pairs in all rotations.

A neighbour list says: image i is neighbour j, mirrored where so marked (components conjugated), then turned by psi
(components times exp(i q psi)). For affinities see :mod:`vitreous.averages.neighbours.mahalanobis`.
"""

import math
from dataclasses import dataclass, replace

import torch

from vitreous.averages.neighbours.mahalanobis import (
    GroupForm,
    ImagePosteriors,
    PairForm,
    group_pairs,
    likelihood_form,
    turned_components,
    up_to_order,
)
from vitreous.matching import RotationGrid, pair_scores, rotation_scores

__all__ = ["NeighbourLists", "align_pairs", "best_of", "exhaustive_candidates", "nearest"]

_SLAB, _TILE_ROWS, _TILE_COLUMNS = 512, 64, 256  # images; a tile of scores stays near the processor
_PAIRS = 16384  # pairs aligned at once


@dataclass(frozen=True, kw_only=True)
class NeighbourLists:
    """The S neighbours of n images, best first: index int64, mirrored bool, psi_rad, affinity, all (n, S)."""

    index: torch.Tensor
    mirrored: torch.Tensor
    psi_rad: torch.Tensor
    affinity: torch.Tensor


def best_of(lists: NeighbourLists, k: int) -> NeighbourLists:
    """The k neighbours of largest affinity, best first."""
    affinity, where = lists.affinity.topk(k, dim=1)
    index, mirrored, psi = (x.gather(1, where) for x in (lists.index, lists.mirrored, lists.psi_rad))
    return NeighbourLists(index=index, mirrored=mirrored, psi_rad=psi, affinity=affinity)


def nearest(features: torch.Tensor, k: int, *, rows: int = 512) -> NeighbourLists:
    """The k nearest by correlation of rotation-invariant features (n, F), whose mirror image is their conjugate.

    Never the image itself. ``psi_rad`` is NaN: invariant features do not know it (:func:`align_pairs` does). Memory:
    ``20 rows n`` bytes.
    """
    _check_count(k, len(features))
    unit = features / features.abs().square().sum(1, keepdim=True).sqrt().clamp(min=1e-30)
    found = []
    for start in range(0, len(unit), rows):
        part = unit[start : start + rows]
        real, imag = part.real @ unit.real.T, part.imag @ unit.imag.T
        score = real + imag.abs()
        score[torch.arange(len(part)), torch.arange(start, start + len(part))] = -torch.inf
        value, index = score.topk(k, dim=1)
        found.append((index, imag.gather(1, index) < 0, value))
    index, mirrored, value = (torch.cat(x) for x in zip(*found, strict=True))
    return NeighbourLists(index=index, mirrored=mirrored, psi_rad=torch.full_like(value, torch.nan), affinity=value)


def exhaustive_candidates(
    posteriors: ImagePosteriors,
    k: int,
    *,
    form: PairForm = likelihood_form,
    highest_order: int = 12,
    angles: int = 32,
) -> NeighbourLists:
    """The k partners of largest affinity of every image among all others, at the best rotation, mirrored or not.

    Orders up to ``highest_order`` on a grid of ``angles`` rotations decide, which is coarse and quick; let
    :func:`align_pairs` follow with all orders. ``psi_rad`` is NaN. The affinity is symmetric, so half of the pairs
    are computed. Cost: n^2 / 2 pairs, about 0.2 microseconds each on one core. Memory: 2048 n bytes and the lists.
    """
    n = len(posteriors.components)
    _check_count(k, n)
    low = up_to_order(posteriors, highest_order)
    grid = RotationGrid.for_orders(low.orders, angles)
    order = torch.argsort(low.group, stable=True)
    low = replace(low, components=low.components[order], group=low.group[order])
    value = torch.full((n, k), -torch.inf)
    index, mirrored = torch.zeros(n, k, dtype=torch.int64), torch.zeros(n, k, dtype=torch.bool)
    for g in torch.unique(low.group).tolist():
        own = form(low, g)
        mine = torch.nonzero(low.group == g)[:, 0]
        weighted, second = _prepare_columns(low, own, int(mine[0]))
        for rows in mine.split(_SLAB):
            start, stop = int(rows[0]), int(rows[-1]) + 1
            there = slice(start - int(mine[0]), None)
            slab, flip = _slab(low.components[start:stop], weighted[there], grid)
            first = own.own_first(low.components[start:stop], low.multiplicity)
            slab += first[:, low.group[start:]] + second[there]
            slab.fill_diagonal_(-torch.inf)
            columns = torch.arange(start, n)
            _merge((value, index, mirrored), rows, columns, slab, flip)
            if stop < n:
                _merge((value, index, mirrored), columns[stop - start :], rows, *_later(slab, flip, stop - start))
    back = torch.argsort(order)
    value, index, mirrored = value[back], order[index[back]], mirrored[back]
    return NeighbourLists(index=index, mirrored=mirrored, psi_rad=torch.full_like(value, torch.nan), affinity=value)


def align_pairs(
    posteriors: ImagePosteriors,
    neighbours: torch.Tensor,
    *,
    form: PairForm = likelihood_form,
    angles: int | None = None,
) -> NeighbourLists:
    """Best rotation, mirror state and affinity of listed neighbours (n, S), in the order of the list.

    The rotation is refined by a parabola through the best of ``angles`` (by default two to a period of the highest
    order) and its neighbours; the affinity is that at the refined rotation.
    """
    grid = RotationGrid.for_orders(posteriors.orders, angles)
    value = torch.empty(neighbours.numel())
    psi, mirrored = torch.empty_like(value), torch.empty(neighbours.numel(), dtype=torch.bool)
    for own, mine, theirs, h, where in group_pairs(posteriors, neighbours, form):
        for part in torch.arange(len(where)).split(_PAIRS):
            x, y, at = posteriors.components[mine[part]], posteriors.components[theirs[part]], where[part]
            psi[at], mirrored[at] = _peaks(pair_scores(x, own.weighted(y, h), grid))
            y = turned_components(y, posteriors.orders, psi[at], mirrored[at])
            value[at] = own.aligned(x, y, posteriors.multiplicity, h).to(value)
    shape = neighbours.shape
    return NeighbourLists(
        index=neighbours, mirrored=mirrored.view(shape), psi_rad=psi.view(shape), affinity=value.view(shape)
    )


def _prepare_columns(posteriors: ImagePosteriors, own: GroupForm, start: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``W alpha_j`` and ``-1/2 alpha_j V alpha_j`` of the images from ``start`` on, which are sorted by group."""
    components, group = posteriors.components[start:], posteriors.group[start:]
    weighted, second = torch.empty_like(components), torch.empty(len(components))
    for h in torch.unique(group).tolist():
        theirs = group == h
        weighted[theirs] = own.weighted(components[theirs], h)
        second[theirs] = own.own_second(components[theirs], posteriors.multiplicity, h)
    return weighted, second


def _slab(images: torch.Tensor, weighted: torch.Tensor, grid: RotationGrid) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest score over rotations and mirror states, and whether it is mirrored: (rows, columns) each."""
    best = torch.empty(len(images), len(weighted))
    flip = torch.empty(best.shape, dtype=torch.bool)
    for c in range(0, len(weighted), _TILE_COLUMNS):
        columns = weighted[c : c + _TILE_COLUMNS]
        for r in range(0, len(images), _TILE_ROWS):
            tops = rotation_scores(images[r : r + _TILE_ROWS], columns, grid).amax(3)
            at = slice(r, r + len(tops)), slice(c, c + len(columns))
            flip[at] = tops[:, :, 1] > tops[:, :, 0]
            best[at] = tops.amax(2)
    return best, flip


def _later(slab: torch.Tensor, flip: torch.Tensor, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The slab seen from the columns after its own rows."""
    return slab[:, rows:].T.contiguous(), flip[:, rows:].T.contiguous()


def _merge(
    lists: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    rows: torch.Tensor,
    columns: torch.Tensor,
    slab: torch.Tensor,
    flip: torch.Tensor,
) -> None:
    """Put the best of slab (rows, columns) into the lists of ``rows``."""
    value, index, mirrored = lists
    k = value.shape[1]
    top, where = slab.topk(min(k, slab.shape[1]), dim=1)
    pool = torch.cat([value[rows], top], 1)
    value[rows], chosen = pool.topk(k, dim=1)
    index[rows] = torch.cat([index[rows], columns[where]], 1).gather(1, chosen)
    mirrored[rows] = torch.cat([mirrored[rows], flip.gather(1, where)], 1).gather(1, chosen)


def _peaks(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (P, 2, T) -> angle in radians and mirror state of the highest peak, by a parabola."""
    angles = scores.shape[2]
    flat = scores.reshape(len(scores), -1)
    top, best = flat.max(1)
    mirrored, t = best >= angles, best % angles
    left, right = (flat.gather(1, (mirrored * angles + (t + step) % angles)[:, None])[:, 0] for step in (angles - 1, 1))
    curvature = (left - 2 * top + right).clamp(max=-1e-20)
    offset = (0.5 * (left - right) / curvature).clamp(-0.5, 0.5)
    return (t + offset) * (2 * math.pi / angles), mirrored


def _check_count(k: int, n: int) -> None:
    if not 1 <= k < n:
        raise ValueError(f"{k} neighbours of {n} images were asked for: expected 1 to {n - 1}")
