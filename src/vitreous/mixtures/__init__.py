"""Densities as mixtures of Gaussians: the model and its files."""

from vitreous.mixtures.files import read_pseudo_atoms, to_volume, write_map, write_pseudo_atoms
from vitreous.mixtures.model import (
    Mixture,
    evaluate,
    log_density,
    mirror,
    project,
    rotate,
    sample_points,
    symmetrise,
    translate,
)

__all__ = [
    "Mixture",
    "evaluate",
    "log_density",
    "mirror",
    "project",
    "read_pseudo_atoms",
    "rotate",
    "sample_points",
    "symmetrise",
    "to_volume",
    "translate",
    "write_map",
    "write_pseudo_atoms",
]
