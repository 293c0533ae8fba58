"""A job as a Python function: ``vitreous.run_class2d`` and its like."""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, replace
from functools import reduce
from inspect import Parameter, Signature
from operator import or_
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from vitreous.jobs.keywords import sort_keywords
from vitreous.jobs.options import RunOptions
from vitreous.jobs.run_task import run_task
from vitreous.jobs.task import Task, words_of
from vitreous.jobs.tasks.table import TASKS
from vitreous.require import require_types

__all__ = ["function_of"]

RUNNING = tuple(f.name for f in fields(RunOptions))
POSITIONAL, KEYWORD = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY

RAISES = """\
Raises
------
TypeError
    For an argument of another kind, such as the settings of another job.
FileNotFoundError, ValueError
    For input or settings that cannot be used, and for a folder that holds something else.
Interrupted
    When ``RELION_JOB_ABORT_NOW`` has appeared in the folder."""


def function_of(task: Task[Any, Any, Any, Any]) -> Callable[..., Path | None]:
    """``run_X(source, output, settings=None, options=None, *, command, ...)``.

    Keywords are the source's fields, and the fields of settings and options, which they change. The kind of the
    settings, or ``method``, chooses the method. Returns the path of the report; None after a dry run. Raises what
    :func:`vitreous.jobs.run_task.run_task` does.
    """
    name = task.function or f"run_{task.name}"
    signature, hints = _signature(task, command=f"vitreous.{name}"), get_type_hints(task.source)

    def job(*args: Any, **kwargs: Any) -> Path | None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        settings = given.pop("settings")
        frame = {key: given.pop(key) for key in ("output", "options", "command")}
        _require_frame(**frame)
        found = sort_keywords(task, name, settings, given.pop("keywords", {}), running=RUNNING)
        source = task.source(**{key: _given(value, hints[key]) for key, value in {**given, **found.source}.items()})
        require_types(source)
        frame["options"] = replace(frame["options"] or RunOptions(), **found.running)
        return run_task(task, source, settings=found.settings, **frame)

    job.__name__ = job.__qualname__ = name
    job.__doc__ = _docstring(task)
    job.__signature__ = signature  # type: ignore[attr-defined]
    return job


def _require_frame(*, output: Any, options: Any, command: Any) -> None:
    """TypeError for a folder or options that are something else; settings are the task's to judge."""
    for name, value, kinds, words in (
        ("output", output, str | Path, "the name of a folder"),
        ("options", options, RunOptions | None, "RunOptions"),
        ("command", command, str, "text"),
    ):
        if not isinstance(value, kinds):
            raise TypeError(f"{name}: expected {words}, found {type(value).__name__}")


def _signature(task: Task[Any, Any, Any, Any], *, command: str) -> Signature:
    hints = get_type_hints(task.source)
    first, *others = fields(task.source)
    settings: Any = reduce(or_, task.methods.values())
    given = [
        Parameter(f.name, KEYWORD, default=None if f.default is MISSING else f.default, annotation=hints[f.name])
        for f in others
    ]
    parameters = [
        Parameter(first.name, POSITIONAL, annotation=_file_or_files(hints[first.name])),
        Parameter("output", POSITIONAL, annotation=str | Path),
        Parameter("settings", POSITIONAL, default=None, annotation=settings | None),
        Parameter("options", POSITIONAL, default=None, annotation=RunOptions | None),
        Parameter("command", KEYWORD, default=command, annotation=str),
        *given,
        Parameter("keywords", Parameter.VAR_KEYWORD, annotation=Any),
    ]
    return Signature(parameters, return_annotation=Path | None)


def _file_or_files(hint: Any) -> Any:
    """Files may be given by their names; where a source takes several, one alone will do, too."""
    return str | Path if get_origin(hint) is not tuple else str | Path | Sequence[str | Path]


def _docstring(task: Task[Any, Any, Any, Any]) -> str:
    told = words_of(task.source)
    first, *others = [(f.name, told[f.name]) for f in fields(task.source)]
    words = dict(  # in the order of the arguments
        [
            first,
            ("output", "Folder for the results; made when it is not there."),
            ("settings", f"What is computed: {' or '.join(kind.__name__ for kind in task.methods.values())}."),
            ("options", "How it is run: RunOptions."),
            ("command", "What job.json and the log have as the command."),
            *others,
            (
                "keywords",
                "Fields of settings and options, which they change; method, where there are several.",
            ),
        ]
    )
    sections = [
        f"{TASKS[task.name].help}\n\n{task.about}".strip(),
        "Returns the path of the report; None after a dry run.",
        "Parameters\n----------\n" + "\n".join(f"{name}\n    {text}" for name, text in words.items()),
        RAISES,
    ]
    return "\n\n".join(sections) + "\n"


def _is_path(hint: Any) -> bool:
    """Whether a field holds names of files."""
    return hint is Path or any(map(_is_path, get_args(hint)))


def _given(value: Any, hint: Any) -> Any:
    """The value of a field; names of files are paths, and one alone will do where a field takes several."""
    if not _is_path(hint):
        return value
    paths = _path(value)
    return (paths,) if get_origin(hint) is tuple and isinstance(paths, Path) else paths


def _path(value: Any) -> Any:
    """Names of files as paths."""
    if isinstance(value, str):
        return Path(value)
    return tuple(map(_path, value)) if isinstance(value, list | tuple) else value
