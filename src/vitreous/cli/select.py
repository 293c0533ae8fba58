"""``vitreous select``."""

import json as json_format
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.jobs import select_particles

__all__ = ["select"]

WORST = ("--worst-resolution-A", "--max-resolution", "--max-resolution-A")  # what it is, and earlier names


def select(
    job: Path,
    *,
    classes: str | None = None,
    min_size: int | None = None,
    worst_resolution_A: Annotated[float | None, Parameter(name=WORST)] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Keep the particles of good classes: selected.star and excluded.star are written into the job's folder.

    A class is selected when it fulfils all the conditions that are given. The report of the job composes this command
    when classes are clicked.

    Parameters
    ----------
    job
        Folder of a finished 2D classification.
    classes
        Numbers of the classes, from 1, as in the report: 1,4,9 or 1-5,9.
    min_size
        Fewest particles of a class.
    worst_resolution_A
        Poorest resolution of a class, in Angstrom.
    json
        One JSON object on standard output.
    """
    numbers = None if classes is None else class_numbers(classes)
    found = select_particles(job, numbers, min_size, worst_resolution_A)
    if json:
        print(json_format.dumps(asdict(found), default=str))
        return
    print(f"classes   {', '.join(map(str, found.classes))}")
    print(f"selected  {found.selected_count:,} particles: {found.selected}")
    print(f"excluded  {found.excluded_count:,} particles: {found.excluded}")
    print(f"averages  {found.class_averages}")


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
