"""The frame of every job that ends with a report: open the folder, work, write the report, say where things are."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vitreous.iterate import Algorithm, IterativeState, run
from vitreous.jobs.folder import Job, JobFinished, open_job
from vitreous.jobs.manifest import Manifest
from vitreous.jobs.options import RunOptions, tell
from vitreous.jobs.progress import reporting

__all__ = ["carry_out", "iterate_in_job"]

S = TypeVar("S", bound=IterativeState)
R = TypeVar("R")


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


def iterate_in_job(
    job: Job,
    algorithm: Algorithm[S, R],
    state_type: type[S],
    *,
    seed: int,
    title: str,
    total: int,
    screen: Sequence[str],
    options: RunOptions,
    remark: Callable[[dict[str, Any]], str | None] = lambda info: None,
) -> tuple[R, S]:
    """Run an algorithm, or go on with it, as the work of a job: (result, last state).

    Every step is recorded and saved, and shown as one of at most ``total``. ``screen`` is said and logged before the
    first one, and so is what ``remark`` has to say about a step. Raises Interrupted when the job is asked to stop.
    """
    state = job.restore(state_type)
    with reporting(title, total=total, first=0 if state is None else state.iteration, json=options.json) as reporter:

        def say(line: str) -> None:
            reporter.say(line)
            job.log(line)

        def on_step(info: dict[str, Any]) -> None:
            job.record(info)
            reporter.step(info)
            text = remark(info)
            if text is not None:
                say(text)

        for line in screen:
            say(line)
        return run(algorithm, seed=seed, state=state, on_step=on_step, save=job.save, interrupted=job.abort_requested)
