"""``vitreous.run``: from particles or micrographs to a refined map, in memory or in a folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

from vitreous.face.given import as_source
from vitreous.face.result import Result
from vitreous.jobs.in_memory import session_folder
from vitreous.jobs.keywords import sort_keywords
from vitreous.jobs.options import RunOptions
from vitreous.jobs.progress import Reporter, describe_duration, watching
from vitreous.jobs.run_task import run_task
from vitreous.jobs.tasks.pipeline import TASK, Pipeline
from vitreous.particles import ParticleSet

__all__ = ["run"]

RUNNING = ("device", "memory", "threads", "resume", "overwrite")
GIVEN = "given"  # sub-folder for particles that are not in a file
_number = count(1)


def run(
    particles: Any,
    settings: Pipeline | None = None,
    *,
    output: str | Path | None = None,
    quiet: bool = False,
    **keywords: Any,
) -> Result[Any]:
    """From particles or micrographs to a refined map: what ``vitreous run`` does, as a result.

    ``result.refine``, ``result.class2d`` and its like are the results of the stages; ``result.maps``,
    ``result.particles()`` and ``result.show()`` are those of the last one.

    Parameters
    ----------
    particles
        A particle set, an array with ``pixel_size_A``, a particle file; or micrographs: a folder, a list, files.
    settings
        Pipeline; keywords change them.
    output
        Folder for the results, which ``vitreous run`` can resume. None: a temporary one, which ``result.save`` copies.
    quiet
        No bar.
    keywords
        Settings, what the command takes beside its particles (reference, pixel_size_A, ...), and device, memory,
        threads, resume, overwrite.

    Raises
    ------
    TypeError
        For a keyword or an argument of another kind.
    FileNotFoundError, ValueError
        For input or settings that cannot be used, and for a folder that holds something else.
    """
    found = sort_keywords(TASK, "run", settings, keywords, running=RUNNING)
    options = RunOptions(json=True, **found.running)
    folder = session_folder() / f"run-result-{next(_number)}" if output is None else Path(output)
    pixel = found.source.get("pixel_size_A")
    source = {name: as_source(name, value, pixel_size_A=pixel) for name, value in found.source.items()}
    files = _files(as_source("particles", particles, pixel_size_A=pixel), folder)
    if isinstance(files[0], Path) and files[0].parent.name == GIVEN:
        source.pop("pixel_size_A", None)  # which the set has by now
    with _told(len(found.settings.stages), quiet=quiet):
        run_task(TASK, TASK.source(particles=files, **source), folder, found.settings, options, command="vitreous.run")
    return Result.load(folder)


def _files(given: Any, folder: Path) -> tuple[Any, ...]:
    """Names of files as they are; a set is written into the folder, so that its images are found from every stage."""
    if isinstance(given, list | tuple):
        return tuple(map(Path, given))
    if not isinstance(given, ParticleSet):
        return (given,)
    path = folder / GIVEN / "particles.star"
    path.parent.mkdir(parents=True, exist_ok=True)
    given.images.keep_beside(folder / "any.star", None)
    given.write(path)
    return (path,)


@contextmanager
def _told(stages: int, *, quiet: bool) -> Iterator[None]:
    """While stages print their events, a bar moves instead; what they say to a human is in their logs."""
    with (
        watching("run", total=stages, quiet=quiet) as reporter,
        redirect_stdout(_Events(reporter)),
        redirect_stderr(StringIO()),
    ):
        yield


class _Events(StringIO):
    """A stream that takes events of jobs, a line of JSON each, and moves a bar."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self.reporter, self.done, self.spent = reporter, 0, 0.0

    def write(self, text: str) -> int:
        """One or several lines, or a part of one, which says nothing."""
        for line in text.splitlines():
            if line.startswith("{"):
                self._take(json.loads(line))
        return len(text)

    def _take(self, event: dict[str, Any]) -> None:
        if event["event"] == "end":
            self.done, self.spent = self.done + 1, 0.0
        if event["event"] == "iteration" and self.reporter.move is not None:
            self.spent, left = self.spent + float(event.get("seconds") or 0.0), float(event.get("seconds_left") or 0.0)
            share = self.spent / max(self.spent + left, 1e-9)
            self.reporter.move(self.done + share, f"stage {self.done + 1}, {describe_duration(left)} left in it", None)
