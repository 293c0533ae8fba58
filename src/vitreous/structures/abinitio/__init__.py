"""Structures from particles of unknown pose: random starts, ranked by particles that none of them has used."""

from vitreous.structures.abinitio.result import AbinitioResult, StartSummary
from vitreous.structures.abinitio.settings import Abinitio
from vitreous.structures.abinitio.task import AbinitioRun, AbinitioState, abinitio, prepare_run

__all__ = ["Abinitio", "AbinitioResult", "AbinitioRun", "AbinitioState", "StartSummary", "abinitio", "prepare_run"]
