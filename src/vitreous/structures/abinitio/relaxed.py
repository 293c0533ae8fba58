"""Symmetry that is relaxed at first: a start finds the structure without it, then its axes, and only then imposes it.

With a group imposed on random volumes the axes lie where chance has put them, before the structure is known: it ends as
two half-right copies of itself that cross, and no particle can turn them (D2: three starts of three). Without a group
the particles make the structure in a frame of its own. When single images decide their poses, the frame in which the
map has most of the group is found (:func:`vitreous.volumes.find_symmetry`), sums and poses are turned into it, and
passes go on with the group. With ``auto`` the group is the one that the map has, if any.

Where the map is still poor, a part of the group may be all that it shows (C2 of C4): before a start ends, it looks
again.

A group that is given is imposed in the end even where the map has little of it; its merit, which is kept, says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.matching import PreparedParticles, total
from vitreous.particles import Volume
from vitreous.rotations import symmetry_matrices
from vitreous.structures.abinitio.settings import AUTO, Abinitio
from vitreous.structures.abinitio.statistics import FoldSums, densities, volume_power
from vitreous.structures.poses import Poses
from vitreous.volumes import PointGroup, VolumeSums, find_symmetry, symmetrised, turned

__all__ = [
    "FoundGroup",
    "group_of_maps",
    "impose",
    "is_clear",
    "symmetry_messages",
    "time_to_look",
    "words_of",
]

SURE = 0.9  # whatever larger groups have; a start looks again before it ends
CLEAR = 0.6  # merit at which a group is imposed at once
FIRST_LOOK = 3  # passes before the map shows anything
DOUBTFUL = 0.5  # of the merit: a larger group that has more may turn out to be the right one
EVERY = 4  # passes between looks for any group, which cost more than a pass of few particles
MOST_RELAXED = 0.3  # of the passes, after which a group that is given is imposed as it is
RIVALS = 3


@dataclass(frozen=True, kw_only=True)
class FoundGroup:
    """What the map of a start without symmetry says: the group, its merit, and what else came near.

    merit: share of the power of the map that has the group, beyond chance (:func:`vitreous.volumes.find_symmetry`).
    """

    name: str
    merit: float
    passes: int
    rivals: tuple[str, ...]
    rival_merits: tuple[float, ...]


def time_to_look(
    settings: Abinitio, symmetry: str, *, passes: int, decided: bool, at_last_rings: bool, ended: bool
) -> bool:
    """Whether a start with ``symmetry`` in force, after so many passes, should look for its axes."""
    if settings.symmetry.upper() == "C1":
        return False
    if settings.symmetry == AUTO:
        return ended or (symmetry == "C1" and decided and at_last_rings and passes % EVERY == 0)
    if symmetry != "C1":
        return False
    return ended or (passes >= FIRST_LOOK and (decided or passes >= MOST_RELAXED * settings.iterations))


def is_clear(found: FoundGroup, settings: Abinitio, symmetry: str, *, passes: int, ended: bool) -> bool:
    """Whether what was found is imposed now, in place of ``symmetry``.

    What is not so clear may become so with more passes; a group that is part of the right one is found first where the
    map is still poor, and gives way to it.
    """
    if len(symmetry_matrices(found.name)) <= len(symmetry_matrices(symmetry)):
        return False
    last = ended or passes >= MOST_RELAXED * settings.iterations
    if settings.symmetry == AUTO and not last:
        order = len(symmetry_matrices(found.name))
        larger = [
            merit
            for name, merit in zip(found.rivals, found.rival_merits, strict=True)
            if len(symmetry_matrices(name)) > order
        ]
        doubt = max(larger, default=0.0) >= DOUBTFUL * found.merit
        return found.merit >= (SURE if doubt else CLEAR)
    return found.merit >= CLEAR or last


def group_of_maps(
    parts: tuple[FoldSums, ...], data: PreparedParticles, settings: Abinitio, rings: int, passes: int
) -> tuple[FoundGroup, tuple[PointGroup, ...]]:
    """The group that the most populated volume has (or how much of the one that is given), and the frames of all."""
    sums, window_A = total(parts), data.basis.window_px * data.pixel_size_A
    maps = densities(sums, data.basis, volume_power(parts, rings)).cpu().numpy()
    volumes = [Volume(data=one, pixel_size_A=window_A / len(one)) for one in maps]
    first = int(sums.members.argmax())

    def look(k: int, groups: tuple[str, ...] | None) -> PointGroup:
        return find_symmetry(
            volumes[k],
            resolution_A=window_A / rings,
            diameter_A=data.preparation.particle_diameter_A,
            groups=groups,
        )

    best = look(first, None if settings.symmetry == AUTO else (settings.symmetry,))
    name = best.name if settings.symmetry == AUTO else settings.symmetry.strip().upper()
    frames = tuple(best if k == first else look(k, (name,)) for k in range(len(volumes))) if name != "C1" else (best,)
    merit = best.merit if name == "C1" else best.candidate(name).merit
    rivals = best.rivals(RIVALS)
    found = FoundGroup(
        name=name,
        merit=merit,
        passes=passes,
        rivals=tuple(one.name for one in rivals),
        rival_merits=tuple(one.merit for one in rivals),
    )
    return found, frames


def impose(
    name: str, frames: tuple[PointGroup, ...], parts: tuple[FoldSums, ...], poses: Poses, window_A: float
) -> tuple[tuple[FoldSums, ...], Poses]:
    """Sums and poses of K volumes in the frames in which they have the group, with the group.

    ``V'(r) = V(M^T r + c)``: a pose G becomes ``M G``, and the origin loses the part of ``G^T c`` in the image.
    """
    group = symmetry_matrices(name)
    best = [frame.candidate(name) for frame in frames]
    rotation = np.stack([one.rotation for one in best])
    centre = np.stack([frame.centre_A for frame in frames])
    which = np.maximum(poses.volume, 0)
    turned_poses = replace(
        poses,
        rotation=np.where(poses.known[:, None, None], rotation[which] @ poses.rotation, poses.rotation),
        origin_A=poses.origin_A - poses.known[:, None] * np.einsum("nba,nb->na", poses.rotation, centre[which])[:, :2],
    )
    moved = tuple(_turned(part, rotation, centre / window_A, group) for part in parts)
    return moved, turned_poses


def _turned(part: FoldSums, rotation: np.ndarray, centre: np.ndarray, group: torch.Tensor) -> FoldSums:
    volumes: list[VolumeSums] = []
    for k in range(part.count):
        there = turned(part.volume(k), torch.from_numpy(rotation[k]), torch.from_numpy(centre[k]))
        volumes.append(symmetrised(there, group))
    return replace(
        part,
        numerator=torch.stack([one.numerator for one in volumes]),
        denominator=torch.stack([one.denominator for one in volumes]),
    )


def symmetry_messages(found: FoundGroup | None, groups: Sequence[str], settings: Abinitio) -> list[str]:
    """What has to be said about the group that the best start has found; groups: that starts have ended with."""
    if found is None or (settings.symmetry.upper() == "C1" and found.name == "C1"):
        return []
    share = f"{max(found.merit, 0):.0%}"
    if settings.symmetry.upper() == "C1":
        return [
            f"Poses jump between copies: the map has the symmetry {found.name} ({share} of its detail, beyond chance). "
            f"Impose it (--symmetry {found.name}, or auto)."
        ]
    if settings.symmetry != AUTO:
        doubt = (
            f"Not the symmetry {found.name}: before it was imposed, {share} of the map's detail had it, beyond chance. "
            "The map looks symmetric because it was made so; try --symmetry auto, and look at C1."
        )
        return [doubt] if found.merit < CLEAR else []
    lines = [f"Symmetry: {words_of(found)}."]
    others = sorted(set(groups) - {found.name})
    if others:
        lines.append(f"Not all starts have this group: others have {', '.join(others)}; run longer, or give it.")
    return lines


def words_of(found: FoundGroup) -> str:
    """A line about a group that was looked for."""
    near = ", ".join(
        f"{name} {max(merit, 0):.0%}" for name, merit in zip(found.rivals, found.rival_merits, strict=True)
    )
    if found.name == "C1":
        return f"none was found; beyond chance the map's detail has at most {near}"
    others = f"; of others {near}" if near else ""
    return f"{found.name}: {found.merit:.0%} of the map's detail had it, beyond chance, before it was imposed{others}"
