"""The only loop: it steps, checks, reports, saves and stops."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, TypeVar

from vitreous.iterate.algorithm import Algorithm, IterativeState
from vitreous.iterate.state import check_finite

__all__ = ["Interrupted", "run"]

S = TypeVar("S", bound=IterativeState)
R = TypeVar("R")


class Interrupted(Exception):
    """The run was asked to stop; everything up to ``iteration`` has been saved."""

    def __init__(self, iteration: int):
        super().__init__(f"stopped on request after iteration {iteration}")
        self.iteration = iteration


def run(
    algorithm: Algorithm[S, R],
    *,
    seed: int,
    state: S | None = None,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    save: Callable[[S], None] | None = None,
    interrupted: Callable[[], bool] | None = None,
) -> tuple[R, S]:
    """Iterate until ``algorithm.done`` and return the final result with the state that it came from.

    ``state`` continues an earlier run (``seed`` is then not used). After every step, in this order: the new state is
    checked, ``on_step`` receives the step's information with ``iteration`` and ``seconds`` added, ``save`` receives
    the state, ``interrupted`` is asked whether to stop. So what ``on_step`` has recorded is never behind what
    ``save`` has kept. The state from ``init`` is saved too.

    Raises
    ------
    Interrupted
        When ``interrupted()`` is true; the state has been saved before.
    NonFiniteStateError
        When a state holds NaN or infinity; such a state is never saved.
    ValueError
        When a step does not advance ``state.iteration`` by one.
    """
    if state is None:
        state = algorithm.init(seed)
        check_finite(state)
        if save is not None:
            save(state)
    while not algorithm.done(state):
        if interrupted is not None and interrupted():
            raise Interrupted(state.iteration)
        state, info = _advance(algorithm, state)
        if on_step is not None:
            on_step(info)
        if save is not None:
            save(state)
    return algorithm.finalise(state), state


def _advance(algorithm: Algorithm[S, R], state: S) -> tuple[S, dict[str, Any]]:
    start = perf_counter()
    following, info = algorithm.step(state)
    seconds = perf_counter() - start
    if following.iteration != state.iteration + 1:
        raise ValueError(f"a step took the state from iteration {state.iteration} to {following.iteration}")
    check_finite(following)
    return following, _labelled(info, iteration=following.iteration, seconds=seconds)


def _labelled(info: Mapping[str, Any], *, iteration: int, seconds: float) -> dict[str, Any]:
    return {"iteration": iteration, "seconds": seconds, **info}
