"""The CTF of many micrographs: some in every step, each for itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.matching.workers import ordered_map
from vitreous.micrographs.ctf_estimate import CTFEstimate, estimate_ctf
from vitreous.micrographs.ctf_settings import EstimateCTF, Microscope
from vitreous.micrographs.listing import ListedMicrograph
from vitreous.micrographs.reading import read_micrograph

__all__ = ["CTF_AT_ONCE", "FAILED", "FIGURES", "FOUND", "NO_RINGS", "CTFState", "EstimatedMicrograph", "ctf_algorithm"]

CTF_AT_ONCE = 8  # micrographs of a step
UNKNOWN, FAILED, NO_RINGS, FOUND = -2, -1, 0, 1
FIGURES = (  # of an estimate, that a state keeps
    "defocus_u_A",
    "defocus_v_A",
    "defocus_angle_deg",
    "phase_shift_deg",
    "defocus_sd_A",
    "astigmatism_sd_A",
    "correlation",
    "resolution_A",
    "gain",
    "tiles",
    "hot_px",
)


@dataclass(frozen=True, kw_only=True)
class EstimatedMicrograph:
    """What came of one micrograph: an estimate, or why there is none."""

    number: int  # in the list, from 0
    estimate: CTFEstimate | None
    pixel_size_A: float = 0.0
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class CTFState:
    """How far the list is done. Profiles and pictures of earlier steps are in their files."""

    iteration: int
    seed: int
    latest: tuple[EstimatedMicrograph, ...]
    fate: np.ndarray  # (n,) int64: FOUND, NO_RINGS, FAILED, or UNKNOWN before its turn
    figures: np.ndarray  # (n, len(FIGURES))
    pixel_size_A: np.ndarray  # (n,)
    warnings: tuple[str, ...]  # (n,) joined by "; "
    failure: tuple[str, ...]  # (n,) why a micrograph could not be used, or ""


def ctf_algorithm(
    micrographs: Sequence[ListedMicrograph],
    microscopes: Sequence[Microscope],
    settings: EstimateCTF,
    *,
    threads: int = 1,
) -> Algorithm[CTFState, CTFState]:
    """A step is ``CTF_AT_ONCE`` micrographs; the result is the last state.

    Every thread holds one micrograph. One that cannot be used is recorded with its reason, and the others go on.
    """
    n = len(micrographs)

    def one(number: int) -> EstimatedMicrograph:
        return _estimated(number, micrographs[number], microscopes[number], settings)

    def step(state: CTFState) -> tuple[CTFState, dict[str, Any]]:
        first = state.iteration * CTF_AT_ONCE
        latest = tuple(ordered_map(one, range(first, min(first + CTF_AT_ONCE, n)), threads))
        following = _with(state, latest)
        return following, {
            "micrographs": int((following.fate > UNKNOWN).sum()),
            "found": int((following.fate == FOUND).sum()),
            "no_rings": int((following.fate == NO_RINGS).sum()),
            "failed": int((following.fate == FAILED).sum()),
            "failures": [m.failure for m in latest if m.failure],
        }

    return Algorithm(
        init=lambda seed: CTFState(
            iteration=0,
            seed=seed,
            latest=(),
            fate=np.full(n, UNKNOWN, dtype=np.int64),
            figures=np.zeros((n, len(FIGURES))),
            pixel_size_A=np.zeros(n),
            warnings=("",) * n,
            failure=("",) * n,
        ),
        step=step,
        done=lambda state: state.iteration * CTF_AT_ONCE >= n,
        finalise=lambda state: state,
    )


def _with(state: CTFState, latest: tuple[EstimatedMicrograph, ...]) -> CTFState:
    fate, figures, size = state.fate.copy(), state.figures.copy(), state.pixel_size_A.copy()
    warnings, failure = list(state.warnings), list(state.failure)
    for micrograph in latest:
        i, estimate = micrograph.number, micrograph.estimate
        failure[i], fate[i] = micrograph.failure, FAILED
        if estimate is not None:
            fate[i] = FOUND if estimate.found else NO_RINGS
            figures[i] = [getattr(estimate, name) for name in FIGURES]
            size[i], warnings[i] = micrograph.pixel_size_A, "; ".join(estimate.warnings)
    return replace(
        state,
        iteration=state.iteration + 1,
        latest=latest,
        fate=fate,
        figures=figures,
        pixel_size_A=size,
        warnings=tuple(warnings),
        failure=tuple(failure),
    )


def _estimated(
    number: int, listed: ListedMicrograph, microscope: Microscope, settings: EstimateCTF
) -> EstimatedMicrograph:
    try:
        micrograph = read_micrograph(listed.path, pixel_size_A=listed.pixel_size_A)
        estimate = estimate_ctf(micrograph.data, micrograph.pixel_size_A, microscope, settings)
    except (ValueError, OSError) as error:
        words = str(error)
        failure = words if listed.path.name in words else f"{listed.path}: {words}"
        return EstimatedMicrograph(number=number, estimate=None, failure=failure)
    return EstimatedMicrograph(number=number, estimate=estimate, pixel_size_A=micrograph.pixel_size_A)
