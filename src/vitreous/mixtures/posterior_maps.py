"""Posterior mean and variance of the density, from samples that are brought into one frame.

Turning or moving mixture and poses together changes nothing that can be seen, so a chain drifts along that direction;
averaging without alignment would blur the map. The frame is fixed by the poses and offsets of a reference sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitreous.mixtures.conformations import PosedMixtures
from vitreous.mixtures.gibbs_projections import PosedMixture
from vitreous.mixtures.model import Mixture, evaluate, rotate, symmetrise, translate
from vitreous.rotations import proper_svd

__all__ = ["DensitySums", "add_sample", "aligned_conformations", "aligned_mixture", "no_samples", "posterior_variance"]


@dataclass(frozen=True, kw_only=True, eq=False)
class DensitySums:
    """Running mean and sum of squared deviations (Welford 1962) on a grid."""

    samples: int
    mean: np.ndarray  # [z, y, x] or [y, x] float32, per cubic (square) Angstrom: the posterior mean
    deviations: np.ndarray  # the same shape, float32


def no_samples(box_px: int | Sequence[int]) -> DensitySums:
    """Sums before the first sample, on a cube of this side or a grid of this shape."""
    zero = np.zeros((box_px,) * 3 if isinstance(box_px, int) else tuple(box_px), np.float32)
    return DensitySums(samples=0, mean=zero, deviations=zero)


def add_sample(sums: DensitySums, mixture: Mixture, pixel_size_A: float) -> DensitySums:
    """Sums with one more density."""
    density = evaluate(mixture, sums.mean.shape, pixel_size_A)
    change = density - sums.mean
    mean = sums.mean + change / (sums.samples + 1)
    return DensitySums(samples=sums.samples + 1, mean=mean, deviations=sums.deviations + change * (density - mean))


def posterior_variance(sums: DensitySums) -> np.ndarray:
    """Variance of the density among samples; 0 for a single one."""
    return sums.deviations / max(sums.samples - 1, 1)


def aligned_mixture(model: PosedMixture, reference: PosedMixture, group: np.ndarray) -> Mixture:
    """The whole particle (all copies of the asymmetric unit) in the frame of the reference's poses and offsets.

    Only what the point group leaves free is aligned: everything without symmetry, the turn about and the position along
    the axis for Cn, nothing for the others.
    """
    freedom = _free_axes(group)
    turn = _turn(model.rotations, reference.rotations, freedom)
    moved = rotate(model.mixture, turn)
    rotations = turn @ model.rotations
    planes = rotations[:, :, :2] * freedom[None, :, None]
    system = planes.swapaxes(1, 2).reshape(-1, 3)
    by, *_ = np.linalg.lstsq(system, (model.offsets_A - reference.offsets_A).ravel(), rcond=1e-3)
    return symmetrise(translate(moved, by * freedom), group)


def aligned_conformations(model: PosedMixtures, reference: PosedMixtures, group: np.ndarray) -> list[Mixture]:
    """Every conformation in its frame in the reference, by the images that show it in both; without any, as it is."""
    aligned = []
    for c, mixture in enumerate(model.mixtures):
        both = (model.labels == c) & (reference.labels == c)
        if both.any():
            aligned.append(aligned_mixture(model.part(c, both), reference.part(c, both), group))
        else:
            aligned.append(symmetrise(mixture, group))
    return aligned


def _free_axes(group: np.ndarray) -> np.ndarray:
    """Directions in which a particle of this symmetry may be moved: (3,) of 0 and 1."""
    return (np.abs(group.mean(axis=0).diagonal() - 1.0) < 1e-6).astype(float)


def _turn(rotations: np.ndarray, reference: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """The rotation A, among those the symmetry allows, for which A G comes nearest to the reference."""
    relative = (reference @ rotations.swapaxes(1, 2)).sum(axis=0)
    if freedom.all():
        u, _, v = proper_svd(relative)
        return u @ v.T
    if freedom.any():
        angle = np.arctan2(relative[1, 0] - relative[0, 1], relative[0, 0] + relative[1, 1])
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return np.eye(3)
