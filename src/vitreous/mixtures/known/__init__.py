"""Reconstruction from images whose poses are known."""

from vitreous.mixtures.known.algorithm import KnownPosesResult, KnownPosesState, known_poses_algorithm
from vitreous.mixtures.known.settings import KnownPoses
from vitreous.mixtures.known.task import reconstruct_known

__all__ = [
    "KnownPoses",
    "KnownPosesResult",
    "KnownPosesState",
    "known_poses_algorithm",
    "reconstruct_known",
]
