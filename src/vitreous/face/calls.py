"""A job as a function on values: settings or keywords in, a result out."""

from collections.abc import Callable
from dataclasses import fields
from inspect import Parameter, Signature
from typing import Any, get_origin

from vitreous.face.given import as_source, with_poses_of
from vitreous.face.result import Result
from vitreous.jobs.in_memory import compute
from vitreous.jobs.keywords import sort_keywords
from vitreous.jobs.options import RunOptions
from vitreous.jobs.task import Task, words_of
from vitreous.jobs.tasks.table import TASKS
from vitreous.particles import ParticleSet, read_particles

__all__ = ["call_of"]

RUNNING = ("device", "memory", "threads")
POSES = ("classes", "alignments", "poses")  # keywords that a result may stand behind
KEYWORDS = "Keywords are the settings, what the source of the job takes, device, memory and threads; quiet: no bar."


def call_of(task: Task[Any, Any, Any, Any], name: str) -> Callable[..., Result[Any]]:
    """``name(given, settings=None, *, method=None, quiet=False, **keywords)`` of a job."""
    first = fields(task.source)[0].name

    def call(*args: Any, settings: Any = None, quiet: bool = False, **keywords: Any) -> Result[Any]:
        if len(args) > 2 or (len(args) == 2 and settings is not None):
            raise TypeError(
                f"{name}() takes {first} and settings, and everything else by name; found {len(args)} values"
            )
        main = args[0] if args else keywords.pop(first, None)  # `classes` may be the name of both, the first and poses
        chosen = args[1] if len(args) == 2 else settings
        chosen, source, running = _sorted(task, name, first, main, chosen, keywords)
        return Result(done=compute(task, source, chosen, RunOptions(**running), quiet=quiet))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = _docstring(task, first)
    call.__signature__ = _signature(first)  # type: ignore[attr-defined]
    call.__module__ = __name__
    return call


def _sorted(
    task: Task[Any, Any, Any, Any], name: str, first: str, given: Any, settings: Any, keywords: dict[str, Any]
) -> tuple[Any, Any, dict[str, Any]]:
    """Settings, source and options of running from what a call was given; TypeError for what is neither."""
    of_source = {f.name for f in fields(task.source)[1:]}
    poses = {k: keywords.pop(k) for k in POSES if k in keywords and k not in of_source and _is_found(keywords[k])}
    if given is None:
        raise TypeError(f"{name}(): expected {first}, found nothing")
    further = POSES if first in ("particles", "classes") else ()
    found = sort_keywords(task, name, settings, keywords, running=RUNNING, further=further)
    pixel = found.source.get("pixel_size_A")
    several = {f.name for f in fields(task.source) if get_origin(f.type) is tuple}
    source = {k: as_source(k, v, pixel_size_A=pixel) for k, v in found.source.items()}
    source = {k: (v,) if k in several and not isinstance(v, tuple) else v for k, v in source.items()}
    main = as_source(first, given, pixel_size_A=pixel)
    for one in poses.values():
        main = with_poses_of(main if isinstance(main, ParticleSet) else read_particles(main), one)
    return found.settings, task.source(**{first: main, **source}), dict(found.running)


def _is_found(value: Any) -> bool:
    """Whether a keyword holds poses, and not a number of classes."""
    return value is not None and not isinstance(value, int | float)


def _signature(first: str) -> Signature:
    positional, keyword = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    return Signature(
        [
            Parameter(first, positional),
            Parameter("settings", positional, default=None),
            Parameter("quiet", keyword, default=False, annotation=bool),
            Parameter("keywords", Parameter.VAR_KEYWORD, annotation=Any),
        ],
        return_annotation=Result,
    )


def _docstring(task: Task[Any, Any, Any, Any], first: str) -> str:
    told = words_of(task.source)
    kinds = " or ".join(kind.__name__ for kind in task.methods.values())
    lines = [
        f"{TASKS[task.name].help}\n\n{task.about}".strip(),
        f"{KEYWORDS} An array, a particle set or a map may stand where a file does, and a result where the folder "
        "of its job does. classes, alignments or poses: a result whose classes and poses the particles take over.",
        f"Parameters\n----------\n{first}\n    {told[first]}\nsettings\n    {kinds}; keywords change them.\n"
        + "\n".join(f"{f.name}\n    {told[f.name]}" for f in fields(task.source)[1:]),
        "Raises\n------\nTypeError\n    For a keyword or an argument of another kind.\nFileNotFoundError, ValueError\n"
        "    For input or settings that cannot be used.",
    ]
    return "\n\n".join(lines) + "\n"
