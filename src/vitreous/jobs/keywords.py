"""Keywords of a call of a job, sorted: settings, what the source of the job takes, how it is run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from vitreous.jobs.options import memory_bytes
from vitreous.jobs.task import Task
from vitreous.require import nearest
from vitreous.words import british

__all__ = ["SortedKeywords", "sort_keywords"]


@dataclass(frozen=True, kw_only=True)
class SortedKeywords:
    """What a call was given by name."""

    settings: Any  # those that were given, or their defaults, with what the keywords change
    source: Mapping[str, Any]  # fields of the source
    running: Mapping[str, Any]  # fields of RunOptions


def sort_keywords(
    task: Task[Any, Any, Any, Any],
    name: str,
    settings: Any,
    keywords: Mapping[str, Any],
    *,
    running: Iterable[str],
    further: Iterable[str] = (),
) -> SortedKeywords:
    """The keywords of the function ``name`` of a job, in either spelling; ``method`` chooses the kind of settings.

    running: names of the options of running that the function takes; further: what else it takes, for the answer to a
    wrong name. A name that settings and source both have belongs to the source. ``memory`` may be text, as in the
    command line. Raises TypeError for a keyword that is none of them and for settings of another job, ValueError for an
    unknown method.
    """
    given = {british(word): value for word, value in keywords.items()}
    kind = _kind(task, settings, given)
    known, of_source = [f.name for f in fields(kind)], [f.name for f in fields(task.source)[1:]]
    running = tuple(running)
    for word, value in given.items():
        if word in further and word not in (*known, *of_source):
            found = type(value).__name__
            raise TypeError(f"{word}: expected a result, a folder or a file with classes or poses, found {found}")
        if word not in (*known, *of_source, *running):
            everything = tuple(dict.fromkeys((*known, *of_source, *running, *further)))
            raise TypeError(
                f"{name}() has no keyword {word!r}{nearest(word, everything)}; those that it has are "
                f"{', '.join(everything)}"
            )
    changes = {word: value for word, value in given.items() if word in known and word not in of_source}
    return SortedKeywords(
        settings=replace(kind() if settings is None else settings, **changes),
        source={word: value for word, value in given.items() if word in of_source},
        running={word: _plain(word, value) for word, value in given.items() if word in running},
    )


def _plain(word: str, value: Any) -> Any:
    return memory_bytes(value) if word == "memory" and isinstance(value, str) else value


def _kind(task: Task[Any, Any, Any, Any], settings: Any, keywords: dict[str, Any]) -> type:
    """The kind of settings; of several methods the one that ``method`` names, which is taken out of the keywords."""
    if settings is not None:
        return type(task.settings(settings))
    several = len(task.methods) > 1
    method = keywords.pop("method", None) if several else None
    if method is None:
        return next(iter(task.methods.values()))
    if method not in task.methods:
        raise ValueError(f"method: expected one of {', '.join(task.methods)}, found {method!r}")
    return task.methods[method]
