"""Keep the particles of good classes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.jobs.folder import require_kind
from vitreous.jobs.results.class2d import Class2DFolder, open_class2d_folder
from vitreous.particles import Table, write_star

__all__ = ["SelectResult", "SelectionError", "select_particles"]


class SelectionError(ValueError):
    """The selection cannot be made."""


@dataclass(frozen=True, kw_only=True)
class SelectResult:
    """What was selected and where it is."""

    classes: tuple[int, ...]  # from 1
    selected_count: int
    excluded_count: int
    selected: Path
    excluded: Path
    class_averages: Path


def select_particles(
    job_folder: str | Path,
    classes: Iterable[int] | None = None,
    min_size: int | None = None,
    worst_resolution_A: float | None = None,
) -> SelectResult:
    """Split the particles of a finished 2D classification into selected and excluded ones.

    A class is selected when it fulfils all the conditions that are given: its number is among ``classes`` (from 1), it
    has at least ``min_size`` particles, its resolution is ``worst_resolution_A`` or better. Written into the folder:
    ``selected.star`` and ``excluded.star`` (all columns, order of the input; refused particles are excluded),
    ``class_averages.star`` (the selected classes) and ``backup_selection.star`` (RELION's: one ``rlnSelected`` per
    class).

    Raises
    ------
    JobFolderError
        When the folder is not there, is that of another job, or not that of a finished 2D classification.
    SelectionError
        For a class number that does not exist, no condition at all, or a selection without particles.
    """
    require_kind(job_folder, "class2d", "msa")
    folder = open_class2d_folder(job_folder)
    chosen = _chosen_classes(folder, classes, min_size, worst_resolution_A)
    keep = np.isin(folder.class_number, np.flatnonzero(chosen) + 1)
    if not keep.any():
        raise SelectionError(f"no class of {folder.path} fulfils the conditions; {_overview(folder)}")
    paths = {name: folder.path / f"{name}.star" for name in ("selected", "excluded", "class_averages")}
    write_star(paths["selected"], {**folder.data, "particles": folder.data["particles"].take(keep)})
    write_star(paths["excluded"], {**folder.data, "particles": folder.data["particles"].take(~keep)})
    write_star(paths["class_averages"], {"": folder.classes.take(chosen)})
    write_star(folder.path / "backup_selection.star", {"": Table.from_arrays({"rlnSelected": chosen.astype(int)})})
    return SelectResult(
        classes=tuple(int(k) + 1 for k in np.flatnonzero(chosen)),
        selected_count=int(keep.sum()),
        excluded_count=int((~keep).sum()),
        **paths,
    )


def _chosen_classes(
    folder: Class2DFolder, classes: Iterable[int] | None, min_size: int | None, worst_resolution_A: float | None
) -> np.ndarray:
    """(K,) bool."""
    count = len(folder.averages)
    if classes is None and min_size is None and worst_resolution_A is None:
        raise SelectionError("give at least one condition: classes, a minimum size, or a worst resolution")
    chosen = np.ones(count, dtype=bool)
    if classes is not None:
        numbers = sorted(set(classes))
        unknown = [k for k in numbers if not 1 <= k <= count]
        if unknown:
            raise SelectionError(f"class {unknown[0]} does not exist; {folder.path} has classes 1 to {count}")
        chosen &= np.isin(np.arange(1, count + 1), numbers)
    if min_size is not None:
        chosen &= folder.population >= min_size
    if worst_resolution_A is not None:
        chosen &= folder.resolution_A <= worst_resolution_A
    return chosen


def _overview(folder: Class2DFolder) -> str:
    best = folder.resolution_A.min()
    sharpest = f"the best resolution is {best:.1f} Å" if np.isfinite(best) else "none has a resolution"
    return f"the largest of its {len(folder.averages)} classes has {folder.population.max():,} particles, {sharpest}"
