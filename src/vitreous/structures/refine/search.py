"""A search of all views for particles that may be lost in a wrong maximum.

Slices of the reference at directions all over the sphere are matched at all in-plane rotations and shifts, as in a
classification. From the best of every particle, no two of which are close together, and from the pose that it has, it
climbs to the nearest maxima, all rings in use; the highest one wins.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import PreparedParticles, SearchPlan, find_rows
from vitreous.matching.references import References
from vitreous.matching.score import Rows
from vitreous.rotations import fibonacci_directions, random_rotations
from vitreous.structures.refine.images import PointImages
from vitreous.structures.refine.local import Climb, LocalPoses, refine_locally
from vitreous.structures.refine.memory import SEARCH_SHARE
from vitreous.volumes import RingPoints, ring_slices

__all__ = ["SEARCH_RINGS", "Search", "best_of", "direction_matrices", "prepare_search", "starts"]

SEARCH_RINGS = 9  # about as many as the views need to be told apart
STARTS = 4
KEEP_NATS = 8.0
APART_STEPS = 2.0  # starts of one particle are farther apart than so many steps of the directions


@dataclass(frozen=True, kw_only=True)
class Search:
    """References for a search: slices at matrices (D, 3, 3), and how they are matched."""

    plan: SearchPlan
    matrices: np.ndarray
    references: tuple[References | None, References]
    step_rad: float


def direction_matrices(rings: int, basis_radius: float, seed: int, turn: int) -> tuple[np.ndarray, float]:
    """Rotations (D, 3, 3) whose directions cover the sphere, turned at random, and their distance in radians.

    The distance is that at which the rim of the particle moves by a wavelength of the outermost ring:
    ``basis_radius`` is the radius of the particle in windows.
    """
    step = 1 / (2 * basis_radius * rings)
    directions = fibonacci_directions(math.ceil(4 * math.pi / step**2))
    z = directions.numpy()
    helper = np.where(np.abs(z[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    x = np.cross(helper, z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    matrices = np.stack([x, np.cross(z, x), z], axis=2)
    return random_rotations(turn + 1, seed=seed)[-1].numpy() @ matrices, step


def prepare_search(
    data: PreparedParticles,
    volume_ft: torch.Tensor,
    rings: int,
    *,
    offset_range_A: float,
    offset_sd_A: float,
    group: np.ndarray,
    seed: int,
    turn: int,
) -> Search:
    """The slices of a prepared volume, ready to be matched. Of a symmetric one, the directions of one unit."""
    plan = data.search(rings, offset_range_A, keep=KEEP_NATS)
    points = RingPoints(basis=data.basis.truncated(rings))
    matrices, step = direction_matrices(rings, data.basis.radius_px / data.basis.window_px, seed, turn)
    matrices = matrices[_in_unit(matrices[:, :, 2], group)]
    references = plan.references(
        ring_slices(volume_ft, torch.from_numpy(matrices), points),
        ctf_harmonics=data.ctf_harmonics,
        log_class_prior=torch.full((len(matrices),), -math.log(len(matrices))),
        offset_sd_px=offset_sd_A / data.pixel_size_A,
    )
    return Search(plan=plan, matrices=matrices, references=references, step_rad=step)


def _in_unit(directions: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Which directions (D, 3) are nearer to a fixed generic one than all their copies."""
    if len(group) == 1:
        return np.ones(len(directions), bool)
    generic = np.array([0.36, 0.48, 0.8]) + np.array([0.013, -0.029, 0.017])
    heights = np.einsum("gab,db,a->dg", group, directions, generic)
    return heights[:, 0] >= heights.max(1) - 1e-9


def starts(
    data: PreparedParticles, index: np.ndarray, search: Search, noise_power: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Poses (m, S, 3, 3), (m, S, 2) of the best matches of particles; the first is repeated where there are fewer."""
    tile = data.tile(index, search.plan.fine.rings, noise_power)
    share = int(SEARCH_SHARE * data.memory_bytes) // data.threads
    blocks = search.plan.blocks(search.references, len(index), share)
    rows = find_rows([tile], search.plan, blocks)[0]
    return _poses(rows, search, len(index), data.pixel_size_A)


def _poses(rows: Rows, search: Search, m: int, pixel_size_A: float) -> tuple[np.ndarray, np.ndarray]:
    grid = search.plan.fine
    score, psi_index = (values.numpy() for values in rows.log_weight.max(1))
    image, reference = rows.image.numpy(), rows.reference.numpy()
    psi = grid.psi.numpy()[psi_index]
    shift = grid.shifts_px.numpy()[rows.shift.numpy()] * pixel_size_A
    order = np.lexsort((-score, image))
    first = np.searchsorted(image[order], np.arange(m + 1))
    directions = search.matrices[reference, :, 2]
    near = math.cos(APART_STEPS * search.step_rad)
    chosen = np.empty((m, STARTS), np.int64)
    for i in range(m):
        mine = order[first[i] : first[i + 1]]
        kept: list[int] = []
        while len(mine) and len(kept) < STARTS:
            kept.append(int(mine[0]))
            apart = (directions[mine] @ directions[mine[0]] < near) | (np.cos(psi[mine] - psi[mine[0]]) < near)
            mine = mine[apart]
        chosen[i] = kept + [kept[0]] * (STARTS - len(kept))
    c, s = np.cos(psi[chosen]), np.sin(psi[chosen])
    turn = np.zeros((m, STARTS, 3, 3))
    turn[..., 0, 0], turn[..., 0, 1], turn[..., 1, 0], turn[..., 1, 1], turn[..., 2, 2] = c, -s, s, c, 1.0
    u = shift[chosen]
    origin = np.stack([c * u[..., 0] + s * u[..., 1], -s * u[..., 0] + c * u[..., 1]], -1)
    return search.matrices[reference[chosen]] @ turn, origin


def best_of(
    volume_ft: torch.Tensor,
    images: PointImages,
    rotation: np.ndarray,
    origin_A: np.ndarray,
    offset_sd_A: float,
    climb: Climb = refine_locally,
) -> LocalPoses:
    """The highest maximum that is reached from any of the poses (m, S, 3, 3), (m, S, 2)."""
    best = climb(volume_ft, images, rotation[:, 0], origin_A[:, 0], offset_sd_A=offset_sd_A)
    for s in range(1, rotation.shape[1]):
        other = climb(volume_ft, images, rotation[:, s], origin_A[:, s], offset_sd_A=offset_sd_A)
        better = np.flatnonzero(other.gain > best.gain)
        best = best.with_better(better, other.take(better))
    return best
