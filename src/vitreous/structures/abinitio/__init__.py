"""Structures from particles of unknown pose: random starts, ranked by particles that none of them has used."""

from vitreous.structures.abinitio.relaxed import FoundGroup
from vitreous.structures.abinitio.result import AbinitioResult, StartSummary
from vitreous.structures.abinitio.settings import AUTO, Abinitio
from vitreous.structures.abinitio.task import AbinitioRun, AbinitioState, abinitio, prepare_run

__all__ = [
    "AUTO",
    "Abinitio",
    "AbinitioResult",
    "AbinitioRun",
    "AbinitioState",
    "FoundGroup",
    "StartSummary",
    "abinitio",
    "prepare_run",
]
