"""The shape that every iterative algorithm has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Algorithm", "IterativeState"]


class IterativeState(Protocol):
    """A frozen dataclass of tensors, arrays, numbers and strings: all that must survive, so it is the checkpoint.

    Fields may also be None, tuples, dictionaries with string keys, and dataclasses of the same kind.
    """

    @property
    def iteration(self) -> int:
        """Number of completed steps; ``init`` returns 0 and every step adds 1."""


S = TypeVar("S", bound=IterativeState)
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Algorithm(Generic[S, R]):
    """Four functions that make an iterative algorithm; data and settings are bound into them by its author.

    A step depends on its state alone: no clock, no hidden counters, randomness from
    :func:`vitreous.randomness.generator` with the state's iteration as part of the purpose. Then a resumed run ends
    with the same bits as an uninterrupted one.
    """

    init: Callable[[int], S]  # seed -> state with iteration 0
    step: Callable[[S], tuple[S, Mapping[str, Any]]]  # -> next state, what is worth logging (JSON-able)
    done: Callable[[S], bool]
    finalise: Callable[[S], R]
