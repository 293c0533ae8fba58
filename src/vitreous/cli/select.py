"""``vitreous select``."""

import json as json_format
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.averages.class_choice import ClassChoice
from vitreous.jobs import SelectionError, select_particles
from vitreous.jobs.options import processors
from vitreous.jobs.results.selection import SELECTION
from vitreous.jobs.selection_report import report_selection

__all__ = ["select"]

DIAMETER = ("--particle-diameter-A", "--particle_diameter")
WORST = ("--worst-resolution-A", "--max-resolution", "--max-resolution-A")  # what it is, and earlier names


def select(
    job: Path,
    *,
    auto: Annotated[bool, Parameter(negative="")] = False,
    classes: str | None = None,
    min_size: int | None = None,
    worst_resolution_A: Annotated[float | None, Parameter(name=WORST)] = None,
    stability: Path | None = None,
    keep_outliers: Annotated[bool, Parameter(negative="")] = False,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    project: Path | None = None,
    passthrough: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="", show_default=False)] = (),
    particle_diameter_A: Annotated[float | None, Parameter(name=DIAMETER)] = None,
    threads: int | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Keep the particles of good classes: selected.star and excluded.star are written into the job's folder.

    A class is selected when it fulfils all the conditions that are given. The report of the job composes this command
    when classes are clicked, and shows what --auto has chosen.

    Parameters
    ----------
    job
        Folder of a finished 2D classification: of class2d, mra, isac, align or msa, of RELION or cryoSPARC; or a
        particle file.
    auto
        Keep classes that are worth it, and say why the others went: no more than noise, off centre, little signal,
        blurred, more unexplained than explained, cut at the edge, unstable.
    classes
        Numbers of the classes, from 1, as in the report: 1,4,9 or 1-5,9.
    min_size
        Fewest particles of a class.
    worst_resolution_A
        Poorest resolution of a class, in Angstrom.
    stability
        With --auto: folder of `vitreous stability` for these classes; those that are unstable go.
    keep_outliers
        With --auto: keep particles of good classes of which their class leaves more unexplained than it explains.
    output
        Folder for the files; needed where no job of this program made the classes.
    project
        Directory that the paths in the particle file are relative to.
    passthrough
        Passthrough files of a cryoSPARC .cs file.
    particle_diameter_A
        With --auto: diameter of the circular mask around the particle, where it is not that of the job.
    threads
        Processor threads.
    json
        One JSON object on standard output.
    """
    numbers = None if classes is None else class_numbers(classes)
    settings = None if particle_diameter_A is None else ClassChoice(particle_diameter_A=particle_diameter_A)
    shown = auto or ((output or job) / SELECTION).is_file()  # the report shows a choice, or has shown one
    try:
        found = select_particles(
            job, numbers, min_size, worst_resolution_A, auto=auto, stability=stability, keep_outliers=keep_outliers,
            output=output, project=project, passthrough=passthrough, settings=settings, threads=threads or processors(),
        )  # fmt: skip
    except SelectionError:
        if auto:
            report_selection(job, output)  # which shows why nothing was kept
        raise
    page = report_selection(job, output) if shown else None
    if json:
        print(json_format.dumps({**asdict(found), "report": page}, default=str))
        return
    for number, words in found.reasons.items():
        print(f"class {number} went: {words}")
    print(f"classes   {', '.join(map(str, found.classes))}")
    outliers = f", {found.outlier_count:,} of them in selected classes" if found.outlier_count else ""
    print(f"selected  {found.selected_count:,} particles: {found.selected}")
    print(f"excluded  {found.excluded_count:,} particles{outliers}{_at(found.excluded)}")
    if found.class_averages is not None:
        print(f"averages  {found.class_averages}")
    if page is not None:
        print(f"report    {page}")


def _at(path: Path | None) -> str:
    return "" if path is None else f": {path}"


def class_numbers(text: str) -> list[int]:
    """[1, 2, 3, 9] from "1-3,9"; ValueError for anything else."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"--classes {text!r}: expected numbers such as 1,4,9 or 1-5,9")
        if int(last if dash else first) < int(first):
            raise ValueError(f"--classes {text!r}: {part.strip()} runs backwards; expected {last}-{first}")
        numbers += range(int(first), int(last if dash else first) + 1)
    return numbers
