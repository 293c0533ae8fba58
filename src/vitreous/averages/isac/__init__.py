"""ISAC: equal-size classes that several runs agree on and whose alignment is stable; the rest is tried again."""

from vitreous.averages.isac.algorithm import ISACState
from vitreous.averages.isac.result import ISACResult
from vitreous.averages.isac.settings import ISAC
from vitreous.averages.isac.task import ISACRun, isac, prepare_isac

__all__ = [
    "ISAC",
    "ISACResult",
    "ISACRun",
    "ISACState",
    "isac",
    "prepare_isac",
]
