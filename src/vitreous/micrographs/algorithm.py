"""Picking many micrographs: some in every step, each for itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.matching.workers import ordered_map
from vitreous.micrographs.cleaning import clean
from vitreous.micrographs.listing import ListedMicrograph
from vitreous.micrographs.pick import Picks, pick_micrograph, working_pixel_A
from vitreous.micrographs.reading import read_micrograph
from vitreous.micrographs.settings import Pick
from vitreous.micrographs.templates import Bank

__all__ = ["PickState", "PickedMicrograph", "pick_algorithm"]

AT_ONCE = 8  # micrographs of a step
SHOWN_PX = 640  # longer side of the pictures of a report

BankOf = Callable[[float], Bank]  # working pixel size -> bank


@dataclass(frozen=True, kw_only=True)
class PickedMicrograph:
    """What came of one micrograph: picks, or why there are none."""

    number: int  # in the list, from 0
    picks: Picks | None
    failure: str = ""
    picture: np.ndarray | None = None  # uint8 (rows, columns), particles as they are in the micrograph
    diameter_px: float = 0.0  # of the particle in the micrograph
    pixel_size_A: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PickState:
    """How far the list is done. Picks of earlier steps are in their files."""

    iteration: int
    seed: int
    latest: tuple[PickedMicrograph, ...]
    found: np.ndarray  # (n,) int64 picks of each micrograph; -1 where it could not be used, -2 before its turn
    threshold: np.ndarray  # (n,) of the significance; 0 where there are none
    hot_px: np.ndarray  # (n,) int64 pixels that were replaced
    shape: np.ndarray  # (n, 2) int64 rows and columns
    diameter_px: np.ndarray  # (n,) of the particle
    failure: tuple[str, ...]  # (n,) why a micrograph could not be used, or ""


def pick_algorithm(
    micrographs: Sequence[ListedMicrograph], bank_of: BankOf, settings: Pick, diameter_A: float, *, threads: int = 1
) -> Algorithm[PickState, PickState]:
    """A step is ``AT_ONCE`` micrographs; the result is the last state.

    A micrograph that cannot be used is recorded with its reason, and the others go on.
    """
    n = len(micrographs)
    shown = set(np.unique(np.linspace(0, n - 1, min(n, settings.pictures)).astype(int)).tolist())
    if not settings.pictures:
        shown = set()

    def one(number: int) -> PickedMicrograph:
        return _picked(number, micrographs[number], bank_of, settings, diameter_A, picture=number in shown)

    def step(state: PickState) -> tuple[PickState, dict[str, Any]]:
        first = state.iteration * AT_ONCE
        latest = tuple(ordered_map(one, range(first, min(first + AT_ONCE, n)), threads))
        following = _with(state, latest)
        return following, _figures(following, [m.failure for m in latest if m.failure])

    return Algorithm(
        init=lambda seed: PickState(
            iteration=0,
            seed=seed,
            latest=(),
            found=np.full(n, -2, dtype=np.int64),
            threshold=np.zeros(n),
            hot_px=np.zeros(n, dtype=np.int64),
            shape=np.zeros((n, 2), dtype=np.int64),
            diameter_px=np.zeros(n),
            failure=("",) * n,
        ),
        step=step,
        done=lambda state: state.iteration * AT_ONCE >= n,
        finalise=lambda state: state,
    )


def _with(state: PickState, latest: tuple[PickedMicrograph, ...]) -> PickState:
    found, threshold, hot, shape = (a.copy() for a in (state.found, state.threshold, state.hot_px, state.shape))
    diameter = state.diameter_px.copy()
    failure = list(state.failure)
    for micrograph in latest:
        i, picks = micrograph.number, micrograph.picks
        failure[i] = micrograph.failure
        found[i] = -1
        if picks is not None:
            found[i], threshold[i] = int(picks.accepted.sum()), picks.threshold
            hot[i], shape[i], diameter[i] = picks.hot_px, picks.shape, micrograph.diameter_px
    return replace(
        state,
        iteration=state.iteration + 1,
        latest=latest,
        found=found,
        threshold=threshold,
        hot_px=hot,
        shape=shape,
        diameter_px=diameter,
        failure=tuple(failure),
    )


def _figures(state: PickState, failures: list[str]) -> dict[str, Any]:
    done = state.found[state.found > -2]
    return {
        "micrographs": len(done),
        "picks": int(done.clip(min=0).sum()),
        "failed": int((done == -1).sum()),
        "failures": failures,
    }


def _picked(
    number: int, listed: ListedMicrograph, bank_of: BankOf, settings: Pick, diameter_A: float, *, picture: bool
) -> PickedMicrograph:
    try:
        micrograph = read_micrograph(listed.path, pixel_size_A=listed.pixel_size_A)
        pixel_A = micrograph.pixel_size_A
        bank = bank_of(working_pixel_A(pixel_A, diameter_A))
        picks = pick_micrograph(micrograph.data, pixel_A, bank, settings, ctf=listed.ctf)
    except (ValueError, OSError) as error:
        words = str(error)
        return PickedMicrograph(
            number=number, picks=None, failure=words if listed.path.name in words else f"{listed.path}: {words}"
        )
    return PickedMicrograph(
        number=number,
        picks=picks,
        picture=_shown(micrograph.data, pixel_A) if picture else None,
        diameter_px=diameter_A / pixel_A,
        pixel_size_A=pixel_A,
    )


def _shown(data: np.ndarray, pixel_size_A: float) -> np.ndarray:
    """Grey levels of a small picture; all but a hundredth of the pixels lie between black and white."""
    small = clean(data, pixel_size_A, pixel_size_A * max(1.0, max(data.shape) / SHOWN_PX), invert=False).data
    low, high = np.percentile(small, [0.5, 99.5])
    return np.round(255 * np.clip((small - low) / max(high - low, 1e-12), 0, 1)).astype(np.uint8)
