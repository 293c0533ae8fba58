"""The frame of every job: folder, lock, records, resume, progress, files, report, closing words.

Only here, and only in ``in_folder``, ``_iterate`` and ``tell``, does a job touch its folder and the screen. Of several
processes the first one does; the others iterate alongside, and hear from it where to begin and when to stop.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import torch

from vitreous.iterate import Interrupted, IterativeState, run
from vitreous.jobs.digest import content_of
from vitreous.jobs.distributed import processes_of_this_job
from vitreous.jobs.folder import STORE, Job, JobFinished, JobFolderError, open_job
from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import Manifest, new_manifest
from vitreous.jobs.options import RunOptions, chosen_device, processors, tell
from vitreous.jobs.progress import Reporter, describe_duration, follow, reporting
from vitreous.jobs.report import write_page
from vitreous.jobs.task import Composed, Outcome, Prepared, Progress, Resources, Task, recorded, recorded_source
from vitreous.matching.workers import one_thread
from vitreous.processes import Processes
from vitreous.words import SaidElsewhereError

__all__ = ["Relay", "in_folder", "manifest_of", "resources_for", "run_task"]

STORE_MARK = "made_by_vitreous"
KEPT_EVERY = 10  # iteration, whose files stay beside the newest ones; of a million particles each has 300 MB


I = TypeVar("I")
C = TypeVar("C")
S = TypeVar("S", bound=IterativeState)
R = TypeVar("R")


def run_task(
    task: Task[I, C, S, R],
    source: I,
    output: str | Path,
    settings: C | None = None,
    options: RunOptions | None = None,
    *,
    command: str,
) -> Path | None:
    """Do a job in the folder ``output``; the path of its report, or None after a dry run.

    A job that was killed continues with ``options.resume`` and ends with the same bits, and so it does with another
    number of threads: PyTorch's own ones rest, and what is shared by threads is shared in parts that do not depend on
    their number (:func:`vitreous.matching.workers.ordered_map`). One that has finished is not done again, but its
    report is written again.

    Raises
    ------
    FileNotFoundError, ValueError
        For a source or settings that cannot be used, and for a folder that holds something else.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder.
    """
    options, path, relay = options or RunOptions(), Path(output), Relay()
    with processes_of_this_job() as processes, torch.no_grad(), one_thread():
        resources = resources_for(task, options, path, relay, processes)
        prepared = _prepared(task, source, task.settings(settings), resources)
        screen = (*prepared.screen, *(f"note     {text}" for text in (*prepared.notes, *prepared.warnings)))
        method = task.method(prepared.settings)
        used = {"method": method, **asdict(prepared.settings)} if method else asdict(prepared.settings)
        plan = {**prepared.plan, "settings": used, "warnings": prepared.warnings}
        if options.dry_run:
            if processes.rank == 0:
                tell(options, "\n".join(screen), "plan", plan)
            return None
        if processes.rank > 0 and not isinstance(prepared, Composed):
            _alongside(prepared, processes)
            return None
        manifest = manifest_of(task, source, prepared)
        if isinstance(prepared, Composed):
            work = partial(_compose, prepared=prepared, options=options, command=command)
        else:
            within = _Work(
                title=task.title,
                prepared=prepared,
                screen=screen,
                plan=plan,
                options=options,
                relay=relay,
                processes=processes,
            )
            work = partial(_iterate, work=within)
        with _others_released(processes):
            return in_folder(task, path, manifest, options, command=command, work=work)


def _prepared(task: Task[I, C, S, R], source: I, settings: C, resources: Resources) -> Prepared[S, R] | Composed:
    """What the task prepares. Where several processes find the same wrong, only the first one says so."""
    processes, wrong = resources.processes, None
    if processes.size == 1:
        return task.prepare(source, settings, resources)
    try:
        prepared = task.prepare(source, settings, resources)
    except (ValueError, OSError) as error:
        wrong = error
    first = processes.from_first(None if wrong is None else str(wrong))
    if processes.rank > 0 and first is not None and (wrong is None or first == str(wrong)):
        raise SaidElsewhereError(first)
    if wrong is not None:
        raise wrong
    return prepared


def manifest_of(task: Task[I, C, S, R], source: I, prepared: Prepared[S, R] | Composed) -> Manifest:
    """What ``job.json`` has before the first run."""
    return new_manifest(
        task.name,
        recorded(task, prepared.settings) | recorded_source(source),
        seed=getattr(prepared.settings, "seed", 0),
        inputs=prepared.inputs,
        files=task.files,
        content=content_of(prepared.inputs, prepared.pixels),
    )


def in_folder(
    task: Task[Any, Any, Any, Any],
    output: Path,
    manifest: Manifest,
    options: RunOptions,
    *,
    command: str,
    work: Callable[[Job], str],
    silent: bool = False,
) -> Path:
    """Do ``work``, which returns its closing words, in the folder ``output``; the path of the report.

    A job that has finished before is not done again, but its report is written again. silent: nothing is printed.
    Raises what :func:`open_job` and ``work`` do.
    """
    try:
        with open_job(output, manifest, command=command, resume=options.resume, overwrite=options.overwrite) as job:
            closing = work(job)
    except JobFinished as news:
        closing = str(news)
    report = write_page(output, task.page(output))  # after the job has ended, so that the report knows how
    text = f"{closing}\nreport   {report}\nresults  {output / _present(task.results, output)}"
    if not silent:
        tell(options, text, "end", {"report": str(report), "output": str(output), "text": closing})
    return report


def _present(results: str, output: Path) -> str:
    """Those of the result files that are there: a job that found nothing leaves some out."""
    names = results.split(", ")
    return ", ".join(name for name in names if any(output.glob(name.rstrip("/")))) or results


@dataclass
class Relay:
    """Progress of work that is laid out before there is anybody to be told of it."""

    to: Progress = field(default=lambda done, total, what: None)

    def __call__(self, done: int, total: int, what: str) -> None:
        """Hand it on."""
        self.to(done, total, what)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is done in a folder that is open."""

    title: str
    prepared: Prepared[Any, Any]
    screen: tuple[str, ...]
    plan: dict[str, Any]
    options: RunOptions
    relay: Relay
    processes: Processes


@dataclass(frozen=True)
class _Go:
    """What the first process says when its folder is open: the state to go on from (None: from the beginning)."""

    seed: int
    state: Any


def _alongside(prepared: Prepared[Any, Any], processes: Processes) -> None:
    """What all processes but the first one do: the same steps, without folder and screen."""
    word: Any = processes.from_first(None)
    if not isinstance(word, _Go):
        return  # there is nothing to do, or the first process says what is wrong
    with suppress(Interrupted):
        run(
            prepared.algorithm,
            seed=word.seed,
            state=word.state,
            interrupted=lambda: bool(processes.from_first(False)),
        )


@contextmanager
def _others_released(processes: Processes) -> Iterator[None]:
    """The others wait for a word until the first process has its folder; they get one, whatever happens to it."""
    if processes.size == 1:
        yield
        return
    said = processes.words_said
    try:
        yield
    finally:
        if processes.words_said == said:
            processes.from_first(None)


def resources_for(
    task: Task[Any, Any, Any, Any], options: RunOptions, output: Path, progress: Progress, processes: Processes
) -> Resources:
    """What a job that works in the folder ``output`` may use; ValueError for what it cannot."""
    if processes.size > 1 and "processes" not in task.uses:
        raise ValueError(f"{task.name} works in one process; start it without torchrun")
    if options.device == "cuda" and "device" not in task.uses:
        raise ValueError(f"{task.name} runs on the processor; leave the device out, or say cpu")
    device = chosen_device(options) if "device" in task.uses else "cpu"
    return Resources(
        device=device,
        memory_bytes=options.memory,
        threads=options.threads or max(1, processors() // processes.on_this_machine),
        store=output / STORE,
        processes=processes,
        progress=progress,
    )


def _compose(job: Job, *, prepared: Composed, options: RunOptions, command: str) -> str:
    """Do the jobs that this one consists of; each has its own folder, and the screen while it works."""
    job.describe(messages=prepared.warnings)
    return prepared.work(job, options, command)


def _iterate(job: Job, *, work: _Work) -> str:
    """Iterate, or go on, and write the results; returns the closing words."""
    start, prepared = perf_counter(), work.prepared
    state = job.restore(prepared.state)
    done = 0 if state is None else state.iteration
    job.describe(summary=prepared.summary, messages=prepared.warnings)
    with (
        _scratch(job.path / STORE),
        prepared.during(job.path),
        reporting(
            work.title,
            total=prepared.steps,
            first=done,
            forecast=prepared.forecast,
            before=read_history(job.path) if done else (),
            json=work.options.json,
        ) as reporter,
    ):
        _introduce(job, reporter, work, done)
        work.relay.to = follow(reporter)
        go = work.processes.from_first(_Go(seed=job.manifest.seed, state=state))
        result, last = run(
            prepared.algorithm,
            seed=go.seed,
            state=go.state,
            on_step=lambda info: _record(job, reporter, work, info),
            save=lambda reached: _save(job, work, reached),
            interrupted=lambda: work.processes.from_first(job.abort_requested()),
        )
        outcome = prepared.write(job.path, result, last)
    seconds = perf_counter() - start
    job.describe(summary={**outcome.summary, "seconds": round(seconds, 1)}, messages=outcome.messages)
    return _closing(outcome, seconds)


def _introduce(job: Job, reporter: Reporter, work: _Work, done: int) -> None:
    """The first screen, on the screen and in the log."""
    for line in work.screen:
        reporter.say(line)
        job.log(line)
    reporter.emit("plan", work.plan)
    if done:
        reporter.say(f"going on after iteration {done}")


def _record(job: Job, reporter: Reporter, work: _Work, info: dict[str, Any]) -> None:
    job.record(info)
    reporter.step(info)
    text = work.prepared.remark(info)
    if text is not None:
        reporter.say(text)
        job.log(text)


def _save(job: Job, work: _Work, state: IterativeState) -> None:
    """The files of an iteration first, then the checkpoint: a job killed in between repeats both."""
    prepared, every, before = work.prepared, work.options.every, state.iteration - 1
    if prepared.each is not None and state.iteration:
        prepared.each(job.path, state)
    if prepared.iteration is not None and state.iteration and state.iteration % every == 0:
        prepared.iteration(job.path, state)
        if prepared.forget is not None and every == 1 and before % KEPT_EVERY:
            prepared.forget(job.path, before)
    job.save(state)


def _closing(outcome: Outcome, seconds: float) -> str:
    return f"{outcome.verdict} in {describe_duration(seconds)}: {outcome.words}"


@contextmanager
def _scratch(store: Path) -> Iterator[None]:
    """An empty folder for what does not fit into the memory; it bears a mark, without which nothing is removed."""
    if store.exists() and not (store / STORE_MARK).is_file() and (store.is_file() or any(store.iterdir())):
        raise JobFolderError(
            f"{store} is in the way and was not made by this program; move it, or choose another folder"
        )
    shutil.rmtree(store, ignore_errors=True)  # of a run that was killed
    store.mkdir()
    (store / STORE_MARK).touch()
    try:
        yield
    finally:
        shutil.rmtree(store, ignore_errors=True)
