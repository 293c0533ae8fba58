"""Poses in the maps of the classes: local ascent, a search of all views, and the classes of references."""

import math
from dataclasses import replace

import numpy as np
import torch

from vitreous.matching import PreparedParticles
from vitreous.particles import Volume
from vitreous.structures.class3d.passes import Label, Labeller, responsibilities
from vitreous.structures.class3d.residuals import in_tiles
from vitreous.structures.class3d.state import Labels, Scene
from vitreous.structures.poses import Poses
from vitreous.structures.refine.images import PointImages, point_images
from vitreous.structures.refine.local import LocalPoses, refine_locally
from vitreous.structures.refine.search import SEARCH_RINGS, Search, best_of, prepare_search, starts
from vitreous.structures.refine.start import Start, from_reference, initial_rings
from vitreous.volumes import RingPoints, prepared

__all__ = ["at_found_poses", "by_references"]


def at_found_poses(*, offset_range_A: float, seed: int, turn: int, everywhere: bool) -> Labeller:
    """Classes of particles, each at the best pose that it finds in the map of the class.

    From the pose that it has it climbs to the next maximum in every class; everywhere: from the best of all views of
    the class too. It is inserted at the pose of its most probable class. A class is worth its highest maximum: how wide
    that is changes little between classes of one particle.
    """

    def labeller(scene: Scene, maps: tuple[torch.Tensor, ...], log_share: np.ndarray) -> Label:
        volumes = [prepared(scene.mean + one) for one in maps]
        searches = [
            _search(scene.data, one, scene.rings, scene.group, offset_range_A, seed, turn) if everywhere else None
            for one in volumes
        ]

        def label(tile: np.ndarray) -> tuple[PointImages, Labels]:
            images = point_images(scene.data, tile, scene.points, scene.noise_power)
            rotation, origin = scene.rotation[tile], scene.origin_A[tile]
            found = [
                _climbed(scene.data, tile, images, rotation, origin, one, scene.noise_power, offset_range_A, search)
                for one, search in zip(volumes, searches, strict=True)
            ]
            gain = np.stack([one.gain for one in found], 1)
            values, value = responsibilities(gain, log_share, hard=scene.hard)
            best = values.argmax(1)
            at = _chosen(found, best)
            slices = images.slices(scene.mean_ft, at.rotation)
            left = replace(images, x=images.centred(at.origin_A) - slices)
            of_mean = 2 * (slices.conj() * left.x).real.sum(1) + slices.abs().square().sum(1)
            prior = -0.5 * np.square(at.origin_A / _offset_sd_A(offset_range_A)).sum(1)
            gain = value - of_mean.double().numpy() - prior
            return left, Labels(values=values, gain=gain, rotation=at.rotation, origin_A=at.origin_A)

        return label

    return labeller


def _offset_sd_A(offset_range_A: float) -> float:
    """Standard deviation of the prior on origins, per axis."""
    return offset_range_A / 2


def _search(
    data: PreparedParticles, volume: torch.Tensor, rings: int, group: torch.Tensor, offset_range_A: float, seed: int,
    turn: int,
) -> Search:  # fmt: skip
    return prepare_search(
        data, volume, min(SEARCH_RINGS, rings), offset_range_A=offset_range_A,
        offset_sd_A=_offset_sd_A(offset_range_A), group=group.numpy(), seed=seed, turn=turn,
    )  # fmt: skip


def _climbed(
    data: PreparedParticles,
    tile: np.ndarray,
    images: PointImages,
    rotation: np.ndarray,
    origin_A: np.ndarray,
    volume: torch.Tensor,
    noise_power: torch.Tensor,
    offset_range_A: float,
    search: Search | None,
) -> LocalPoses:
    sd = _offset_sd_A(offset_range_A)
    found = refine_locally(volume, images, rotation, origin_A, offset_sd_A=sd)
    if search is None:
        return found
    elsewhere = best_of(volume, images, *starts(data, tile, search, noise_power), sd)
    better = np.flatnonzero(elsewhere.gain > found.gain)
    return found.with_better(better, elsewhere.take(better))


def _chosen(found: list[LocalPoses], best: np.ndarray) -> LocalPoses:
    """Of every particle the pose in its class ``best`` (m,)."""
    out = found[0]
    for k, one in enumerate(found[1:], start=1):
        mine = np.flatnonzero(best == k)
        out = out.with_better(mine, one.take(mine))
    return out


def by_references(
    scene: Scene, references: tuple[Volume, ...], poses: Poses | None, *, lowpass_A: float, offset_range_A: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Probabilities (n, K) of all particles in the maps of references, low-pass, and their poses there.

    poses: where they are known; None: all views of every reference are searched. The maps have one frame.
    """
    data, n = scene.data, len(scene.data)
    rings = initial_rings(data, lowpass_A)
    points = RingPoints(basis=data.basis.truncated(rings))
    index = np.sort(np.concatenate(scene.folds))
    begun = [
        from_reference(
            data, one, poses, index, rings, group=scene.group, offset_range_A=offset_range_A, seed=seed,
            processes=scene.processes,
        )
        for one in references
    ]  # fmt: skip
    noise = torch.stack([one.noise_power for one in begun]).mean(0)
    searches = [
        _search(data, one.volume, rings, scene.group, offset_range_A, seed, 0) if poses is None else None
        for one in begun
    ]
    values, rotation, origin = np.zeros((n, len(begun))), scene.rotation.copy(), scene.origin_A.copy()
    share = np.full(len(begun), -math.log(len(begun)))
    for tile, found in in_tiles(scene, index, lambda t: _in_references(scene, t, points, noise, begun, searches)):
        values[tile], _ = responsibilities(np.stack([one.gain for one in found], 1), share)
        if poses is None:
            at = _chosen(found, values[tile].argmax(1))
            rotation[tile], origin[tile] = at.rotation, at.origin_A
    return values, rotation, origin


def _in_references(
    scene: Scene, tile: np.ndarray, points: RingPoints, noise: torch.Tensor, begun: list[Start],
    searches: list[Search | None],
) -> list[LocalPoses]:  # fmt: skip
    """At the poses that particles have, or at the best of all views."""
    images = point_images(scene.data, tile, points, noise)
    rotation, origin = scene.rotation[tile], scene.origin_A[tile]
    found = []
    for one, search in zip(begun, searches, strict=True):
        if search is None:
            found.append(refine_locally(one.volume, images, rotation, origin, steps=0))
        else:
            found.append(best_of(one.volume, images, *starts(scene.data, tile, search, noise), math.inf))
    return found
