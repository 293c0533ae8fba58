"""Orientations from common lines, without a model: by synchronisation, and by reconstitution with a point group.

Each restart turns the polar grid of lines by an angle of its own, and takes other thirds or another order, so that
restarts that agree do not agree by construction.
"""

import math
from dataclasses import replace

import numpy as np
import torch

from vitreous.randomness import generator
from vitreous.structures.from_averages.fitting import Fit
from vitreous.structures.from_averages.lines import pair_lines, polar_lines
from vitreous.structures.from_averages.reconstitution import reconstitute
from vitreous.structures.from_averages.settings import CommonLines
from vitreous.structures.from_averages.synchronise import pair_votes, rotations_by_eigenvectors, unsquared
from vitreous.structures.from_averages.views import Views

__all__ = ["common_lines", "solver_for"]

TABLE_HALF = 36  # lines along half a circle that reconstitution has at most, for the size of its tables


def solver_for(settings: CommonLines) -> str:
    """The solver that is used."""
    if settings.solver is not None:
        return settings.solver
    return "robust" if settings.symmetry == "C1" else "reconstitution"


def common_lines(views: Views, settings: CommonLines, seed: int, start: int) -> Fit:
    """Poses of all averages; their hand is chance."""
    turned, psi = _turned(views, seed, start)
    solver = solver_for(settings)
    if solver == "reconstitution":
        step = max(settings.line_step_deg, 180.0 / TABLE_HALF)
        found = reconstitute(turned, polar_lines(turned, step), seed, start)
    else:
        pairs = pair_lines(polar_lines(turned, settings.line_step_deg))
        cosine, weight = pair_votes(pairs, settings.thirds)
        found = rotations_by_eigenvectors(pairs, cosine, weight)
        if solver == "robust":
            found, _ = unsquared(pairs, weight, found)
    return Fit.at(found @ _about_z(psi))


def _turned(views: Views, seed: int, start: int) -> tuple[Views, np.ndarray]:
    """Averages turned in their planes by angles psi (n,) of their own: X'(theta) = X(theta - psi)."""
    psi = generator(seed, "turned averages", index=start).uniform(0, 2 * math.pi, len(views))
    angle = torch.from_numpy(psi).float()[:, None, None] * torch.arange(views.harmonics.shape[2])
    packed = views.data.basis.pack(views.harmonics * torch.polar(torch.ones_like(angle), -angle))
    return replace(views, data=replace(views.data, packed=packed.numpy())), psi


def _about_z(psi: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) by psi (n,) about z."""
    out = np.tile(np.eye(3), (len(psi), 1, 1))
    out[:, 0, 0], out[:, 0, 1], out[:, 1, 0], out[:, 1, 1] = np.cos(psi), -np.sin(psi), np.sin(psi), np.cos(psi)
    return out
