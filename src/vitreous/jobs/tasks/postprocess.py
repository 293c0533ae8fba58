"""The ``postprocess`` job: two half maps in; resolution, a sharpened map, its mask and local resolution out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.at_once import AtOnce, at_once
from vitreous.jobs.function import function_of
from vitreous.jobs.given_maps import require_mask
from vitreous.jobs.report.postprocess import postprocess_page
from vitreous.jobs.results.postprocess import postprocess_files, write_postprocessed
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.particles import Volume, read_volume
from vitreous.particles.errors import require_file
from vitreous.require import require_finite, require_not_negative, require_positive
from vitreous.volumes import (
    PostProcessed,
    automatic_mask,
    check_halves,
    mean_of_halves,
    postprocess,
    threshold_mask,
)

__all__ = ["TASK", "HalfMaps", "PostProcess", "postprocess_doubts", "postprocess_figures", "run_postprocess"]

MANY_STEPS = 3  # that the progress bar names


@dataclass(frozen=True, kw_only=True)
class HalfMaps:
    """Two half maps.

    Parameters
    ----------
    half_maps
        The two half maps (.mrc), unfiltered and unmasked; or the one with half1 in its name, with the other beside it;
        or the folder that these lie in.
    mask
        A mask (.mrc, from 0 to 1) on the grid of the maps. Without one it is made from the mean of the half maps.
    pixel_size_A
        Voxel size in Angstrom, when the headers do not say or are wrong.
    """

    half_maps: tuple[Path, ...]
    mask: Path | None = None
    pixel_size_A: float | None = None


@dataclass(frozen=True, kw_only=True)
class PostProcess:
    """Settings of what is done with two half maps.

    Parameters
    ----------
    b_factor_A2
        B-factor that is applied, in square Angstrom; negative values sharpen. None: that of the Guinier plot.
    mask_threshold
        Density above which the mask is 1, in the mean of the half maps filtered at mask_filter_A. None: from the map.
    mask_filter_A
        Low-pass filter, in Angstrom, before the threshold is applied.
    mask_extend_A
        How far the mask with a given threshold grows beyond it, in Angstrom.
    mask_edge_A
        Width of the soft edge of a mask with a given threshold, in Angstrom.
    local
        Whether the local resolution is computed, and the map that is filtered by it.
    seed
        Of the random phases.
    """

    b_factor_A2: float | None = None
    mask_threshold: float | None = None
    mask_filter_A: float = 15.0
    mask_extend_A: float = 10.0
    mask_edge_A: float = 15.0
    local: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite(self)
        require_positive(self, ("mask_filter_A", "mask_edge_A"))
        require_not_negative(self, ("mask_extend_A",))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Input:
    paths: tuple[Path, Path]
    halves: tuple[Volume, Volume]
    mask: Volume | None
    notes: tuple[str, ...]


def _prepare(source: HalfMaps, settings: PostProcess, resources: Resources) -> Prepared[AtOnce, PostProcessed]:
    found = _read(source, settings)
    done: list[str] = []

    def say(what: str) -> None:
        resources.progress(len(done), MANY_STEPS, what)
        done.append(what)

    def work(seed: int) -> PostProcessed:
        b = settings.b_factor_A2
        return postprocess(*found.halves, found.mask, b_factor_A2=b, local=settings.local, seed=seed, say=say)

    return Prepared(
        settings=settings,
        inputs=(*found.paths, *([source.mask] if source.mask else [])),
        algorithm=at_once(work),
        state=AtOnce,
        steps=1,
        write=_write,
        screen=_screen(found, source, settings),
        warnings=found.notes,
        plan={"box_px": found.halves[0].box_px, "pixel_size_A": found.halves[0].pixel_size_A},
    )


def _read(source: HalfMaps, settings: PostProcess) -> _Input:
    paths = _pair(source.half_maps)
    first, second = (read_volume(path, pixel_size_A=source.pixel_size_A) for path in paths)
    try:
        check_halves(first, second)
    except ValueError as error:
        raise ValueError(f"{paths[0]} and {paths[1]}: {error}") from error
    mask: Volume | None = None
    notes: list[str] = []
    if source.mask is not None:
        if settings.mask_threshold is not None:
            raise ValueError(f"mask_threshold makes a mask, and {source.mask} is given: leave one of them out")
        mask, notes = require_mask(source.mask, first)
    else:
        mask = _own_mask(mean_of_halves(first, second), settings, paths)
    return _Input(paths=paths, halves=(first, second), mask=mask, notes=tuple(notes))


def _pair(given: tuple[Path, ...] | Path) -> tuple[Path, Path]:
    """The two files; the second one may be found by its name."""
    paths = (given,) if isinstance(given, Path) else given
    if len(paths) == 1:
        first = _only_half1(paths[0]) if paths[0].is_dir() else paths[0]
        require_file(first, "a half map")
        second = first.with_name(first.name.replace("half1", "half2"))
        if second == first:
            raise ValueError(
                f"{first}: half maps are two; give both, or one with half1 in its name, beside the other with half2"
            )
        paths = (first, second)
    if len(paths) != 2:
        raise ValueError(f"half maps: expected two files, found {len(paths)}: {', '.join(map(str, paths))}")
    if paths[0].is_file() and paths[1].is_file() and paths[0].samefile(paths[1]):
        raise ValueError(f"{paths[0]} and {paths[1]} are the same file; the two halves of a refinement are two maps")
    return paths[0], paths[1]


def _only_half1(folder: Path) -> Path:
    """The first half map in a folder of a refinement."""
    found = sorted(folder.glob("*half1*.mrc"))
    if len(found) != 1:
        what = "none" if not found else ", ".join(path.name for path in found)
        raise ValueError(f"{folder}: expected one map with half1 in its name, found {what}; name the two half maps")
    return found[0]


def _own_mask(mean: Volume, settings: PostProcess, paths: tuple[Path, Path]) -> Volume | None:
    """The mask at a given threshold. None where it is made from the map, once it is clear that one can be made."""
    try:
        if settings.mask_threshold is None:
            automatic_mask(mean)
            return None
        return threshold_mask(
            mean,
            settings.mask_threshold,
            extend_A=settings.mask_extend_A,
            edge_A=settings.mask_edge_A,
            low_pass_A=settings.mask_filter_A,
        )
    except ValueError as error:
        raise ValueError(f"{paths[0]} and {paths[1]}: {error}; or give a mask with --mask") from error


def _screen(found: _Input, source: HalfMaps, settings: PostProcess) -> tuple[str, ...]:
    first = found.halves[0]
    if source.mask is not None:
        mask = f"mask {source.mask}"
    else:
        mask = "mask from the map" if found.mask is None else f"mask at {settings.mask_threshold:g}"
    b = "B-factor from the Guinier plot" if settings.b_factor_A2 is None else f"B-factor {settings.b_factor_A2:g} Å²"
    return (
        f"data     {found.paths[0]}, {found.paths[1]}: {first.box_px}³ voxels of {first.pixel_size_A:g} Å",
        f"settings {mask}, {b}, " + ("local resolution" if settings.local else "no local resolution"),
    )


def postprocess_figures(result: PostProcessed) -> dict[str, Any]:
    """For ``job.json`` and reports; None where nothing is claimed."""
    fsc, cones = result.fsc, result.cones

    def figure(value: float, digits: int = 2) -> float | None:
        return round(float(value), digits) if np.isfinite(value) else None

    local = {}
    if result.local is not None:
        local = {f"local_resolution_{name}_A": figure(result.local.quantile(q)) for name, q in QUANTILES.items()}
    return {
        "resolution_A": figure(fsc.resolution_A),
        "resolution_certain_A": figure(fsc.certain_resolution_A),
        "resolution_unmasked_A": figure(fsc.resolution_of(fsc.unmasked, 0.143)) if fsc.resolution_A < np.inf else None,
        "reaches_nyquist": fsc.reaches_nyquist,
        "significance": figure(fsc.significance),
        "b_factor_A2": figure(result.b_factor_A2, 1),
        "b_factor_of_map_A2": figure(result.guinier.b_factor_A2, 1),
        "cone_resolution_best_A": figure(cones.best_A),
        "cone_resolution_median_A": figure(cones.median_A),
        "cone_resolution_worst_A": figure(cones.worst_A),
        "mask_covers": round(float((result.mask.data > 0.5).mean()), 4),
        **local,
    }


QUANTILES = {"best_tenth": 0.1, "median": 0.5, "worst_tenth": 0.9}


def postprocess_doubts(result: PostProcessed) -> tuple[str, ...]:
    """What a user should know before believing the map."""
    fsc, cones, doubts = result.fsc, result.cones, []
    if not np.isfinite(fsc.resolution_A):
        return (
            "the half maps do not agree beyond chance: no resolution is claimed, and the map is their mean as it is",
        )
    if fsc.reaches_nyquist:
        doubts.append("the FSC does not fall below 0.143: the pixels limit the resolution, or the halves are not apart")
    if cones.worst_A > 1.5 * cones.median_A:
        x, y, z = cones.worst_direction
        doubts.append(
            f"along ({x:.2f}, {y:.2f}, {z:.2f}) the resolution is {cones.worst_A:.1f} Å, against "
            f"{cones.median_A:.1f} Å along most directions: views are missing, or poses are wrong"
        )
    return tuple(doubts)


def _write(folder: Path, result: PostProcessed, state: AtOnce) -> Outcome:
    write_postprocessed(folder, result)
    doubts = postprocess_doubts(result)
    return Outcome(
        words="\n".join([_words(result), *(f"note     {text}" for text in doubts)]),
        summary=postprocess_figures(result),
        messages=doubts,
    )


def _words(result: PostProcessed) -> str:
    if not np.isfinite(result.resolution_A):
        return "nothing is resolved"
    cones = result.cones
    return (
        f"resolution {result.resolution_A:.2f} Å (FSC 0.143, masked and corrected), {cones.best_A:.1f} to "
        f"{cones.worst_A:.1f} Å by direction, B-factor {result.b_factor_A2:.0f} Å² applied"
    )


TASK = Task(
    name="postprocess",
    title="half maps",
    about="The half maps are those of a refinement whose halves never met. With one of them named half1, the other is "
    "found beside it.",
    source=HalfMaps,
    methods={"": PostProcess},
    prepare=_prepare,
    files=postprocess_files("postprocess"),
    results="postprocess.mrc, postprocess_masked.mrc, postprocess_fsc.star",
    page=postprocess_page,
    uses=frozenset({"threads"}),
    aliases={"b_factor_A2": ("--b-factor", "--adhoc_bfac"), "mask_threshold": ("--ini_threshold",)},
)
run_postprocess = function_of(TASK)
