"""An algorithm for jobs that do not iterate: nothing to go on from, so that resuming starts anew."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from vitreous.iterate import Algorithm

__all__ = ["AtOnce", "at_once"]

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class AtOnce:
    """The state of a job before its only step and after it."""

    iteration: int
    seed: int


def at_once(work: Callable[[int], R]) -> Algorithm[AtOnce, R]:
    """No steps; ``work(seed)`` is the result."""
    return Algorithm(
        init=lambda seed: AtOnce(iteration=0, seed=seed),
        step=lambda state: (AtOnce(iteration=1, seed=state.seed), {}),
        done=lambda state: True,
        finalise=lambda state: work(state.seed),
    )
