"""Reconstruction from images whose poses are known."""

from vitreous.mixtures.known.algorithm import KnownPosesResult, KnownPosesState, known_poses_algorithm
from vitreous.mixtures.known.settings import KnownPoses
from vitreous.mixtures.known.task import reconstruct_known
from vitreous.mixtures.known.views import UnseenCone, unseen_cone

__all__ = [
    "KnownPoses",
    "KnownPosesResult",
    "KnownPosesState",
    "UnseenCone",
    "known_poses_algorithm",
    "reconstruct_known",
    "unseen_cone",
]
