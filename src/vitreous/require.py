"""What settings and priors have to be, with one wording for all of them: ``name: expected this, found that``."""

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real

__all__ = [
    "require",
    "require_at_least",
    "require_at_least_or",
    "require_finite",
    "require_not_negative",
    "require_one_of",
    "require_positive",
]


def require(settings: object, name: str, holds: bool, expected: str) -> None:
    """ValueError for the field ``name`` unless ``holds``."""
    if not holds:
        raise ValueError(f"{name}: expected {expected}, found {getattr(settings, name)}")


def require_finite(settings: object) -> None:
    """ValueError for the first field of a dataclass that is, or in a tuple holds, NaN or an infinite number."""
    for name, value in vars(settings).items():
        numbers = value if isinstance(value, tuple) else (value,)
        broken = any(isinstance(number, Real) and _endless(number) for number in numbers)
        require(settings, name, not broken, "a finite number")


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
