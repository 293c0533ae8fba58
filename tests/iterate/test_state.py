"""Saved states come back bit for bit; states that are not finite are refused by name."""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vitreous.iterate import NonFiniteStateError, check_finite, state_from_arrays, state_to_arrays


@dataclass(frozen=True, kw_only=True)
class Group:
    sigma2: torch.Tensor
    name: str


@dataclass(frozen=True, kw_only=True)
class State:
    iteration: int
    classes: torch.Tensor
    labels: np.ndarray
    groups: tuple[Group, ...]
    best: Group | None
    score: float
    frozen: bool
    figures: dict[str, float]


def example() -> State:
    return State(
        iteration=3,
        classes=torch.arange(6, dtype=torch.float32).reshape(2, 3) / 7 + 1j,
        labels=np.array([3, 1, 2], dtype=np.int16),
        groups=(Group(sigma2=torch.tensor([0.1, 0.2]), name="a b"), Group(sigma2=torch.ones(1), name="µ")),
        best=None,
        score=0.1 + 0.2,
        frozen=True,
        figures={"snr": 1 / 3},
    )


def round_trip(state: State, tmp_path) -> State:
    np.savez(tmp_path / "s.npz", **state_to_arrays(state))
    with np.load(tmp_path / "s.npz", allow_pickle=False) as arrays:
        return state_from_arrays(State, dict(arrays))


def test_every_kind_of_field_survives_a_file(tmp_path):
    state, back = example(), round_trip(example(), tmp_path)
    assert torch.equal(back.classes, state.classes)
    assert back.classes.dtype == torch.complex64
    assert back.labels.dtype == np.int16
    assert back.labels.tolist() == [3, 1, 2]
    assert [g.name for g in back.groups] == ["a b", "µ"]
    assert torch.equal(back.groups[0].sigma2, state.groups[0].sigma2)
    assert (back.iteration, back.best, back.score, back.frozen) == (3, None, 0.1 + 0.2, True)
    assert back.figures == {"snr": 1 / 3}


def test_an_optional_dataclass_survives(tmp_path):
    best = Group(sigma2=torch.tensor(2.5), name="best")
    back = round_trip(replace(example(), best=best), tmp_path)
    assert back.best is not None
    assert back.best.name == "best"
    assert back.best.sigma2.shape == ()


@given(hnp.arrays(st.sampled_from([np.float32, np.float64, np.int64, np.complex64]), hnp.array_shapes(min_side=0)))
def test_any_array_keeps_its_bits(array):
    state = replace(example(), labels=array)
    back = state_from_arrays(State, state_to_arrays(state))
    assert back.labels.dtype == array.dtype
    assert back.labels.shape == array.shape
    assert back.labels.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"classes": torch.tensor([1.0, float("nan")])}, "classes"),
        ({"score": float("inf")}, "score"),
        ({"groups": (Group(sigma2=torch.tensor([float("-inf")]), name="x"),)}, "groups.0.sigma2"),
        ({"figures": {"snr": float("nan")}}, "figures.snr"),
    ],
)
def test_a_non_finite_field_is_named_with_its_iteration(change, name):
    with pytest.raises(NonFiniteStateError, match=rf"iteration 3: {name} has 1 non-finite"):
        check_finite(replace(example(), **change))


def test_a_finite_state_passes():
    check_finite(example())
    check_finite(replace(example(), labels=np.array(["text", "is finite"])))


def test_what_cannot_be_kept_is_refused_by_name():
    with pytest.raises(TypeError, match="best: a state cannot hold a set"):
        state_to_arrays(replace(example(), best={1, 2}))
    with pytest.raises(TypeError, match="labels"):
        state_to_arrays(replace(example(), labels=np.array([object()])))


Chain = TypeVar("Chain")


@dataclass(frozen=True, kw_only=True)
class OfChains(Generic[Chain]):
    iteration: int
    chains: tuple[Chain, ...]


def test_a_generic_state_comes_back_with_its_parameters():
    state = OfChains(iteration=2, chains=(Group(sigma2=torch.tensor([0.5]), name="a"),))
    back = state_from_arrays(OfChains[Group], state_to_arrays(state))
    assert back.chains[0].name == "a"
    assert torch.equal(back.chains[0].sigma2, state.chains[0].sigma2)
    with pytest.raises(ValueError, match="holds a Group"):
        state_from_arrays(OfChains[int], state_to_arrays(state))


def test_another_class_or_version_is_refused():
    arrays = state_to_arrays(example())
    with pytest.raises(ValueError, match="expected a saved Group, found State"):
        state_from_arrays(Group, arrays)

    @dataclass(frozen=True)
    class Other:
        iteration: int

    Other.__qualname__ = "State"
    with pytest.raises(ValueError, match="another version"):
        state_from_arrays(Other, arrays)
