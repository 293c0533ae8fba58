"""Are there K classes? Two halves of the particles, classified without each other, are asked.

EM always finds K classes, in noise as well, and a fold that is left out does not protect from it: what a particle has
given to the labels of others comes back to it through their maps. Halves that have never met do. Every particle is
compared with the K maps of the *other* half, and with the one map that these are without labels. If classes are
noise, K maps of fewer particles each are worse than their mean; and particles that have a class in their own half have
any class in the other.
"""

from dataclasses import dataclass

import numpy as np

from vitreous.matching import total
from vitreous.processes import by_process, joined
from vitreous.structures.class3d.agreement import adjusted_rand_index, together
from vitreous.structures.class3d.passes import (
    gains,
    half_folds,
    log_shares,
    nobody,
    power_apart,
    power_of,
    responsibilities,
)
from vitreous.structures.class3d.residuals import in_tiles, without_nuisance
from vitreous.structures.class3d.state import Labels, Scene
from vitreous.structures.class3d.sums import ClassSums, difference_maps, merged, prepared_all

__all__ = ["LEAST_AGREEMENT", "LEAST_NATS", "LEAST_SIGMAS", "Judged", "judge"]

LEAST_SIGMAS, LEAST_NATS = 4.0, 0.1  # standard errors and nats by which K maps must be better than one
LEAST_AGREEMENT = 0.1  # adjusted Rand index of the classes in own and other half


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """posterior, cross: (n, K) in own and other half, under one set of names; the rest as in :class:`StartState`."""

    posterior: np.ndarray
    cross: np.ndarray
    evidence: float
    sigmas: float
    agreement: float


def judge(scene: Scene, parts: tuple[ClassSums, ...], posterior: np.ndarray) -> Judged:
    """What every half says about the particles of the other one. parts: statistics at ``posterior`` (n, K)."""
    halves = half_folds(scene.folds)
    cross, better = np.zeros_like(posterior), np.zeros(len(posterior))
    for half in (0, 1):
        index, found = _look(scene, parts, log_shares(posterior[halves[1 - half]]), 1 - half, halves[half])
        cross[index], better[index] = found.values, found.gain
    column = together(_common(posterior, cross, halves))
    posterior, cross = posterior.copy(), cross.copy()
    posterior[halves[1]] = posterior[halves[1]][:, column]
    cross[halves[0]] = cross[halves[0]][:, column]
    every = np.concatenate(halves)
    nats = better[every]
    return Judged(
        posterior=posterior,
        cross=cross,
        evidence=float(nats.mean()),
        sigmas=float(nats.mean() / max(nats.std() / np.sqrt(len(nats)), 1e-9)),
        agreement=adjusted_rand_index(posterior[every].argmax(1), cross[every].argmax(1)),
    )


def _common(posterior: np.ndarray, cross: np.ndarray, halves: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Particles (K, K) that are in a class of the first half and in one of the second."""
    first, second = halves
    return np.asarray(posterior[first].T @ cross[first] + cross[second].T @ posterior[second])


def _look(
    scene: Scene, parts: tuple[ClassSums, ...], log_share: np.ndarray, half: int, index: np.ndarray
) -> tuple[np.ndarray, Labels]:
    """Particles in the maps of a half: probabilities, and nats by which these are better than the half's mean map."""
    basis, group = scene.points.basis, scene.group
    whole = total(parts[half::2])
    maps = difference_maps(whole, basis, power_apart(scene, parts, half), group)
    ones = tuple(merged(part) for part in parts)
    one = difference_maps(merged(whole), basis, power_of(scene, ones[half::4], ones[half + 2 :: 4]), group)
    volumes = prepared_all((*maps, *one))

    def label(tile: np.ndarray) -> Labels:
        images, nuisance = without_nuisance(scene, tile)
        gain = gains(images, volumes, scene.rotation[tile], nuisance)
        values, mixture = responsibilities(gain[:, :-1], log_share)
        return Labels(
            values=values, gain=mixture - gain[:, -1], rotation=scene.rotation[tile], origin_A=scene.origin_A[tile]
        )

    shares = by_process(index, scene.processes)
    found = [nobody(len(maps)), *(labels for _, labels in in_tiles(scene, shares[scene.processes.rank], label))]
    return np.concatenate(shares), scene.processes.gather(joined(found))
