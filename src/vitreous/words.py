"""Text on its way to a screen, and who puts it there."""

import os
from dataclasses import fields
from textwrap import wrap
from typing import Any

__all__ = ["SaidElsewhereError", "american", "brief", "british", "counted", "first_process", "folded", "printable"]

LONG = 40  # letters of a value
SPELLINGS = {"normalise": "normalize", "neighbour": "neighbor", "centre": "center", "colour": "color"}


class SaidElsewhereError(ValueError):
    """What is wrong with the input, in one of several processes that need not say it: the first one does."""


def first_process() -> bool:
    """Whether this process is the one that speaks: torchrun numbers those that it starts."""
    return os.environ.get("RANK", "0") == "0"


def british(name: str) -> str:
    """A name with the spelling that this program has; those of American spelling are accepted, too.

    >>> british("normalize"), british("n_neighbors")
    ('normalise', 'n_neighbours')
    """
    for ours, theirs in SPELLINGS.items():
        name = name.replace(theirs, ours)
    return name


def american(name: str) -> str:
    """The other way.

    >>> american("--no-normalise")
    '--no-normalize'
    """
    for ours, theirs in SPELLINGS.items():
        name = name.replace(ours, theirs)
    return name


def counted(count: int, thing: str) -> str:
    """A number of things, in the singular where there is one.

    >>> counted(1, "class"), counted(2, "class"), counted(1200, "usable particle")
    ('1 class', '2 classes', '1,200 usable particles')
    """
    ending = "" if count == 1 else "es" if thing.endswith("s") else "s"
    return f"{count:,} {thing}{ending}"


def folded(text: str, *, lines: int, width: int = 110) -> list[str]:
    """A text in at most so many lines; what does not fit is left out, and dots say so.

    >>> folded("one two three four", lines=2, width=9)
    ['one two', 'three ...']
    """
    return wrap(text, width, max_lines=lines, placeholder=" ...", subsequent_indent="")


def brief(value: Any) -> str:
    """A dataclass in at most five lines: its name, and what its fields are; of arrays the shapes, of long values dots.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Point:
    ...     __repr__ = brief
    ...     x: float
    ...     names: list[str]
    >>> Point(1.5, ["a"] * 99)
    Point: x 1.5, names (99 of list)
    """
    said = ", ".join(f"{f.name} {_briefly(getattr(value, f.name))}" for f in fields(value))
    return "\n".join(folded(f"{type(value).__name__}: {said}", lines=5))


def _briefly(value: Any) -> str:
    if hasattr(value, "shape"):
        return f"{tuple(value.shape)}" if value.shape else f"{value}"
    if isinstance(value, list | tuple | dict) and len(repr(value)) > LONG:
        return f"({len(value)} of {type(value).__name__})"
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= LONG and "\n" not in text else f"({type(value).__name__})"


def printable(text: str) -> str:
    r"""Text without what a terminal would obey: names in files may hold any bytes.

    >>> printable("a.mrcs" + chr(27) + "[2J")
    'a.mrcs\\x1b[2J'
    """
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)
