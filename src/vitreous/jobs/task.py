"""What a job is: one value says what it is called, what it is given, what it computes and which files it leaves."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from inspect import cleandoc
from pathlib import Path
from typing import Any, Generic, TypeVar

from vitreous.iterate import Algorithm, IterativeState
from vitreous.jobs.folder import Job
from vitreous.jobs.options import RunOptions
from vitreous.jobs.progress import Forecast
from vitreous.jobs.report.page import Page
from vitreous.processes import Processes

__all__ = [
    "IN_SETTINGS",
    "Composed",
    "Outcome",
    "Prepared",
    "Progress",
    "Resources",
    "Task",
    "recorded",
    "recorded_source",
    "words_of",
]

I = TypeVar("I")
C = TypeVar("C")
S = TypeVar("S", bound=IterativeState)
R = TypeVar("R")
Progress = Callable[[int, int, str], None]  # done, of how many, what

IN_SETTINGS = {"in_settings": True}  # of a source's field that overrules a setting, and is recorded there
PLACES = frozenset({"project", "passthrough"})  # where files of a source lie: nothing that a result depends on


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a job may use while it computes."""

    device: str  # "cpu" or "cuda"
    memory_bytes: int
    threads: int
    processes: Processes  # that share the particles
    store: Path  # folder for what does not fit into the memory; there while the job works, and removed at its end
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is said about a result when its files have been written."""

    words: str  # after "done in 5 s: "; further lines stand by themselves
    summary: Mapping[str, Any] = field(default_factory=dict)  # figures, for job.json and the report
    messages: tuple[str, ...] = ()  # sentences, for job.json and the report
    verdict: str = "done"


@dataclass(frozen=True, kw_only=True)
class Prepared(Generic[S, R]):
    """A job that is laid out and has not begun. Whatever can be found wrong before the folder is touched, has been."""

    settings: Any  # as they are used: with what the source knows better
    inputs: tuple[Path, ...]  # for job.json
    algorithm: Algorithm[S, R]
    state: type[S]
    steps: int  # at most
    write: Callable[[Path, R, S], Outcome]  # the files of a result, into the folder of the job
    screen: tuple[str, ...]  # said before the work: data, settings
    notes: tuple[str, ...] = ()  # said after them
    warnings: tuple[str, ...] = ()  # said too, and kept in job.json
    plan: Mapping[str, Any] = field(default_factory=dict)  # of the event with --json
    summary: Mapping[str, Any] = field(default_factory=dict)  # figures that are known before the work, for job.json
    iteration: Callable[[Path, S], None] | None = None  # files of every n-th iteration, written before its checkpoint
    each: Callable[[Path, S], None] | None = None  # files of every iteration that stay, written before its checkpoint
    forget: Callable[[Path, int], None] | None = None  # removes those of an earlier iteration
    remark: Callable[[Mapping[str, Any]], str | None] = lambda info: None  # what is said about a step
    forecast: Forecast | None = None  # of the time that is left; None: all steps cost the same
    pixels: str = ""  # digest of the images, by which a resumed job notices that they have changed
    during: Callable[[Path], AbstractContextManager[Any]] = lambda folder: nullcontext()  # open while the job works


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A job that is laid out and consists of other jobs, each in a folder within its own."""

    settings: Any
    inputs: tuple[Path, ...]
    work: Callable[[Job, RunOptions, str], str]  # with the command that was given; returns the closing words
    screen: tuple[str, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    pixels: str = ""  # digest of the images


@dataclass(frozen=True, kw_only=True)
class Task(Generic[I, C, S, R]):
    """A kind of job. :func:`vitreous.jobs.run_task.run_task` runs it; its command and its function come from it.

    ``source`` is a dataclass whose first field is the main input and whose docstring explains all fields; ``methods``
    are the kinds of settings, by the name of the method ("" where there is only one way), the first being the default.
    """

    name: str
    title: str  # of the progress bar
    source: type[I]
    methods: Mapping[str, type[Any]]
    prepare: Callable[[I, C, Resources], Prepared[S, R] | Composed]
    files: tuple[str, ...]  # patterns of what it may write, without the files of every job
    results: str  # the most important ones, as they are named at the end
    page: Callable[[Path], Page]
    function: str = ""  # its name in Python, where that is not run_NAME
    about: str = ""  # what its command and its function say below the line of the table
    about_methods: str = ""
    uses: frozenset[str] = frozenset()  # of the options of running device, memory, threads and every; processes
    useless: Callable[[Mapping[str, Any]], bool] = lambda summary: False  # of job.json: nothing of the input was usable
    ignores: frozenset[str] = frozenset()  # those that its command accepts for the sake of scripts
    in_python: frozenset[str] = frozenset()  # settings that are no options of the command
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # further names of options, by field

    def settings(self, given: C | None) -> C:
        """The settings, or those of the first method."""
        chosen: C = next(iter(self.methods.values()))() if given is None else given
        if type(chosen) not in self.methods.values():
            expected = " or ".join(kind.__name__ for kind in self.methods.values())
            raise TypeError(f"settings of {self.name}: expected {expected}, found {type(chosen).__name__}")
        return chosen

    def method(self, settings: C) -> str:
        """The name of the method that such settings belong to."""
        return next(name for name, kind in self.methods.items() if kind is type(settings))


def recorded(task: Task[Any, Any, Any, Any], settings: Any) -> dict[str, Any]:
    """The settings as ``job.json`` has them: with the method, without the seed, which has a place of its own there."""
    method = task.method(settings)
    values = {name: value for name, value in asdict(settings).items() if name != "seed"}
    return {"method": method, **values} if method else values


def recorded_source(source: Any) -> dict[str, Any]:
    """What ``job.json`` has of a source beside its file: the options that were given and change the result."""
    options = [f for f in fields(source)[1:] if f.name not in PLACES and "in_settings" not in f.metadata]
    values = {f.name: (getattr(source, f.name), f.default) for f in options}
    return {name: value for name, (value, default) in values.items() if value != default}


def words_of(documented: type) -> dict[str, str]:
    """Field -> text, from the Parameters sections of docstrings in NumPy's form, of a class and of those below it."""
    found: dict[str, str] = {}
    for kind in reversed(documented.__mro__[:-1]):
        found |= _parameters(cleandoc(kind.__doc__ or ""))
    return found


def _parameters(doc: str) -> dict[str, str]:
    _, _, section = doc.partition("Parameters\n----------\n")
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        if line and not line.startswith(" "):
            found[line.strip()] = []
        elif line.strip() and found:
            found[next(reversed(found))].append(line.strip())
    return {name: " ".join(lines) for name, lines in found.items()}
