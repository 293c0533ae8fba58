"""Hamiltonian Monte Carlo: the leapfrog, and step sizes by dual averaging.

Many independent problems of one shape (the poses of the images) run side by side: energies, step sizes and decisions
are then arrays with one entry for each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

__all__ = ["StepSize", "adapted", "first_step_size", "leapfrog", "settled", "step_of"]

P = TypeVar("P")

_GAIN, _DELAY, _FORGETTING = 0.1, 10.0, 0.75  # gamma (here per unit of log step), t0 and kappa of dual averaging


@dataclass(frozen=True, kw_only=True, eq=False)
class StepSize:
    """Dual averaging of the log step (Nesterov 2009; Hoffman and Gelman 2014); arrays of one shape."""

    log_step: np.ndarray
    log_average: np.ndarray
    anchor: np.ndarray
    error: np.ndarray
    count: int


def first_step_size(step: np.ndarray | float) -> StepSize:
    """The start of an adaptation, at a step that need not be good."""
    log_step = np.log(np.asarray(step, dtype=np.float64))
    return StepSize(log_step=log_step, log_average=log_step, anchor=log_step, error=np.zeros_like(log_step), count=0)


def adapted(size: StepSize, acceptance: np.ndarray | float, target: float) -> StepSize:
    """After a move with this probability of acceptance: longer steps above the target, shorter ones below."""
    count = size.count + 1
    share = 1.0 / (count + _DELAY)
    error = (1.0 - share) * size.error + share * (target - np.asarray(acceptance, dtype=np.float64))
    log_step = size.anchor - np.sqrt(count) / _GAIN * error
    weight = count**-_FORGETTING
    average = weight * log_step + (1.0 - weight) * size.log_average
    return StepSize(log_step=log_step, log_average=average, anchor=size.anchor, error=error, count=count)


def settled(size: StepSize) -> StepSize:
    """The average of the adaptation, with which samples that count are drawn."""
    return first_step_size(np.exp(size.log_average))


def step_of(size: StepSize) -> np.ndarray:
    """The present step."""
    return np.exp(size.log_step)


def leapfrog(
    position: P,
    momentum: np.ndarray,
    *,
    energy: Callable[[P], tuple[np.ndarray, np.ndarray]],
    move: Callable[[P, np.ndarray], P],
    step: np.ndarray | float,
    steps: int,
) -> tuple[P, np.ndarray, np.ndarray]:
    """Follow Hamilton's equations with unit mass: (position, momentum, total energy lost).

    ``energy`` gives the potential energy (one number, or one for every problem) and its derivative in the shape of the
    momentum; ``move(position, by)`` takes a position along a velocity, exactly: an addition, or on a group the product
    with an exponential. Reversible and volume preserving, so that ``min(1, exp(energy lost))`` is the probability to
    accept.
    """
    potential, slope = energy(position)
    before = potential + _kinetic(momentum, np.ndim(potential))
    for _ in range(steps):
        momentum = momentum - 0.5 * step * slope
        position = move(position, step * momentum)
        potential, slope = energy(position)
        momentum = momentum - 0.5 * step * slope
    return position, momentum, before - potential - _kinetic(momentum, np.ndim(potential))


def _kinetic(momentum: np.ndarray, problem_axes: int) -> np.ndarray:
    return 0.5 * (momentum**2).sum(axis=tuple(range(problem_axes, momentum.ndim)))
