"""Multi-reference alignment: K-means with alignment, free or with equal groups (EQK), with or without leaving out."""

from vitreous.averages.mra.algorithm import MRAState
from vitreous.averages.mra.settings import MRA
from vitreous.averages.mra.task import MRARun, mra, prepare_mra

__all__ = ["MRA", "MRARun", "MRAState", "mra", "prepare_mra"]
