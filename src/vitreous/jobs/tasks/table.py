"""The table of all jobs. Commands, functions and reports come from it; a job is imported when it is asked for."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitreous.jobs.task import Task

__all__ = ["TASKS", "Entry", "task_of", "write_report"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A job in the table: what it does in a line, and the module whose ``TASK`` it is."""

    help: str
    module: str


TASKS = {
    "class2d": Entry(
        help="2D classification: particles in, class averages and a report out.",
        module="vitreous.jobs.tasks.class2d",
    ),
    "deconvolve": Entry(
        help="Non-negative averages without CTF from classified particles, masked.",
        module="vitreous.jobs.tasks.deconvolve",
    ),
    "denoise": Entry(
        help="Denoised images of all particles, free of the CTF.",
        module="vitreous.jobs.tasks.denoise",
    ),
    "neighbours": Entry(
        help="Nearest neighbours of every particle, and averages of them.",
        module="vitreous.jobs.tasks.neighbours",
    ),
}


def task_of(name: str) -> "Task[Any, Any, Any, Any]":
    """A job by its name. Raises KeyError."""
    task: Task[Any, Any, Any, Any] = import_module(TASKS[name].module).TASK
    return task


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into the folder of a finished job from the files there, and return its path.

    A folder without ``job.json`` is taken for a 2D classification, such as another program may have made. Raises
    JobFolderError for a task without a report and a folder without results.
    """
    from vitreous.jobs.folder import JobFolderError  # here, so that the table alone is cheap
    from vitreous.jobs.manifest import read_manifest
    from vitreous.jobs.report import write_page

    manifest = read_manifest(folder)
    name = "class2d" if manifest is None else manifest.task
    if name not in TASKS:
        raise JobFolderError(f"{folder} is a {name} job, which has no report; those with one: {', '.join(TASKS)}")
    return write_page(folder, task_of(name).page(Path(folder)))
