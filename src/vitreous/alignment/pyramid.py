"""Pyramidal alignment: pairs of images, then pairs of their averages, up a binary tree.

No image is compared with a reference that anyone has chosen; which images meet is dealt at random. A node of the tree
has the sums of its images (signal and power, :class:`vitreous.matching.Sums`), which are what an image has, too: data
weighted by CTF and noise, and the power of that weight. So the second node of a pair is matched, as an image, to the
sum of the first, and moved onto it. The tree is made for many groups at once, level by level.

Source: Marco, Chagoyen, de la Fraga, Carazo and Carrascosa, Ultramicroscopy 66 (1996) 5-10; seed 001.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.alignment.groups import Groups, Matching
from vitreous.alignment.pairs import TILE, align_pairs
from vitreous.matching import Alignments, ImageTile, PreparedParticles, Sums, accumulate_at
from vitreous.randomness import uniforms

__all__ = ["pyramid_alignments"]


@dataclass(frozen=True)
class _Nodes:
    """N nodes: the group of each, and the members of each as alignments of rows to it (reference: the node)."""

    group: np.ndarray
    members: Alignments
    row: np.ndarray


def pyramid_alignments(
    data: PreparedParticles,
    groups: Groups,
    noise_power: torch.Tensor,
    matching: Matching,
    rings: int,
    seed: int,
) -> Alignments:
    """Alignments of all rows to the root of the tree of their group, compared on ``rings`` rings."""
    noise, plan = matching.noise(noise_power), data.search(rings, matching.offset_range_A)
    order = np.lexsort((uniforms(seed, "pyramid", ids=np.arange(len(groups)))[:, 0], groups.group))
    unknown = Alignments.unknown(len(groups)).take(order)
    nodes = _Nodes(
        groups.group[order],
        replace(unknown, particle=groups.particle[order], reference=np.arange(len(order))),
        order,
    )
    while len(nodes.group) > len(np.unique(groups.group)):
        first, second = _pairs(nodes.group)
        moves = []
        for start in range(0, len(first), TILE):
            here = slice(start, start + TILE)
            a, b = (_sums(data, nodes, some[here], noise, rings) for some in (first, second))
            tile = ImageTile(data=b.signal, ctf_power=b.power[:, :, None].to(torch.complex64))
            found = align_pairs(
                tile, a.signal, plan, mirror=matching.mirror, particle=second[here], pixel_size_A=data.pixel_size_A
            )
            moves.append(replace(found.alignments, reference=first[here]))
        nodes = _merged(nodes, moves)
    place = np.argsort(nodes.row)
    return replace(nodes.members.take(place), reference=groups.group)


def _pairs(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and second nodes of the pairs of a level; group (N,) is sorted, and an odd one waits for the next level."""
    size = np.bincount(group)
    place = np.arange(len(group)) - (np.cumsum(size) - size)[group]
    first = np.flatnonzero((place % 2 == 0) & (place + 1 < size[group]))
    return first, first + 1


def _sums(data: PreparedParticles, nodes: _Nodes, wanted: np.ndarray, noise: torch.Tensor, rings: int) -> Sums:
    """The sums of some nodes, from their members."""
    slot = np.full(len(nodes.group), -1)
    slot[wanted] = np.arange(len(wanted))
    mine = np.flatnonzero(slot[nodes.members.reference] >= 0)
    part = nodes.members.take(mine)
    return accumulate_at(data, replace(part, reference=slot[part.reference]), len(wanted), noise, rings=rings)


def _merged(nodes: _Nodes, moves: list[Alignments]) -> _Nodes:
    """The next level: the members of a second node follow it onto the first."""
    n = len(nodes.group)
    move = Alignments.unknown(n)
    for found in moves:
        move = move.put(found)
    target = np.where(move.reference >= 0, move.reference, np.arange(n))
    kept = np.unique(target)
    of = nodes.members.reference
    members = nodes.members.then(move.take(of))
    return _Nodes(nodes.group[kept], replace(members, reference=np.searchsorted(kept, target[of])), nodes.row)
