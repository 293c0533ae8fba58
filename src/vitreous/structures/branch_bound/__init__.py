"""The best pose in a map by branch and bound."""

from vitreous.structures.branch_bound.references import TreeReferences, tree_references
from vitreous.structures.branch_bound.search import BoundedPoses, Evaluated, best_by_bound
from vitreous.structures.branch_bound.tree import Level, PoseTree, level_rings, pose_tree

__all__ = [
    "BoundedPoses",
    "Evaluated",
    "Level",
    "PoseTree",
    "TreeReferences",
    "best_by_bound",
    "level_rings",
    "pose_tree",
    "tree_references",
]
