"""The report after a selection: that of the job, written again, or a page of its own beside classes of others."""

from pathlib import Path

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report import write_page
from vitreous.jobs.report.selection import selection_page
from vitreous.jobs.results.selection import read_selection
from vitreous.jobs.tasks.table import write_report
from vitreous.particles import open_stack

__all__ = ["report_selection"]

AVERAGES = "class_averages.mrcs"


def report_selection(job: Path, output: Path | None) -> Path | None:
    """Write the report that shows a selection, and return its path; None where it has no averages to show."""
    manifest = read_manifest(job) if job.is_dir() else None
    if output in (None, job) and (manifest is not None or (job / "run_model.star").is_file()):
        return write_report(job)
    folder = output or job
    found, stack = read_selection(folder), folder / AVERAGES
    if found is None or not stack.is_file():
        return None
    images = open_stack(stack)
    return write_page(folder, selection_page(folder, images.read(np.arange(len(images)))))
