"""The driver loops, stops, reports and saves in the promised order."""

import math
from dataclasses import dataclass, replace

import pytest

from vitreous.iterate import Algorithm, Interrupted, NonFiniteStateError, run


@dataclass(frozen=True, kw_only=True)
class Newton:
    """Square root of ``target`` by Newton's iteration."""

    iteration: int = 0
    target: float
    x: float


def square_root(steps: int = 8) -> Algorithm[Newton, float]:
    def step(state: Newton):
        x = 0.5 * (state.x + state.target / state.x)
        return replace(state, iteration=state.iteration + 1, x=x), {"change": abs(x - state.x)}

    return Algorithm(
        init=lambda seed: Newton(target=float(seed), x=1.0),
        step=step,
        done=lambda state: state.iteration == steps,
        finalise=lambda state: state.x,
    )


def test_it_runs_to_the_end():
    result, state = run(square_root(), seed=2)
    assert math.isclose(result, math.sqrt(2))
    assert state.iteration == 8


def test_reports_come_before_saves_and_the_first_state_is_saved():
    events: list[tuple[str, int]] = []
    run(
        square_root(2),
        seed=2,
        on_step=lambda info: events.append(("step", info["iteration"])),
        save=lambda state: events.append(("save", state.iteration)),
    )
    assert events == [("save", 0), ("step", 1), ("save", 1), ("step", 2), ("save", 2)]


def test_information_carries_iteration_and_time():
    seen: list[dict] = []
    run(square_root(1), seed=4, on_step=seen.append)
    assert seen[0]["iteration"] == 1
    assert seen[0]["change"] == 1.5
    assert seen[0]["seconds"] >= 0


def test_an_interruption_leaves_a_state_that_continues_to_the_same_end():
    saved: list[Newton] = []
    with pytest.raises(Interrupted, match="after iteration 3"):
        run(square_root(), seed=3, save=saved.append, interrupted=lambda: saved[-1].iteration == 3)
    assert saved[-1].iteration == 3
    assert run(square_root(), seed=0, state=saved[-1]) == run(square_root(), seed=3)


def test_a_finished_state_is_only_finalised():
    _, state = run(square_root(), seed=5)
    saves: list[Newton] = []
    assert run(square_root(), seed=5, state=state, save=saves.append) == (state.x, state)
    assert saves == []


def test_a_non_finite_state_is_never_saved():
    algorithm = square_root()
    broken = replace(algorithm, step=lambda s: (replace(s, iteration=s.iteration + 1, x=math.nan), {}))
    saved: list[Newton] = []
    with pytest.raises(NonFiniteStateError, match="iteration 1: x"):
        run(broken, seed=2, save=saved.append)
    assert [s.iteration for s in saved] == [0]


def test_a_step_that_does_not_count_is_refused():
    broken = replace(square_root(), step=lambda s: (s, {}))
    with pytest.raises(ValueError, match="from iteration 0 to 0"):
        run(broken, seed=2)
