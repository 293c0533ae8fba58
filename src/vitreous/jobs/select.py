"""Keep the particles of good classes."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Protocol

import numpy as np

from vitreous.averages.class_choice import REASONS, ClassChoice, JudgedClasses, judge_classes
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.results.classified import ClassifiedFolder, open_classified
from vitreous.jobs.results.selection import SELECTION, write_selection
from vitreous.jobs.results.stability import open_stability_folder
from vitreous.jobs.sources import inherited
from vitreous.particles import ParticleSet, Table, image_name, write_mrc_stack, write_star

__all__ = ["SelectResult", "SelectionError", "select_particles"]

AVERAGES = "class_averages.mrcs"  # of classes of another program


class SelectionError(ValueError):
    """The selection cannot be made."""


@dataclass(frozen=True, kw_only=True)
class SelectResult:
    """What was selected and where it is."""

    classes: tuple[int, ...]  # from 1
    selected_count: int
    excluded_count: int
    selected: Path
    excluded: Path | None  # None where nothing is excluded from classes of another program
    class_averages: Path | None  # None where nobody has made averages: classes of another program, without ``auto``
    reasons: dict[int, str] = field(default_factory=dict)  # of classes that a choice did not keep, in words
    outlier_count: int = 0  # particles of selected classes that were excluded
    notes: tuple[str, ...] = ()


class _InFolder(Protocol):
    """A result, by the folder that it is in."""

    @property
    def folder(self) -> Path: ...


def select_particles(
    job_folder: str | Path | _InFolder,
    classes: Iterable[int] | None = None,
    min_size: int | None = None,
    worst_resolution_A: float | None = None,
    *,
    auto: bool = False,
    stability: str | Path | None = None,
    keep_outliers: bool = False,
    output: str | Path | None = None,
    project: str | Path | None = None,
    passthrough: Iterable[str | Path] = (),
    settings: ClassChoice | None = None,
    threads: int = 1,
    memory_bytes: int = 4 << 30,
) -> SelectResult:
    """Split the particles of a finished 2D classification into selected and excluded ones.

    A class is selected when it fulfils all the conditions that are given: its number is among ``classes`` (from 1), it
    has at least ``min_size`` particles, its resolution is ``worst_resolution_A`` or better, and, with ``auto``, it is
    worth keeping (:mod:`vitreous.averages.class_choice.criteria`). Then outliers are left out too, particles of which
    their class leaves more unexplained than it explains, unless ``keep_outliers``. Written into the folder:
    ``selected.star`` and ``excluded.star`` (all columns, order of the input; refused particles are excluded),
    ``class_averages.star`` (the selected classes) and ``backup_selection.star`` (RELION's: one ``rlnSelected`` per
    class); with ``auto`` ``class_selection.star`` (figures and reasons).

    ``job_folder``: of ``class2d``, ``mra``, ``isac``, ``align`` or ``msa``, of RELION or cryoSPARC, or a particle file,
    or a result of these functions; ``output``: folder for the files, needed where no job of this program made the
    classes, which then also gets averages from the original pixels; ``stability``: folder of a test of stability of
    these classes; ``settings``: of the choice, where they are not those of the job. These two and ``keep_outliers`` are
    for ``auto`` only.

    Raises
    ------
    JobFolderError
        When the folder is not there, is that of another job, or not that of a finished 2D classification.
    SelectionError
        For a class number that does not exist, no condition at all, one that means nothing, or a selection without
        particles.
    """
    _check_conditions(min_size, worst_resolution_A)
    if not auto:
        _check_unused(stability=stability, keep_outliers=keep_outliers, settings=settings)
    at = None if project is None else Path(project)
    files = tuple(map(Path, passthrough))
    path = job_folder if isinstance(job_folder, str | Path) else job_folder.folder
    folder = open_classified(path, project=at, passthrough=files)
    out = _output(folder, output)
    if folder.count == 0:
        raise SelectionError(f"{folder.path} has no class: nothing was accepted, and nothing can be selected")
    chosen = _chosen_classes(folder, classes, min_size, worst_resolution_A, auto=auto)
    judged: JudgedClasses | None = None
    notes: tuple[str, ...] = ()
    if auto:
        particles = folder.particles(at)
        judged, notes = _judged(folder, particles, settings, stability, threads, memory_bytes)
        chosen &= judged.verdicts.kept
        out.mkdir(parents=True, exist_ok=True)
        write_selection(out, judged, folder.population, chosen)
    else:
        _forget_choice(folder, out)
    keep = np.isin(folder.label, np.flatnonzero(chosen) + 1)
    if not keep.any():
        raise SelectionError(_nothing(folder, judged, out))
    outlier = keep & judged.outlier if judged is not None and not keep_outliers else np.zeros(len(keep), bool)
    out.mkdir(parents=True, exist_ok=True)
    paths = _write(folder, out, keep & ~outlier, chosen, judged, at)
    words = {} if judged is None else {k + 1: text for k, text in enumerate(judged.verdicts.words) if text}
    return SelectResult(
        classes=tuple(int(k) + 1 for k in np.flatnonzero(chosen)),
        selected_count=int((keep & ~outlier).sum()),
        excluded_count=int((~keep | outlier).sum()),
        reasons=words,
        outlier_count=int(outlier.sum()),
        notes=notes,
        selected=paths["selected"],
        excluded=_there(paths["excluded"]),
        class_averages=_there(paths["class_averages"]),
    )


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _check_conditions(min_size: int | None, worst_resolution_A: float | None) -> None:
    if min_size is not None and min_size < 1:
        raise SelectionError(f"min_size: expected at least 1, found {min_size}")
    if worst_resolution_A is not None and not (isfinite(worst_resolution_A) and worst_resolution_A > 0):
        raise SelectionError(f"worst_resolution_A: expected a positive number, found {worst_resolution_A:g}")


def _check_unused(**given: object) -> None:
    """SelectionError for what was given and would be left unused without ``auto``."""
    unused = [name for name, value in given.items() if value is not None and value is not False]
    if unused:
        raise SelectionError(f"{unused[0]}: used by the choice of classes only, and that was not asked for; add auto")


def _output(folder: ClassifiedFolder, output: str | Path | None) -> Path:
    if output is not None:
        return Path(output)
    if folder.ours and folder.path.is_dir():
        return folder.path
    raise SelectionError(
        f"{folder.path} is not the folder of a job of this program, and nothing is written into it; say where the "
        "selection goes with --output"
    )


def _judged(
    folder: ClassifiedFolder,
    particles: ParticleSet,
    settings: ClassChoice | None,
    stability: str | Path | None,
    threads: int,
    memory_bytes: int,
) -> tuple[JudgedClasses, tuple[str, ...]]:
    """Figures and verdicts; particle diameter, contrast and range of shifts as in the classification."""
    given, notes = inherited(settings or ClassChoice(), folder.data)
    summary = {} if folder.manifest is None else folder.manifest.summary
    given = replace(given, offset_range_A=given.offset_range_A or summary.get("offset_range_used_A"))
    judged = judge_classes(
        particles, given, classes=folder.count, found_signal=folder.found_signal,
        stable=None if stability is None else _stable(Path(stability), folder.count),
        averages=folder.table is None, threads=threads, memory_bytes=memory_bytes,
    )  # fmt: skip
    return judged, notes


def _forget_choice(folder: ClassifiedFolder, out: Path) -> None:
    """Remove what an earlier choice has left in ``out``, or its files would speak of another selection."""
    if not (out / SELECTION).is_file():
        return
    (out / SELECTION).unlink()
    if folder.table is None:
        for name in ("class_averages.star", AVERAGES, "report.html"):
            (out / name).unlink(missing_ok=True)


def _stable(path: Path, count: int) -> np.ndarray:
    """(K,) 1 where a class is stable, 0 where it is not, NaN where it was not tested."""
    found = open_stability_folder(path)
    if len(found.stable) > count:
        raise JobFolderError(
            f"{path} has tested {len(found.stable)} classes, and there are {count}; expected a test of these classes"
        )
    verdict = np.full(count, np.nan)
    verdict[: len(found.stable)] = np.where(found.tested > 0, found.stable, np.nan)
    return verdict


def _write(
    folder: ClassifiedFolder,
    out: Path,
    keep: np.ndarray,
    chosen: np.ndarray,
    judged: JudgedClasses | None,
    project: Path | None,
) -> dict[str, Path]:
    """The files of the selection; their paths."""
    paths = {name: out / f"{name}.star" for name in ("selected", "excluded", "class_averages")}
    blocks = folder.star()
    if blocks is not None and out == folder.path:
        name = next(name for name, table in blocks.items() if "rlnImageName" in table)
        write_star(paths["selected"], {**blocks, name: blocks[name].take(keep)})
        write_star(paths["excluded"], {**blocks, name: blocks[name].take(~keep)})
    else:
        particles = folder.particles(project)
        particles.subset(keep).write(paths["selected"])
        paths["excluded"].unlink(missing_ok=True)
        if not keep.all():
            particles.subset(~keep).write(paths["excluded"])
    if folder.table is not None:
        write_star(paths["class_averages"], {"": _named(folder, out).take(chosen)})
    elif judged is not None and judged.averages is not None:
        write_mrc_stack(out / AVERAGES, judged.averages, folder.particles(project).pixel_size_A)
        names = np.array([image_name(int(k), AVERAGES) for k in np.flatnonzero(chosen)])
        numbers = np.flatnonzero(chosen) + 1
        write_star(
            paths["class_averages"],
            {"": Table.from_arrays({"rlnReferenceImage": names, "rlnClassNumber": numbers})},
        )
    write_star(out / "backup_selection.star", {"": Table.from_arrays({"rlnSelected": chosen.astype(int)})})
    return paths


def _named(folder: ClassifiedFolder, out: Path) -> Table:
    """The table of classes, with names that are found from ``out``."""
    assert folder.table is not None
    if out == folder.path:
        return folder.table
    names = [name.split("@", 1) for name in folder.table.text("rlnReferenceImage")]
    absolute = [f"{frame}@{(folder.path / Path(stack).name).resolve()}" for frame, stack in names]
    return folder.table.with_columns({"rlnReferenceImage": np.array(absolute)})


def _chosen_classes(
    folder: ClassifiedFolder,
    classes: Iterable[int] | None,
    min_size: int | None,
    worst_resolution_A: float | None,
    *,
    auto: bool,
) -> np.ndarray:
    """(K,) bool."""
    if classes is None and min_size is None and worst_resolution_A is None and not auto:
        raise SelectionError("give at least one condition: auto, classes, a minimum size, or a worst resolution")
    chosen = np.ones(folder.count, dtype=bool)
    if classes is not None:
        numbers = sorted(set(classes))
        unknown = [k for k in numbers if not 1 <= k <= folder.count]
        if unknown:
            raise SelectionError(f"class {unknown[0]} does not exist; {folder.path} has classes 1 to {folder.count}")
        chosen &= np.isin(np.arange(1, folder.count + 1), numbers)
    if min_size is not None:
        chosen &= folder.population >= min_size
    if worst_resolution_A is not None:
        chosen &= folder.resolution_A <= worst_resolution_A
    return chosen


def _nothing(folder: ClassifiedFolder, judged: JudgedClasses | None, out: Path) -> str:
    """Why there is no selection."""
    if judged is None or judged.verdicts.kept.any():
        return f"no class of {folder.path} fulfils the conditions; {_overview(folder)}"
    reasons = judged.verdicts.reason
    counts = [f"{reasons.count(name)} {words}" for name, words in REASONS.items() if name in reasons]
    return (
        f"no class of {folder.path} is worth keeping: {', '.join(counts)}; {out / SELECTION} has the figures. Look at "
        "the report (contrast, particle diameter, CTF, coordinates)"
    )


def _overview(folder: ClassifiedFolder) -> str:
    best = folder.resolution_A.min()
    sharpest = f"the best resolution is {best:.1f} Å" if np.isfinite(best) else "none has a resolution"
    return f"the largest of its {folder.count} classes has {folder.population.max():,} particles, {sharpest}"
