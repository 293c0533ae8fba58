"""Stability of classes: their members are aligned several times from random beginnings, and the ends compared."""

from vitreous.averages.stability.result import StabilityResult
from vitreous.averages.stability.settings import StabilityTest
from vitreous.averages.stability.task import StabilityRun, StabilityRunState, prepare_stability, stability

__all__ = [
    "StabilityResult",
    "StabilityRun",
    "StabilityRunState",
    "StabilityTest",
    "prepare_stability",
    "stability",
]
