"""Refinement by MAP-EM with halves that never meet.

Model: SCIENCE.md section 1, with a Gaussian prior on origins and on the volume (power tau^2 of every ring, from the cross
power of the halves). The particles are dealt into folds, even ones of the first half, odd ones of the second. One pass
visits the folds; the particles of a fold climb to the next maximum of their posterior (:mod:`.local`) in the volume of
the *other folds of their own half*, and what they give then replaces the sums of their fold (incremental EM, Neal and
Hinton 1998). So no particle meets its own noise, and halves are independent beyond the resolution of the map that both
start from ("gold standard", Scheres and Chen 2012).

A pass uses the rings on which the halves agree (FSC 0.143) and a few more. When poses stand still, particles that may be
lost are sought for in all views (:mod:`.search`), if a sample of them shows that this helps; at last the particles are
spread over their posteriors (:mod:`.insertion`) for two passes, which weighs every point of Fourier space by how well
its place is known.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vitreous.matching import PreparedParticles, own_half, residual_noise, total, visit
from vitreous.matching.expect import tiles_of
from vitreous.matching.workers import ordered_map
from vitreous.processes import ALONE, Processes, by_process
from vitreous.rotations import rotation_distance_deg
from vitreous.structures.refine.images import PointImages, point_images, window_A
from vitreous.structures.refine.insertion import insert, posterior_points
from vitreous.structures.refine.local import refine_locally
from vitreous.structures.refine.search import SEARCH_RINGS, Search, best_of, prepare_search, starts
from vitreous.structures.refine.spectra import half_fsc, resolved_rings
from vitreous.volumes import (
    RingPoints,
    VolumeSums,
    cross_power,
    density,
    prepared,
    symmetrised,
    zero_volume_sums,
)

__all__ = ["Pass", "RefineState", "half_sums", "inserted", "one_pass"]

TILE = 256  # particles worked on at a time
TILES_AHEAD = 4  # per thread, whose images are in memory


@dataclass(frozen=True, kw_only=True, eq=False)
class RefineState:
    """Everything that an iteration hands to the next one. n particles; bad ones keep what they came with.

    rings: that the next pass uses; room: rings that are prepared; search: "none", "sample" or "all" of the particles
    look at all views in the next pass; spread: whether they were inserted with their posteriors in the last one, and
    will be in the next; still: passes since something moved.
    """

    iteration: int
    seed: int
    rings: int
    room: int
    rotation: np.ndarray  # (n, 3, 3)
    origin_A: np.ndarray  # (n, 2)
    gain: np.ndarray  # (n,) log likelihood less that of an empty image
    information: np.ndarray  # (n, 5, 5) of small rotations in radians and of origins in Angstrom
    noise_power: torch.Tensor  # (G, room)
    inserted_noise: torch.Tensor  # (G, room) with which the particles were inserted
    inserted_rings: int
    fsc: torch.Tensor  # (rings of the last pass,)
    resolved: int
    best_resolved: int
    offset_sd_A: float
    turned_deg: float
    search: str
    searched: int
    rescued: float
    spread: bool
    inserted_spread: bool
    still: int
    converged: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a pass finds of m particles; searched: looked at all views; moved: and found a better one elsewhere."""

    rotation: np.ndarray
    origin_A: np.ndarray
    gain: np.ndarray
    information: np.ndarray
    searched: np.ndarray
    moved: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """What a pass needs beside its state.

    initial: the prepared volume that the first pass compares with; group: (g, 3, 3); mask: (side,) -> mask of a map of
    so many voxels, or None; searchers: (n,) bool, particles that look at all views.
    """

    data: PreparedParticles
    folds: tuple[np.ndarray, ...]
    group: torch.Tensor
    initial: torch.Tensor | None
    mask: Callable[[int], torch.Tensor] | None
    searchers: np.ndarray
    offset_range_A: float
    processes: Processes = ALONE


def _images_of(work: Pass, index: np.ndarray, points: RingPoints, noise: torch.Tensor) -> PointImages:
    return point_images(work.data, index, points, noise)


def _add(
    sums: VolumeSums,
    images: PointImages,
    index: np.ndarray,
    rotation: np.ndarray,
    origin_A: np.ndarray,
    information: np.ndarray,
    spread: bool,
) -> None:
    if spread:
        poses = posterior_points(index, rotation, origin_A, information)
    else:
        poses = rotation[:, None], origin_A[:, None]
    insert(sums, images, *poses)


def inserted(work: Pass, state: RefineState, rings: int, *, spread: bool) -> tuple[VolumeSums, ...]:
    """The sums of the folds at the poses of a state."""
    points = RingPoints(basis=work.data.basis.truncated(rings))
    parts = []
    for fold in work.folds:
        mine = by_process(fold, work.processes)[work.processes.rank]
        sums = zero_volume_sums(rings)
        tiles = tiles_of(mine, TILE) if len(mine) else []
        for index, images in _ahead(work, tiles, lambda i: _images_of(work, i, points, state.inserted_noise)):
            _add(sums, images, index, state.rotation[index], state.origin_A[index], state.information[index], spread)
        parts.append(work.processes.add(sums))
    return tuple(parts)


def _ahead(
    work: Pass, tiles: list[np.ndarray], function: Callable[[np.ndarray], Any]
) -> Iterator[tuple[np.ndarray, Any]]:
    """``(tile, function(tile))`` by the threads, a few tiles ahead, in order."""
    size = TILES_AHEAD * work.data.threads
    for i in range(0, len(tiles), size):
        some = tiles[i : i + size]
        yield from zip(some, ordered_map(function, some, work.data.threads), strict=True)


def one_pass(
    work: Pass, state: RefineState, parts: tuple[VolumeSums, ...] | None, progress: Callable[[int], None] | None = None
) -> tuple[RefineState, tuple[VolumeSums, ...], dict[str, Any]]:
    """Visit every fold once; parts: sums of the folds at the poses of the state, None where it has none yet."""
    data, rings = work.data, state.rings
    points = RingPoints(basis=data.basis.truncated(rings))
    blind = parts is None
    if parts is None:
        parts = tuple(zero_volume_sums(rings) for _ in work.folds)
        tau2 = torch.zeros(rings)
    else:
        a, b = half_sums(parts, work.group)
        tau2 = cross_power(a, b, rings).clamp_min(0)

    def match(others: VolumeSums, _: tuple[VolumeSums, ...], index: np.ndarray) -> tuple[VolumeSums, Found]:
        if blind:
            assert work.initial is not None
            volume = work.initial
        else:
            volume = prepared(_masked(density(symmetrised(others, work.group), points.basis, tau2), work))
        return _matched(work, state, points, volume, index)

    parts, index, found = visit(work.folds, parts, match, against=own_half, processes=work.processes, progress=progress)
    return _next_state(work, state, parts, index, found)


def _masked(volume: torch.Tensor, work: Pass) -> torch.Tensor:
    return volume if work.mask is None else volume * work.mask(len(volume))


def _matched(
    work: Pass, state: RefineState, points: RingPoints, volume: torch.Tensor, index: np.ndarray
) -> tuple[VolumeSums, Found]:
    """Particles of a fold in the volume of the others: what they give, what was found."""
    data = work.data
    search = None
    if work.searchers[index].any():
        search = prepare_search(
            data,
            volume,
            min(SEARCH_RINGS, points.rings),
            offset_range_A=work.offset_range_A,
            offset_sd_A=state.offset_sd_A,
            group=work.group.numpy(),
            seed=state.seed,
            turn=state.iteration,
        )

    def climb(tile: np.ndarray) -> tuple[PointImages, Found]:
        images = _images_of(work, tile, points, state.noise_power)
        return images, _climbed(work, state, volume, search, tile, images)

    sums, parts = zero_volume_sums(points.rings), []
    tiles = tiles_of(index, TILE) if len(index) else []
    for tile, (images, found) in _ahead(work, tiles, climb):
        _add(sums, images, tile, found.rotation, found.origin_A, found.information, state.spread)
        parts.append(found)
    return sums, _joined(parts)


def _joined(parts: list[Found]) -> Found:
    if not parts:
        none = np.zeros(0)
        return Found(
            rotation=np.zeros((0, 3, 3)), origin_A=np.zeros((0, 2)), gain=none, information=np.zeros((0, 5, 5)),
            searched=none.astype(bool), moved=none.astype(bool),
        )  # fmt: skip
    return Found(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in vars(parts[0])})


def _climbed(
    work: Pass, state: RefineState, volume: torch.Tensor, search: Search | None, tile: np.ndarray, images: PointImages
) -> Found:
    known = refine_locally(volume, images, state.rotation[tile], state.origin_A[tile], offset_sd_A=state.offset_sd_A)
    searched = work.searchers[tile]
    moved = np.zeros(len(tile), bool)
    if search is not None and searched.any():
        some = np.flatnonzero(searched)
        rotation, origin = starts(work.data, tile[some], search, state.noise_power)
        elsewhere = best_of(volume, images.take(some), rotation, origin, state.offset_sd_A)
        if not state.iteration:
            better = np.ones(len(some), bool)
        else:
            better = elsewhere.gain > known.gain[some]
        far = _apart_deg(elsewhere.rotation, known.rotation[some], work.group) > FAR_DEG
        moved[some] = better & far
        for name in ("rotation", "origin_A", "gain", "information"):
            values = getattr(known, name)
            values[some[better]] = getattr(elsewhere, name)[better]
    return Found(
        rotation=known.rotation,
        origin_A=known.origin_A,
        gain=known.gain,
        information=known.information,
        searched=searched,
        moved=moved,
    )


FAR_DEG = 10.0


def _apart_deg(a: np.ndarray, b: np.ndarray, group: torch.Tensor) -> np.ndarray:
    """Angle between rotations (m, 3, 3) and the nearest copies of others."""
    copies = group.double()[:, None] @ torch.from_numpy(b)
    return rotation_distance_deg(torch.from_numpy(a)[None].expand_as(copies), copies).amin(0).numpy()


def half_sums(parts: tuple[VolumeSums, ...], group: torch.Tensor) -> tuple[VolumeSums, VolumeSums]:
    """The sums of the two halves, with all symmetric copies."""
    return symmetrised(total(parts[0::2]), group), symmetrised(total(parts[1::2]), group)


AHEAD, GROWTH = 3, 5  # rings beyond what is resolved; most rings more than in the last pass
STILL_SDS = 0.3  # median change of a pose, in standard deviations per unknown, below which poses stand still
WORTH_SEARCHING = 0.02  # of a sample: share of particles that found a better view
SETTLED_PASSES = 2


def _next_state(
    work: Pass, state: RefineState, parts: tuple[VolumeSums, ...], index: np.ndarray, found: Found
) -> tuple[RefineState, tuple[VolumeSums, ...], dict[str, Any]]:
    data, rings = work.data, state.rings
    a, b = half_sums(parts, work.group)
    fsc = half_fsc(a, b, data.basis.truncated(rings))
    tau2 = cross_power(a, b, rings).clamp_min(0)
    resolved = resolved_rings(fsc)
    turned = _apart_deg(found.rotation, state.rotation[index], work.group)
    sd = np.rad2deg(np.sqrt(3 / np.maximum(np.trace(found.information[:, :3, :3], axis1=1, axis2=2), 1e-9)))
    still = bool(np.median(turned / sd) < STILL_SDS)
    next_rings = _rings(state, resolved, rings, data)
    settled = still and (next_rings == rings or resolved <= state.best_resolved)
    following = replace(
        state,
        iteration=state.iteration + 1,
        rings=next_rings,
        rotation=_put(state.rotation, index, found.rotation),
        origin_A=_put(state.origin_A, index, found.origin_A),
        gain=_put(state.gain, index, found.gain),
        information=_put(state.information, index, found.information),
        noise_power=residual_noise(state.noise_power, data, tau2, rings),
        inserted_noise=state.noise_power,
        inserted_rings=rings,
        fsc=fsc,
        resolved=resolved,
        best_resolved=max(resolved, state.best_resolved),
        offset_sd_A=_offset_sd(found.origin_A, found.gain, data),
        turned_deg=float(np.median(turned)),
        inserted_spread=state.spread,
        still=state.still + 1 if settled else 0,
        rescued=float(found.moved.sum() / max(found.searched.sum(), 1)),
        searched=state.searched + int(found.searched.sum()),
    )
    following = _decided(following, state)
    field = window_A(data)
    info = {
        "log_likelihood": float(found.gain.mean()),
        "rings": rings,
        "resolution_A": field / max(resolved, 1),
        "search_resolution_A": field / rings,
        "fsc": [round(float(f), 4) for f in fsc],
        "turned_deg": float(np.median(turned)),
        "accuracy_deg": float(np.median(sd)),
        "sigma_offset_A": following.offset_sd_A,
        "searched": int(found.searched.sum()),
        "rescued": int(found.moved.sum()),
        "spread": state.spread,
        "converged": following.converged,
    }
    return following, parts, info


def _rings(state: RefineState, resolved: int, rings: int, data: PreparedParticles) -> int:
    """Rings of the next pass: those resolved and some more, never fewer than it had been."""
    wanted = resolved + (AHEAD if resolved < rings else GROWTH)
    return max(min(wanted, rings + GROWTH, state.room), min(rings, state.room))


def _decided(following: RefineState, before: RefineState) -> RefineState:
    """What comes next: local passes until all is still, then a sample of all views, all views, spread passes, the end."""
    if before.search == "sample":
        if following.rescued > WORTH_SEARCHING:
            return replace(following, search="all", still=0)
        return replace(following, search="none", spread=following.still > 0, still=0)
    if before.search == "all":
        return replace(following, search="none", still=0)
    if following.still < 1:
        return following
    if not following.searched:
        return replace(following, search="sample")
    if not following.spread:
        return replace(following, spread=True, still=0)
    return replace(following, converged=following.still >= 1)


def _offset_sd(origin_A: np.ndarray, gain: np.ndarray, data: PreparedParticles) -> float:
    """Standard deviation of origins per axis, robustly; at least half a pixel."""
    spread = 1.4826 * float(np.median(np.abs(origin_A - np.median(origin_A, 0))))
    return max(spread, 0.5 * data.preparation.pixel_size_A)


def _put(old: np.ndarray, index: np.ndarray, value: np.ndarray) -> np.ndarray:
    out = old.copy()
    out[index] = value
    return out
