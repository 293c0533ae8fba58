"""Numbers that are none are refused by every class of settings, in one wording that begins with the setting's name."""

import math
import types
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as relaxed
from hypothesis import strategies as st

from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.table import TASKS, task_of
from vitreous.mixtures import MixturePrior
from vitreous.mixtures.gaussian_noise import GaussianNoisePrior
from vitreous.require import (
    require_at_least,
    require_at_least_or,
    require_finite,
    require_not_negative,
    require_one_of,
    require_positive,
)
from vitreous.simulate import SimulateSettings

PRIOR = {"mean_precision_per_A2": 0.01}
NOISE_PRIOR = {"mean_precision_per_A2": 0.01, "scale_sd": 1.0, "background_sd": 1.0}
# Settings of all jobs, and what else users give numbers to; the values are those that have no default.
SETTINGS: dict[type, dict[str, float]] = {
    **{kind: {} for name in TASKS for kind in task_of(name).methods.values()},
    SimulateSettings: {},
    RunOptions: {},
    MixturePrior: PRIOR,
    GaussianNoisePrior: NOISE_PRIOR,
}


def kinds_in(annotation: Any) -> set[type]:
    """The types that a field may have: ``float | None`` has two, ``tuple[float, ...]`` is its origin."""
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*(kinds_in(part) for part in get_args(annotation)))
    return {get_origin(annotation) or annotation}


def numeric(settings: type) -> list[str]:
    """Fields that take a number."""
    hints = get_type_hints(settings)
    return [f.name for f in fields(settings) if kinds_in(hints[f.name]) & {int, float}]


NUMBERS = [(settings, name) for settings in SETTINGS for name in numeric(settings)]
never_finite = st.sampled_from([math.nan, math.inf, -math.inf]).flatmap(
    lambda number: st.sampled_from([number, np.float32(number), np.float64(number)])
)


def test_the_table_has_every_job_and_every_number():
    assert len(SETTINGS) == 40
    assert all(is_dataclass(settings) for settings in SETTINGS)
    assert {"classes", "tau2_fudge", "particle_diameter_A", "subset", "seed"} <= {name for _, name in NUMBERS}
    assert ("ctf" in {name for _, name in NUMBERS}) is False  # a switch is no number


@pytest.mark.parametrize(("settings", "name"), NUMBERS, ids=lambda value: getattr(value, "__name__", value))
@relaxed(deadline=None)  # what a busy machine takes says nothing
@given(number=never_finite)
def test_a_number_that_is_none_is_refused_by_the_name_of_its_setting(settings, name, number):
    with pytest.raises(ValueError, match=rf"^{name}: expected .*, found {number}$"):
        settings(**SETTINGS[settings] | {name: number})


def test_numbers_in_a_list_are_tried_too():
    with pytest.raises(ValueError, match=r"^proportions: expected a finite number"):
        SimulateSettings(source=("ribosome-like", "ribosome-like"), proportions=(1.0, math.nan))


def test_numbers_that_are_some_pass():
    some = types.SimpleNamespace(a=0, b=None, c=10**400, d="word", e=(1.0, 2.0), f=True)
    require_finite(some)
    require_at_least(some, {"a": 0, "b": 7, "c": 7})
    require_positive(some, ("b", "c"))
    require_not_negative(some, ("a", "b"))
    require_one_of(some, "d", ("word", "other"))
    require_at_least_or(some, "d", 2, "word")
    require_at_least_or(some, "c", 2, "word")


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda s: require_at_least(s, {"a": 1}), "a: expected at least 1, found 0"),
        (lambda s: require_positive(s, ("a",)), "a: expected a positive number, found 0"),
        (lambda s: require_not_negative(s, ("g",)), "g: expected zero or a positive number, found -1"),
        (lambda s: require_one_of(s, "d", ("this", "that")), "d: expected one of this, that, found word"),
        (lambda s: require_at_least_or(s, "d", 2, "auto"), 'd: expected at least 2, or "auto", found word'),
        (lambda s: require_at_least_or(s, "a", 2, "auto"), 'a: expected at least 2, or "auto", found 0'),
    ],
)
def test_the_wording(check, words):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 the whole message is compared below
        check(types.SimpleNamespace(a=0, d="word", g=-1))
    assert str(refused.value) == words
