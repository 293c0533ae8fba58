"""Alignment of one set of images: reference-free, to a reference, or pyramidal, from several random starts."""

from vitreous.averages.align.algorithm import AlignState
from vitreous.averages.align.result import AlignResult
from vitreous.averages.align.settings import Align
from vitreous.averages.align.task import AlignRun, align, prepare_alignment

__all__ = ["Align", "AlignResult", "AlignRun", "AlignState", "align", "prepare_alignment"]
