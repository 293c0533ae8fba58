"""Boxes of many micrographs: each for itself, into a stack of its own."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.matching.workers import ordered_map
from vitreous.micrographs.boxes import box_places, cut_boxes, finished_boxes, within
from vitreous.micrographs.cleaning import without_hot_pixels
from vitreous.micrographs.listing import ListedMicrograph
from vitreous.micrographs.reading import read_micrograph
from vitreous.micrographs.settings import Extract
from vitreous.particles import MrcStackWriter

__all__ = ["BOXED_AT_ONCE", "LEFT_OUT", "BoxPlan", "ExtractState", "extract_algorithm", "stack_name"]

BOXED_AT_ONCE = 8  # micrographs of a step
TAKEN, UNKNOWN = 0, -1
LEFT_OUT = {1: "edge", 2: "flat", 3: "micrograph"}  # why there is no box
EDGE, FLAT, FAILED = LEFT_OUT
SAME_SIZE = 1e-3  # difference of pixel sizes that are the same


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxPlan:
    """What is cut out of which micrographs. Settings have been made complete."""

    micrographs: tuple[ListedMicrograph, ...]
    refused: tuple[str, ...]  # why a micrograph is not to be read, or ""
    rows: tuple[np.ndarray, ...]  # of every micrograph: its particles, int64 counted from 0
    coordinate_px: np.ndarray  # (n, 2)
    origin_A: np.ndarray  # (n, 2)
    settings: Extract
    box_px: int
    side_px: int  # of what is written
    pixel_size_A: float  # of the micrographs
    diameter_A: float
    microscope: Mapping[str, float]  # columns of optics groups that the user has stated

    @property
    def written_pixel_A(self) -> float:
        """Pixel size of the boxes that are written."""
        return self.pixel_size_A * self.box_px / self.side_px


@dataclass(frozen=True, kw_only=True)
class ExtractState:
    """How far the list is done. Boxes are in their files."""

    iteration: int
    seed: int
    fate: np.ndarray  # (n,) int64 of every particle: 0 has a box, -1 before its turn, else a number of ``LEFT_OUT``
    place_px: np.ndarray  # (n, 2) int64 pixel of the micrograph at the centre of the box
    origin_A: np.ndarray  # (n, 2) shift of the particle in its box
    hot_px: np.ndarray  # (micrographs,) int64 pixels that were replaced
    total: np.ndarray  # (L, L) float64 sum of all boxes
    inside: np.ndarray  # (3,) number, sum and sum of squares of the mean within the particle of every box
    latest: tuple[str, ...]  # failures of this step
    failure: tuple[str, ...]  # (micrographs,) why one could not be used, or ""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Boxed:
    number: int
    fate: np.ndarray
    place_px: np.ndarray
    origin_A: np.ndarray
    hot_px: int
    total: np.ndarray
    inside: np.ndarray
    failure: str = ""


def stack_name(micrograph: ListedMicrograph) -> str:
    """Name of the stack with the boxes of a micrograph."""
    return f"{micrograph.stem}.mrcs"


def extract_algorithm(plan: BoxPlan, folder: Path, *, threads: int = 1) -> Algorithm[ExtractState, ExtractState]:
    """A step is ``BOXED_AT_ONCE`` micrographs, whose stacks it writes into ``folder``; the result is the last state.

    Every thread holds one micrograph. One that cannot be used is recorded with its reason, and the others go on.
    """
    n, particles = len(plan.micrographs), len(plan.coordinate_px)

    def step(state: ExtractState) -> tuple[ExtractState, dict[str, Any]]:
        folder.mkdir(parents=True, exist_ok=True)
        first = state.iteration * BOXED_AT_ONCE
        numbers = range(first, min(first + BOXED_AT_ONCE, n))
        for boxed in ordered_map(lambda number: _boxed(number, plan, folder), numbers, threads):
            state = _with(state, boxed, plan.rows[boxed.number])
        latest = tuple(state.failure[number] for number in numbers if state.failure[number])
        state = replace(state, iteration=state.iteration + 1, latest=latest)
        return state, {
            "micrographs": numbers.stop,
            "boxes": int((state.fate == TAKEN).sum()),
            "left_out": int((state.fate > TAKEN).sum()),
            "failures": list(latest),
        }

    return Algorithm(
        init=lambda seed: ExtractState(
            iteration=0,
            seed=seed,
            fate=np.full(particles, UNKNOWN, dtype=np.int64),
            place_px=np.zeros((particles, 2), dtype=np.int64),
            origin_A=np.zeros((particles, 2)),
            hot_px=np.zeros(n, dtype=np.int64),
            total=np.zeros((plan.side_px, plan.side_px)),
            inside=np.zeros(3),
            latest=(),
            failure=("",) * n,
        ),
        step=step,
        done=lambda state: state.iteration * BOXED_AT_ONCE >= n,
        finalise=lambda state: state,
    )


def _with(state: ExtractState, boxed: _Boxed, rows: np.ndarray) -> ExtractState:
    fate, place, origin, hot = (a.copy() for a in (state.fate, state.place_px, state.origin_A, state.hot_px))
    fate[rows], place[rows], origin[rows], hot[boxed.number] = boxed.fate, boxed.place_px, boxed.origin_A, boxed.hot_px
    failure = (*state.failure[: boxed.number], boxed.failure, *state.failure[boxed.number + 1 :])
    return replace(
        state,
        fate=fate,
        place_px=place,
        origin_A=origin,
        hot_px=hot,
        total=state.total + boxed.total,
        inside=state.inside + boxed.inside,
        failure=failure,
    )


def _boxed(number: int, plan: BoxPlan, folder: Path) -> _Boxed:
    """Cut and write the boxes of one micrograph."""
    listed, rows = plan.micrographs[number], plan.rows[number]
    place, origin = box_places(
        plan.coordinate_px[rows], plan.origin_A[rows], plan.pixel_size_A, recenter=plan.settings.recenter
    )
    fate = np.full(len(rows), FAILED, dtype=np.int64)
    nothing = _Boxed(
        number=number,
        fate=fate,
        place_px=place,
        origin_A=origin,
        hot_px=0,
        total=np.zeros((plan.side_px, plan.side_px)),
        inside=np.zeros(3),
    )
    try:
        image, hot = without_hot_pixels(_data(number, plan))
    except (ValueError, OSError) as error:
        words = str(error)
        return replace(nothing, failure=words if listed.path.name in words else f"{listed.path}: {words}")
    inside = within(place, plan.box_px, (image.shape[0], image.shape[1]))
    fate = np.where(inside, TAKEN, EDGE)
    begun = replace(nothing, fate=fate, hot_px=hot)
    return _written(begun, image, np.flatnonzero(inside), plan, folder / stack_name(listed))


def _data(number: int, plan: BoxPlan) -> np.ndarray:
    listed = plan.micrographs[number]
    if plan.refused[number]:
        raise ValueError(plan.refused[number])
    micrograph = read_micrograph(listed.path, pixel_size_A=listed.pixel_size_A)
    if abs(micrograph.pixel_size_A / plan.pixel_size_A - 1) > SAME_SIZE:
        raise ValueError(
            f"{listed.path}: {micrograph.pixel_size_A:g} A per pixel, where the others have {plan.pixel_size_A:g}: "
            "extract it in a job of its own"
        )
    if min(micrograph.data.shape) < plan.box_px:
        rows, columns = micrograph.data.shape
        raise ValueError(f"{listed.path}: {columns} x {rows} pixels, less than the box of {plan.box_px}")
    return micrograph.data


def _written(begun: _Boxed, image: np.ndarray, chosen: np.ndarray, plan: BoxPlan, path: Path) -> _Boxed:
    """With the boxes of the particles ``chosen`` in their file; no file where there are none."""
    path.unlink(missing_ok=True)  # of a run that was stopped
    fate, total, sums = begun.fate.copy(), begun.total, begun.inside
    radius_px, settings, at = 0.5 * plan.diameter_A / plan.written_pixel_A, plan.settings, 0
    disc = _disc(plan.side_px, radius_px)
    with ExitStack() as opened:
        writer = None
        for block in cut_boxes(image, begun.place_px[chosen], plan.box_px):
            images, good = finished_boxes(
                block, plan.side_px, radius_px, invert=settings.invert_contrast, normalise=settings.normalise
            )
            fate[chosen[at : at + len(block)][~good]] = FLAT
            at += len(block)
            if not good.any():
                continue
            if writer is None:
                writer = opened.enter_context(
                    MrcStackWriter(path, box_px=plan.side_px, pixel_size_A=plan.written_pixel_A)
                )
            writer.append(images[good])
            total = total + images[good].sum(axis=0, dtype=np.float64)
            means = images[good][:, disc].mean(axis=1, dtype=np.float64)
            sums = sums + np.array([len(means), means.sum(), np.square(means).sum()])
    return replace(begun, fate=fate, total=total, inside=sums)


def _disc(side_px: int, radius_px: float) -> np.ndarray:
    axis = np.arange(side_px) - side_px // 2
    disc: np.ndarray = np.hypot(axis[:, None], axis) <= max(radius_px, 1.0)
    return disc
