"""The report of any finished job, by what its folder says it is."""

from collections.abc import Callable
from pathlib import Path

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report import write_class2d_report
from vitreous.jobs.report.deconvolve import write_deconvolve_report
from vitreous.jobs.report.denoise import write_denoise_report
from vitreous.jobs.report.initial import write_initial_report
from vitreous.jobs.report.mixture import write_mixture_report
from vitreous.jobs.report.neighbours import write_neighbours_report
from vitreous.jobs.report.pipeline import write_pipeline_report
from vitreous.jobs.report.reconstruct import write_reconstruct_report

__all__ = ["write_report_of"]

WRITERS: dict[str, Callable[[str | Path], Path]] = {
    "class2d": write_class2d_report,
    "deconvolve": write_deconvolve_report,
    "denoise": write_denoise_report,
    "neighbours": write_neighbours_report,
    "initial": write_initial_report,
    "mixture": write_mixture_report,
    "reconstruct": write_reconstruct_report,
    "run": write_pipeline_report,
}


def write_report_of(folder: str | Path) -> Path:
    """Write ``report.html`` into the folder of a finished job from the files there, and return its path.

    A folder without ``job.json`` is taken for a 2D classification, such as another program may have made. Raises
    JobFolderError for a task without a report and a folder without results.
    """
    manifest = read_manifest(folder)
    task = "class2d" if manifest is None else manifest.task
    if task not in WRITERS:
        raise JobFolderError(f"{folder} is a {task} job, which has no report; those with one: {', '.join(WRITERS)}")
    return WRITERS[task](folder)
