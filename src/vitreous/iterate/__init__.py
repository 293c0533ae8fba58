"""One protocol and one driver for every iterative algorithm."""

from vitreous.iterate.algorithm import Algorithm, IterativeState
from vitreous.iterate.driver import Interrupted, run
from vitreous.iterate.state import NonFiniteStateError, check_finite, state_from_arrays, state_to_arrays

__all__ = [
    "Algorithm",
    "Interrupted",
    "IterativeState",
    "NonFiniteStateError",
    "check_finite",
    "run",
    "state_from_arrays",
    "state_to_arrays",
]
