"""Refinement by MAP-EM with halves that never meet.

Model: SCIENCE.md section 1, with a Gaussian prior on origins and on the volume (power tau^2 of every ring, from the
cross power of the halves). The particles are dealt into folds, even ones of the first half, odd ones of the second.
One pass visits the folds; the particles of a fold climb to the next maximum of their posterior (:mod:`.local`) in the
volume of the *other folds of their own half*, and what they give then replaces the sums of their fold (incremental EM,
Neal and Hinton 1998). So no particle meets its own noise, and halves are independent beyond the resolution of the map
that both start from ("gold standard", Scheres and Chen 2012), which is never finer than 20 A (:mod:`.start`).

A pass uses the rings on which the halves agree (FSC 0.143) and a few more. When poses stand still, particles that may
be lost are sought for in all views (:mod:`.search`), if a sample of them shows that this helps; at last the particles
are spread over their posteriors (:mod:`.insertion`) for two passes, which weighs every point of Fourier space by how
well its place is known.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from vitreous.matching import own_half, total, visit
from vitreous.matching.expect import tiles_of
from vitreous.matching.workers import ordered_map
from vitreous.structures.refine.course import apart_deg, following_state
from vitreous.structures.refine.images import PointImages, point_images
from vitreous.structures.refine.imaging import Imaged, image_anew
from vitreous.structures.refine.insertion import insert, posterior_points
from vitreous.structures.refine.memory import tile_bytes, tiles_in_memory
from vitreous.structures.refine.search import SEARCH_RINGS, Search, best_of, prepare_search, starts
from vitreous.structures.refine.state import Found, Pass, RefineState
from vitreous.volumes import RingPoints, VolumeSums, cross_power, prepared, symmetrised, zero_volume_sums

__all__ = ["half_sums", "inserted", "one_pass"]

TILE = 256  # particles worked on at a time
TILES_AHEAD = 4  # per thread, whose images are in memory
FAR_DEG = 10.0  # a better view that is farther away could not have been reached by climbing


def half_sums(parts: tuple[VolumeSums, ...], group: torch.Tensor) -> tuple[VolumeSums, VolumeSums]:
    """The sums of the two halves, with all symmetric copies."""
    return symmetrised(total(parts[0::2]), group), symmetrised(total(parts[1::2]), group)


def inserted(work: Pass, state: RefineState, rings: int) -> tuple[VolumeSums, ...]:
    """The sums of the folds at the poses of a state, as the pass that led to it has inserted them."""
    points = RingPoints(basis=work.data.basis.truncated(rings))
    parts = []
    for mine in work.mine:
        sums = zero_volume_sums(rings)
        for tile, images in _ahead(
            work, mine, points, lambda i: point_images(work.data, i, points, state.inserted_noise, *state.imaging.of(i))
        ):
            _add(sums, images, tile, state, spread=state.inserted_spread, at=tile)
        parts.append(work.processes.add(sums))
    return tuple(parts)


def _add(
    sums: VolumeSums, images: PointImages, tile: np.ndarray, found: Found | RefineState, *, spread: bool,
    at: np.ndarray | slice = slice(None),
) -> None:  # fmt: skip
    """Insert particles ``tile`` at what was found, in the rows ``at`` of it."""
    rotation, origin = found.rotation[at], found.origin_A[at]
    if spread:
        insert(sums, images, *posterior_points(tile, rotation, origin, found.information[at]))
    else:
        insert(sums, images, rotation[:, None], origin[:, None])


def _ahead(
    work: Pass, index: np.ndarray, points: RingPoints, function: Callable[[np.ndarray], Any]
) -> Iterator[tuple[np.ndarray, Any]]:
    """``(tile, function(tile))`` for tiles of particles, by the threads, a few tiles ahead, in order."""
    tiles, threads = tiles_of(index, TILE) if len(index) else [], work.data.threads
    size = tiles_in_memory(TILES_AHEAD * threads, tile_bytes(TILE, points.plane.shape[1]), work.data.memory_bytes)
    for i in range(0, len(tiles), size):
        some = tiles[i : i + size]
        yield from zip(some, ordered_map(function, some, min(threads, size)), strict=True)


def one_pass(
    work: Pass, state: RefineState, parts: tuple[VolumeSums, ...] | None, progress: Callable[[int], None] | None = None
) -> tuple[RefineState, tuple[VolumeSums, ...], dict[str, Any]]:
    """Visit every fold once; parts: sums of the folds at the poses of the state, None where it has none yet.

    The new sums take the place of ``parts`` in memory: those of all folds are by far the most that a pass needs.
    """
    rings = state.rings
    points = RingPoints(basis=work.data.basis.truncated(rings))
    blind = parts is None
    if parts is None:
        parts = tuple(zero_volume_sums(rings) for _ in work.folds)
    tau2 = cross_power(*half_sums(parts, work.group), rings).clamp_min(0)

    def match(others: VolumeSums, _: tuple[VolumeSums, ...], index: np.ndarray) -> tuple[VolumeSums, Found]:
        if blind:
            return _matched(work, state, points, work.initial_of(index), index)
        map_of_others = work.method.reference(symmetrised(others, work.group), points.basis, tau2, state.resolved)
        if work.mask is not None:
            map_of_others = map_of_others * work.mask(len(map_of_others))
        return _matched(work, state, points, prepared(map_of_others), index)

    parts, index, found = visit(
        work.folds, parts, match, against=own_half, processes=work.processes, progress=progress, overwrite=True
    )
    following, info = following_state(work, state, half_sums(parts, work.group), index, found)
    return following, parts, info


def _matched(
    work: Pass, state: RefineState, points: RingPoints, volume: torch.Tensor, index: np.ndarray
) -> tuple[VolumeSums, Found]:
    """Particles of a fold in the volume of the others: what they give, what was found."""
    search = _search(work, state, volume, points.rings) if work.searchers[index].any() else None

    def climb(tile: np.ndarray) -> tuple[PointImages, Found]:
        images = point_images(work.data, tile, points, state.noise_power, *state.imaging.of(tile))
        found = _climbed(work, state, volume, search, tile, images)
        if work.defocus == "none" and work.scale == "none":
            return images, found
        found = _imaged(work, state, volume, tile, images, found)
        anew = (found.defocus_A, found.scale)
        return point_images(work.data, tile, points, state.noise_power, *anew), found

    sums, parts = zero_volume_sums(points.rings), [_nobody(state)]
    for tile, (images, found) in _ahead(work, index, points, climb):
        _add(sums, images, tile, found, spread=state.spread)
        parts.append(found)
    return sums, Found(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Found)})


def _imaged(
    work: Pass, state: RefineState, volume: torch.Tensor, tile: np.ndarray, images: PointImages, found: Found
) -> Found:
    """With defocus and contrast at the poses that were found."""
    imaged = image_anew(
        work.data, tile, images, volume, found.rotation, found.origin_A, state.noise_power, state.imaging,
        defocus=work.defocus != "none", scale=work.scale != "none",
    )  # fmt: skip
    return replace(found, **vars(imaged))


def _nobody(state: RefineState) -> Found:
    """A process may have none of a small fold."""
    return Found(
        rotation=np.zeros((0, 3, 3)),
        origin_A=np.zeros((0, 2)),
        gain=np.zeros(0),
        information=np.zeros((0, 5, 5)),
        searched=np.zeros(0, bool),
        moved=np.zeros(0, bool),
        **vars(Imaged.unchanged(state.imaging, np.zeros(0, np.int64))),
    )


def _search(work: Pass, state: RefineState, volume: torch.Tensor, rings: int) -> Search:
    return prepare_search(
        work.data,
        volume,
        min(SEARCH_RINGS, rings),
        offset_range_A=work.offset_range_A,
        offset_sd_A=state.offset_sd_A,
        group=work.group.numpy(),
        seed=state.seed,
        turn=state.iteration,
    )


def _climbed(
    work: Pass, state: RefineState, volume: torch.Tensor, search: Search | None, tile: np.ndarray, images: PointImages
) -> Found:
    """The nearest maximum of every particle; of those that look at all views the best one."""
    climb, sd = work.method.climb, state.offset_sd_A if work.method.priors else math.inf
    known = climb(volume, images, state.rotation[tile], state.origin_A[tile], offset_sd_A=sd)
    moved = np.zeros(len(tile), bool)
    some = np.flatnonzero(work.searchers[tile])
    if search is not None and len(some):
        rotation, origin = starts(work.data, tile[some], search, state.noise_power)
        elsewhere = best_of(volume, images.take(some), rotation, origin, sd, climb)
        better = (elsewhere.gain > known.gain[some]) | work.unknown
        moved[some] = better & (apart_deg(elsewhere.rotation, known.rotation[some], work.group) > FAR_DEG)
        known = known.with_better(some[better], elsewhere.take(better))
    return Found(
        rotation=known.rotation,
        origin_A=known.origin_A,
        gain=known.gain,
        information=known.information,
        searched=work.searchers[tile],
        moved=moved,
        **vars(Imaged.unchanged(state.imaging, tile)),
    )
