"""A job without a folder: the same preparation, the same steps, and the same files when they are asked for."""

import atexit
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter
from typing import Any, Generic, TypeVar

import torch

from vitreous.iterate import run
from vitreous.jobs.folder import STORE, Job
from vitreous.jobs.options import RunOptions
from vitreous.jobs.progress import describe_duration, follow, watching
from vitreous.jobs.run_task import Relay, in_folder, manifest_of, resources_for
from vitreous.jobs.task import Composed, Outcome, Prepared, Task
from vitreous.matching.workers import one_thread
from vitreous.particles import ParticleSet
from vitreous.processes import ALONE

__all__ = ["Done", "compute", "keep", "session_folder"]

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, eq=False)
class Done(Generic[R]):
    """A job that has been done in memory, with all that its files are written from.

    value: what its method returns; state: the last one; history: what every step has said; scratch: where files lie
    that grow while it works, such as a stack of denoised images; it goes with this value.
    """

    task: Task[Any, Any, Any, R]
    source: Any
    prepared: Prepared[Any, R]
    value: R
    state: Any
    history: tuple[Mapping[str, Any], ...]
    seconds: float
    scratch: Path

    @property
    def particles(self) -> ParticleSet | None:
        """Those that the job was given, if it was given some."""
        first = next(iter(vars(self.source).values()))
        return first if isinstance(first, ParticleSet) else None


@cache
def session_folder() -> Path:
    """Where files lie that one job hands to the next; it goes when Python ends."""
    folder = Path(mkdtemp(prefix="vitreous-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def compute(
    task: Task[Any, Any, Any, R], source: Any, settings: Any, options: RunOptions, *, quiet: bool = False
) -> Done[R]:
    """Do a job without a folder; a bar shows its progress where somebody sees it, unless ``quiet``.

    Raises TypeError for a job that consists of others, and what its preparation and its steps raise.
    """
    folder, relay, history = (
        Path(mkdtemp(dir=session_folder(), prefix=f"{task.name}-")),
        Relay(),
        list[dict[str, Any]](),
    )
    start = perf_counter()
    with torch.no_grad(), one_thread():
        (folder / STORE).mkdir()
        prepared = task.prepare(source, task.settings(settings), resources_for(task, options, folder, relay, ALONE))
        if isinstance(prepared, Composed):
            raise TypeError(f"{task.name} consists of other jobs, which have folders: use vitreous.run_{task.name}")
        each, forecast = prepared.each, prepared.forecast
        with (
            prepared.during(folder),
            watching(task.title, total=prepared.steps, forecast=forecast, quiet=quiet) as reporter,
        ):
            relay.to = follow(reporter)

            def on_step(info: dict[str, Any]) -> None:
                history.append(info)
                reporter.step(info)

            value, state = run(
                prepared.algorithm,
                seed=getattr(prepared.settings, "seed", 0),
                on_step=on_step,
                save=None if each is None else lambda reached: each(folder, reached) if reached.iteration else None,
            )
        relay.to = Relay().to  # what is done when files are written has no bar any more
    done = Done(
        task=task,
        source=source,
        prepared=prepared,
        value=value,
        state=state,
        history=tuple(history),
        seconds=perf_counter() - start,
        scratch=folder,
    )
    weakref.finalize(done, shutil.rmtree, folder, ignore_errors=True)
    return done


def keep(done: Done[Any], folder: str | Path, *, overwrite: bool = False, command: str) -> Path:
    """Write what the job would have written into a folder, its report included; the path of the report.

    Of the iterations it has the last one. Images that are in memory are written beside the table that names them.
    Raises what :func:`vitreous.jobs.folder.open_job` does, such as JobFolderError for a folder that is in use.
    """
    with torch.no_grad(), one_thread():
        return in_folder(
            done.task,
            Path(folder),
            manifest_of(done.task, done.source, done.prepared),
            RunOptions(overwrite=overwrite),
            command=command,
            work=lambda job: _written(done, job),
            silent=True,
        )


def _written(done: Done[Any], job: Job) -> str:
    """The files of a job that has been done; returns the closing words."""
    prepared, state = done.prepared, done.state
    job.describe(summary=prepared.summary, messages=prepared.warnings)
    for line in (*prepared.screen, *(f"note     {text}" for text in (*prepared.notes, *prepared.warnings))):
        job.log(line)
    for info in done.history:
        job.record(info)
    scratch = done.scratch
    for file in (file for pattern in done.task.files for file in scratch.glob(pattern)):
        target = job.path / file.relative_to(scratch)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    if prepared.iteration is not None and state.iteration:
        prepared.iteration(job.path, state)
    job.save(state)
    outcome: Outcome = prepared.write(job.path, done.value, state)
    job.describe(summary={**outcome.summary, "seconds": round(done.seconds, 1)}, messages=outcome.messages)
    return f"{outcome.verdict} in {describe_duration(done.seconds)}: {outcome.words}"
