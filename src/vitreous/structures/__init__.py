"""Structures from particles: ab initio and refinement."""

from vitreous.structures.poses import Poses

__all__ = ["Poses"]
