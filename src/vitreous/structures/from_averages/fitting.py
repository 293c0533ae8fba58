"""From poses to a map, and from a map to poses: what all methods of this room do in turn.

A search compares averages with slices of the map along directions that turn at random from pass to pass, over all
rotations and shifts, by the matching core. Slices are brought to the energy E of the averages, so that its score is
``E corr - E / 2``: what is maximised is the correlation, and the size of a map that is still wrong does not matter.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.matching import Choice, SearchPlan, Sums, best, expect
from vitreous.structures.abinitio.directions import directions_for, slice_matrices
from vitreous.structures.from_averages.views import Views
from vitreous.structures.poses import Poses
from vitreous.structures.refine.insertion import insert
from vitreous.structures.refine.local import refine_locally
from vitreous.volumes import (
    RingPoints,
    VolumeSums,
    density,
    insert_harmonics,
    prepared,
    ring_slices,
    symmetrised,
    zero_volume_sums,
)

__all__ = ["Fit", "agreement", "climb", "energy_at", "map_of", "map_of_sums", "polish", "search", "slices_along"]

WIDE = 10.0  # of the range of origins: standard deviation of a prior that says nothing
LEAST_STEP_PX = 0.75  # between shifts, as the matching core has it
TINY = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """Poses of n averages: rotation (n, 3, 3), origin_A (n, 2)."""

    rotation: np.ndarray
    origin_A: np.ndarray

    @classmethod
    def at(cls, rotation: np.ndarray) -> "Fit":
        """Without shifts."""
        return cls(rotation=np.asarray(rotation, np.float64), origin_A=np.zeros((len(rotation), 2)))

    def take(self, index: np.ndarray) -> "Fit":
        """Some of them."""
        return Fit(rotation=self.rotation[index], origin_A=self.origin_A[index])


def map_of(views: Views, fit: Fit, rings: int, weight: np.ndarray | None = None) -> torch.Tensor:
    """The map (n, n, n), n = 2 (rings + 1), of averages in known poses; weight: (n,) of each, None for 1."""
    images = views.images if rings == views.rings else views.images_at(rings)
    sums = zero_volume_sums(rings)
    insert(sums, images, fit.rotation[:, None], fit.origin_A[:, None], weight)
    return map_of_sums(views, sums)


def map_of_sums(views: Views, sums: VolumeSums) -> torch.Tensor:
    """The map of statistics, with the point group."""
    return density(symmetrised(sums, views.group), views.data.basis, views.tau2[: sums.rings])


def energy_at(views: Views, rings: int) -> float:
    """Mean energy of the averages at the first rings: what slices are scaled to."""
    basis = views.data.basis.truncated(rings)
    harmonics = views.harmonics[:, :rings, : basis.harmonics]
    return float(_energy(harmonics, views, rings).mean())


def slices_along(views: Views, volume: torch.Tensor, matrices: torch.Tensor, rings: int) -> torch.Tensor:
    """Ring harmonics (D, R, Q) of slices at matrices (D, 3, 3), all of the averages' energy."""
    points = RingPoints(basis=views.data.basis.truncated(rings))
    slices = ring_slices(prepared(volume), matrices.float(), points)
    scale = (energy_at(views, rings) / _energy(slices, views, rings).clamp_min(TINY)).sqrt()
    return slices * scale[:, None, None]


def _energy(harmonics: torch.Tensor, views: Views, rings: int) -> torch.Tensor:
    basis = views.data.basis.truncated(rings)
    per_ring = (harmonics.abs().square() * basis.multiplicity).sum(2)
    return per_ring @ (basis.ring_weight / views.sigma2[:rings])


def search(
    views: Views,
    volume: torch.Tensor,
    rings: int,
    *,
    seed: int,
    purpose: tuple[str | int, ...],
    choice: Choice = best,
    exhaustive: bool = False,
    step_deg: float | None = None,
) -> tuple[Fit, VolumeSums]:
    """The best poses of all averages in a map, and the statistics that ``choice`` makes of all hypotheses.

    The map has n = 2 (rings' + 1) voxels with rings' >= rings. exhaustive: the choice sees every hypothesis, and not
    only those near the best one.
    """
    step = step_deg or views.step_deg(rings)
    matrices = slice_matrices(directions_for(step, views.group, seed=seed, purpose=purpose))
    plan = _plan(views, rings, exhaustive=exhaustive)
    slices = slices_along(views, volume, matrices, rings)
    references = plan.references(
        slices,
        ctf_harmonics=1,
        log_class_prior=torch.zeros(len(slices)),
        offset_sd_px=WIDE * views.offset_range_A / views.data.pixel_size_A,
    )
    index = np.arange(len(views))
    sums, outcome = expect(views.data, index, plan, references, views.noise_power, choice=choice)
    poses = Poses.from_alignments(outcome.alignments(index, views.data.pixel_size_A), matrices.numpy())
    found = Fit(rotation=poses.rotation, origin_A=poses.origin_A)
    return found, _inserted(views, sums, matrices, rings)


def _plan(views: Views, rings: int, *, exhaustive: bool) -> SearchPlan:
    """All scores of an exhaustive search are kept, so that it has the four nearest shifts and no others."""
    if not exhaustive:
        return views.data.search(rings, views.offset_range_A)
    nearest = max(views.window_A / (4 * rings), LEAST_STEP_PX * views.data.pixel_size_A)
    plan = views.data.search(rings, min(views.offset_range_A, 1.01 * nearest))
    return SearchPlan(fine=plan.fine, keep=float("inf"))


def _inserted(views: Views, sums: Sums, matrices: torch.Tensor, rings: int) -> VolumeSums:
    out = zero_volume_sums(rings)
    points = RingPoints(basis=views.data.basis.truncated(rings))
    insert_harmonics(out, sums.signal, sums.power, matrices.float(), points)
    return out


def agreement(views: Views, volume: torch.Tensor, fit: Fit) -> np.ndarray:
    """Correlation (n,) of the averages with a map's slices in these poses, under the weights, at the map's rings."""
    images = views.images_at(len(volume) // 2 - 1)
    x, s = images.centred(fit.origin_A), images.slices(prepared(volume), fit.rotation)
    inner = (x.real * s.real + x.imag * s.imag).sum(1)
    norms = (x.abs().square().sum(1) * s.abs().square().sum(1)).clamp_min(TINY).sqrt()
    return np.asarray((inner / norms).double().numpy())


def climb(views: Views, volume: torch.Tensor, fit: Fit) -> Fit:
    """The nearest maxima of the likelihood of all averages in a map, by Levenberg and Marquardt."""
    images = views.images_at(len(volume) // 2 - 1)
    found = refine_locally(
        prepared(volume), images, fit.rotation, fit.origin_A, offset_sd_A=max(views.offset_range_A, 1e-3)
    )
    return replace(fit, rotation=found.rotation, origin_A=found.origin_A)


def polish(views: Views, fit: Fit, *, first_rings: int, rounds: int) -> Fit:
    """Poses and map in turn, without any search, while rings grow from ``first_rings`` to all of them."""
    for round_ in range(rounds):
        rings = round(first_rings + (views.rings - first_rings) * min(1.0, round_ / max(1, rounds - 2)))
        fit = climb(views, map_of(views, fit, rings), fit)
    return fit
