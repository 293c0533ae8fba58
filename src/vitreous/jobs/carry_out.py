"""The frame of every job that ends with a report: open the folder, work, write the report, say where things are."""

from collections.abc import Callable
from pathlib import Path

from vitreous.jobs.folder import Job, JobFinished, open_job
from vitreous.jobs.manifest import Manifest
from vitreous.jobs.run_options import RunOptions, tell

__all__ = ["carry_out"]


def carry_out(
    output: str | Path,
    manifest: Manifest,
    options: RunOptions,
    *,
    command: str,
    work: Callable[[Job], str],
    write_report: Callable[[str | Path], Path],
    results: str,
) -> Path:
    """Do ``work``, which returns its closing words, in the folder ``output``; the path of the report.

    A job that has finished before is not done again, but its report is written again. ``results`` are the names of
    the most important files, the first of which is shown with its path. Raises what :func:`open_job` and ``work`` do.
    """
    try:
        with open_job(output, manifest, command=command, resume=options.resume, overwrite=options.overwrite) as job:
            closing = work(job)
    except JobFinished as news:
        closing = str(news)
    report = write_report(output)  # after the job has ended, so that the report knows how
    text = f"{closing}\nreport   {report}\nresults  {Path(output) / results}"
    tell(options, text, "end", {"report": str(report), "output": str(output), "text": closing})
    return report
