"""Several processes that work on one job: who has which particles, and how their sums come together.

A method sees this much of it: it works on its share of the particles (:func:`by_process`), hands its sums to ``add``
and what it found of single particles to ``gather``. Alone, both give back what they got. Where processes are many,
every one of them holds the same values afterwards, to the bit, so that all take the same decisions.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar

import numpy as np

__all__ = ["ALONE", "Alone", "Processes", "by_process", "joined"]

T = TypeVar("T")


class Processes(Protocol):
    """What a method may ask of the processes that it runs in."""

    @property
    def rank(self) -> int:
        """Which one this is, from 0."""

    @property
    def size(self) -> int:
        """How many there are."""

    @property
    def on_this_machine(self) -> int:
        """How many of them share the processors of this machine."""

    @property
    def words_said(self) -> int:
        """How often :meth:`from_first` has been called."""

    def add(self, sums: T) -> T:
        """A frozen dataclass of tensors, or of tuples of them, each summed over all processes."""

    def gather(self, found: T) -> T:
        """A frozen dataclass of arrays, each joined along its first axis, in the order of the processes."""

    def from_first(self, value: T) -> T:
        """What the first process says, whatever the others do."""


def by_process(index: np.ndarray, processes: Processes) -> list[np.ndarray]:
    """The particles (m,) of every process: particle i belongs to process ``i % size``, whatever it is asked for."""
    return [index[index % processes.size == rank] for rank in range(processes.size)]


def joined(parts: list[T]) -> T:
    """Frozen dataclasses of arrays, one after the other."""
    first: Any = parts[0]
    return replace(first, **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(first)})


@dataclass(frozen=True)
class Alone:
    """One process."""

    rank: int = 0
    size: int = 1
    on_this_machine: int = 1
    words_said: int = 0

    def add(self, sums: T) -> T:
        """The sums."""
        return sums

    def gather(self, found: T) -> T:
        """What was found."""
        return found

    def from_first(self, value: T) -> T:
        """What it says."""
        return value


ALONE = Alone()
