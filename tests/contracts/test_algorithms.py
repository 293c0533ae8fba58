"""What every iterative algorithm promises (docs/architecture.md, "An algorithm"), for all of them in one table."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch
from algorithms import ALGORITHMS

from vitreous.iterate import check_finite, run, state_from_arrays, state_to_arrays
from vitreous.jobs.history import to_json

SEED = 5


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in a result, at any depth."""
    if is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from leaves(getattr(value, f.name), f"{path}.{f.name}")
    elif isinstance(value, list | tuple):
        for i, child in enumerate(value):
            yield from leaves(child, f"{path}[{i}]")
    elif isinstance(value, torch.Tensor):
        yield path, value.numpy()
    else:
        yield path, value


def assert_equal(a: Any, b: Any) -> None:
    """The same bits in all fields."""
    first, second = dict(leaves(a)), dict(leaves(b))
    assert first.keys() == second.keys()
    for path, value in first.items():
        np.testing.assert_array_equal(value, second[path], err_msg=path)


def different(a: Any, b: Any) -> bool:
    first, second = dict(leaves(a)), dict(leaves(b))
    return first.keys() != second.keys() or any(not np.array_equal(v, second[k]) for k, v in first.items())


@pytest.fixture(scope="module", params=ALGORITHMS)
def case(request):
    return ALGORITHMS[request.param]


@pytest.fixture(scope="module")
def whole(case):
    """(result, all states, all infos) of an uninterrupted run."""
    states: list[Any] = []
    infos: list[dict] = []
    with torch.no_grad():
        result, last = run(case.make(SEED, 1), seed=SEED, save=states.append, on_step=infos.append)
    assert last is states[-1]
    return result, states, infos


def test_steps_count_from_nothing_to_done(case, whole):
    _, states, infos = whole
    assert [state.iteration for state in states] == list(range(len(states)))
    assert [info["iteration"] for info in infos] == list(range(1, len(states)))
    assert len(states) > 2
    algorithm = case.make(SEED, 1)
    assert [bool(algorithm.done(state)) for state in states] == [False] * (len(states) - 1) + [True]


def test_what_is_told_can_be_kept_as_json(whole):
    for info in whole[2]:
        assert json.loads(to_json(info)).keys() == info.keys()


def test_every_state_is_finite_and_survives_a_round_trip(case, whole):
    for state in whole[1]:
        check_finite(state)
        back = state_from_arrays(case.state, state_to_arrays(state))
        assert type(back) is type(state)
        assert_equal(back, state)


def test_a_step_is_a_function_of_its_state(case, whole):
    """Twice the same bits, also by an algorithm that has not seen the earlier steps; the state itself stays."""
    _, states, _ = whole
    before = states[len(states) // 2]
    kept = {name: value.copy() for name, value in state_to_arrays(before).items()}
    used, fresh = case.make(SEED, 1), case.make(SEED, 1)
    with torch.no_grad():
        used.step(states[0])
        for algorithm in (used, fresh):
            assert_equal(algorithm.step(before)[0], states[before.iteration + 1])
    assert all(np.array_equal(value, kept[name]) for name, value in state_to_arrays(before).items())


def test_resumed_anywhere_the_result_is_the_same_in_all_fields(case, whole):
    result, states, infos = whole
    for stop in sorted({0, 1, len(states) // 2, len(states) - 1}):
        kept = state_from_arrays(case.state, state_to_arrays(states[stop]))
        told: list[dict] = []
        with torch.no_grad():
            resumed, _ = run(case.make(SEED, 1), seed=99, state=kept, on_step=told.append)
        assert_equal(resumed, result)
        assert [t["iteration"] for t in told] == [i["iteration"] for i in infos[stop:]]


def test_a_second_run_leaves_the_first_result_as_it_was(case, whole):
    algorithm = case.make(SEED, 1)
    with torch.no_grad():
        first, _ = run(algorithm, seed=SEED)
        kept = {path: np.array(value, copy=True) for path, value in leaves(first)}
        run(algorithm, seed=SEED)
    for path, value in leaves(first):
        np.testing.assert_array_equal(value, kept[path], err_msg=path)
    assert_equal(first, whole[0])


def test_threads_do_not_change_a_bit(case, whole):
    with torch.no_grad():
        assert_equal(run(case.make(SEED, 3), seed=SEED)[0], whole[0])


def test_a_seed_is_the_same_whichever_way_it_is_given(case, whole):
    with torch.no_grad():
        by_run = run(case.make(1, 1), seed=SEED)[0]
        other = run(case.make(SEED, 1), seed=1)[0]
    assert_equal(by_run, whole[0])
    assert different(other, whole[0]) == case.random
