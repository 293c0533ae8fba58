"""What settings and priors have to be, with one wording for all of them: ``name: expected this, found that``."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

__all__ = [
    "nearest",
    "require",
    "require_at_least",
    "require_at_least_or",
    "require_finite",
    "require_not_negative",
    "require_one_of",
    "require_positive",
    "require_types",
    "settings_with",
]

C = TypeVar("C")
WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "text", Path: "the name of a file"}


def require(settings: object, name: str, holds: bool, expected: str) -> None:
    """ValueError for the field ``name`` unless ``holds``."""
    if not holds:
        raise ValueError(f"{name}: expected {expected}, found {getattr(settings, name)}")


def require_finite(settings: object) -> None:
    """ValueError for the first field of a dataclass that is, or in a tuple holds, NaN or an infinite number.

    TypeError for one that is of another kind than its annotation says (:func:`require_types`).
    """
    for name, value in vars(settings).items():
        numbers = value if isinstance(value, tuple) else (value,)
        broken = any(isinstance(number, Real) and _endless(number) for number in numbers)
        require(settings, name, not broken, "a finite number")
    require_types(settings)


def require_types(settings: object) -> None:
    """TypeError for the first field of a dataclass that is not what its annotation says: a number, a word, a path.

    A whole number passes for a float, NumPy's numbers for Python's, text for a path. Other annotations are not looked
    at.
    """
    for name, hint in _hints_of(type(settings)).items() if is_dataclass(settings) else ():  # type: ignore[arg-type]
        value = getattr(settings, name)
        if not _fits(value, hint):
            found = f"{value!r} ({type(value).__name__})" if isinstance(value, str | Real) else type(value).__name__
            raise TypeError(f"{name}: expected {_words_of(hint)}, found {found}")


def settings_with(kind: type[C], given: object, changes: Mapping[str, Any]) -> C:
    """The settings that a function was given, or their defaults, with what its keywords change.

    Raises TypeError for settings of something else, and for a keyword that is no setting.
    """
    if given is not None and not isinstance(given, kind):
        raise TypeError(f"settings: expected {kind.__name__}, found {type(given).__name__}")
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = [name for name in changes if name not in names]
    if unknown:
        meant = nearest(unknown[0], names)
        known = f"; those that it has are {', '.join(names)}"
        raise TypeError(f"{kind.__name__} has no setting {unknown[0]!r}{meant}{known}")
    return replace(kind() if given is None else given, **changes)  # type: ignore[type-var]


def nearest(name: str, names: Iterable[str]) -> str:
    """``; did you mean 'this'?`` for a name that is none of ``names``, or nothing where none is like it.

    >>> nearest("klasses", ["classes", "seed"])
    "; did you mean 'classes'?"
    """
    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def require_at_least(settings: object, least: Mapping[str, int]) -> None:
    """ValueError for the first field that is below what ``least`` (field -> number) says. None is no number."""
    for name, low in least.items():
        value = getattr(settings, name)
        require(settings, name, value is None or value >= low, f"at least {low}")


def require_at_least_or(settings: object, name: str, least: int, word: str) -> None:
    """ValueError for a field that is neither a number of at least ``least`` nor the ``word``."""
    value = getattr(settings, name)
    fits = value == word if isinstance(value, str) else value >= least
    require(settings, name, fits, f'at least {least}, or "{word}"')


def require_positive(settings: object, names: Iterable[str]) -> None:
    """ValueError for the first of these fields that is not a positive, finite number. None is no number."""
    for name in names:
        value = getattr(settings, name)
        require(settings, name, value is None or 0 < value < math.inf, "a positive number")


def require_not_negative(settings: object, names: Iterable[str]) -> None:
    """ValueError for the first of these fields that is negative, NaN or infinite. None is no number."""
    for name in names:
        value = getattr(settings, name)
        require(settings, name, value is None or 0 <= value < math.inf, "zero or a positive number")


def require_one_of(settings: object, name: str, words: Iterable[str]) -> None:
    """ValueError for a field that is none of these words."""
    known = tuple(words)
    require(settings, name, getattr(settings, name) in known, f"one of {', '.join(known)}")


def _endless(number: Real) -> bool:
    """NaN or infinite. A whole number is neither, even one that is too large for a float."""
    return not isinstance(number, Integral) and not math.isfinite(number)


@cache
def _hints_of(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is what a simple annotation says; True where the annotation is not simple."""
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return isinstance(value, str) or value in get_args(hint)  # which words there are is said with their list
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        return isinstance(value, tuple) and (len(parts) != 2 or parts[1] is not ... or _all_fit(value, parts[0]))
    number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    known = {
        int: number and isinstance(value, Integral),
        float: number,
        bool: isinstance(value, bool | np.bool_),
        str: isinstance(value, str),
        Path: isinstance(value, str | Path),
        type(None): value is None,
    }
    return known.get(hint, True)


def _all_fit(values: tuple[object, ...], hint: Any) -> bool:
    return all(_fits(value, hint) for value in values)


def _words_of(hint: Any) -> str:
    """What an annotation asks for, in words."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_words_of(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) is tuple:
        return f"several, each {_words_of(get_args(hint)[0])}"
    return "None" if hint is type(None) else WORDS.get(hint, getattr(hint, "__name__", str(hint)))
