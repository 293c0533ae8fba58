"""Refinement of poses and map, with halves that never meet."""

from vitreous.structures.refine.result import RefineResult
from vitreous.structures.refine.settings import Refine
from vitreous.structures.refine.task import RefineRun, prepare_refinement, refine

__all__ = ["Refine", "RefineResult", "RefineRun", "prepare_refinement", "refine"]
