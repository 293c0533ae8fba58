"""The functions of all jobs; each is made when it is asked for, and the stub beside this file types them."""

from collections.abc import Callable
from typing import Any

from vitreous.face.calls import call_of
from vitreous.face.result import Result
from vitreous.jobs.tasks.table import TASKS, task_of

NAMES = {"initial_model": "initial", "model_bias": "model-bias", "neighbors": "neighbours"}  # that are no job's


def __getattr__(name: str) -> Callable[..., Result[Any]]:
    task = NAMES.get(name, name)
    if task not in TASKS or name == "run":  # which has a function of its own, since it consists of jobs
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return call_of(task_of(task), name)
