"""The point group of a map: which rotations, about which axes, leave it as it is, beyond what chance would give.

About its centre the map is expanded on shells in spherical harmonics, ``a_l(r)`` (2 l + 1 numbers on each shell). Let
the columns of ``B_l`` span what a group G leaves as it is among the harmonics of degree l. Turned into a frame M, the
share of the power of the map (without l = 0, which has all groups) that is invariant under G is

    S_G(M) = sum_l |B_l^T D_l(M) a_l|^2 / sum_l |a_l|^2,

which is 1 where the map has the group in this frame, and never less for a group than for one that contains it.
For all Cn about an axis it follows from the power of every order m about this axis. Axes are searched on a grid of half
the sphere, the rest of the frame by angles about the best axes; then the frame climbs.

Chance: any map has some S_G in its best frame, more so the fewer degrees it has (an ellipsoid, l = 2, has D2). So the
same search is made on maps whose degrees have been turned at random, each on its own, which keeps all their spectra and
nothing of a group. With their mean best ``chance``, the merit is ``(S - chance) / (1 - chance)``: the share of the
power that has the group, 0 for chance, 1 for all. Noise in the map lowers it for all groups alike. A solid of
revolution has every Cn about its axis: so the merit of Cn and Dn is at most the share, beyond 1 / n, that multiples of
n have of the power of orders other than 0.

The map has the largest group whose merit is close to the best one: subgroups of the right group are as good, larger
groups are worse.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitreous.particles import Volume
from vitreous.quality import MapAlignment, resample_aligned
from vitreous.rotations import (
    fibonacci_directions,
    invariants,
    random_rotations,
    rotate_harmonics,
    symmetry_matrices,
)
from vitreous.volumes.shell_harmonics import best_centre, centre_of_density, flattened, shell_harmonics

__all__ = ["PointGroup", "SymmetryCandidate", "find_symmetry", "in_standard_frame", "symmetry_merit"]

ENOUGH = 0.5  # merit below which no group is named
NEAR = 0.85  # of the best merit: what the right group has, and larger ones have not
LEAST_DEGREE, MOST_DEGREE = 8, 16
DEGREES = 0.7  # of 2 pi radius / resolution, the highest degree that the surface of the particle can hold
SURROGATES = 4
COARSE = 1.5  # times the resolution, at which a map far off its centre is seen to have a group
CENTRINGS = 2
AXES, CYCLIC_STARTS, STARTS = 8, 3, 3  # axes that get angles, and frames that climb
ROUNDS = 4  # of climbing; each halves the step
Z_AXIS = {"T": 3, "O": 4, "I": 2, "I1": 2, "I2": 2}  # order of the axis that these groups have along z


@dataclass(frozen=True, kw_only=True, eq=False)
class SymmetryCandidate:
    """A group in its best frame: share of the power that it leaves as it is, by chance, and beyond (merit: up to 1).

    rotation: (3, 3) M, which takes the map into the frame of :func:`vitreous.rotations.symmetry_matrices`.
    """

    name: str
    share: float
    chance: float
    merit: float
    rotation: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class PointGroup:
    """The group of a map: a point r of the standard frame is ``rotation^T r + centre_A`` in the map (x, y, z).

    name: C1 where no group has enough merit; merit: of the group, of C1 that of the best rival; centre_A: about which
    all candidates lie; candidates: all that were tried, the best first.
    """

    name: str
    merit: float
    rotation: np.ndarray
    centre_A: np.ndarray
    candidates: tuple[SymmetryCandidate, ...]

    def candidate(self, name: str) -> SymmetryCandidate:
        """The one of a group that was tried. Raises KeyError for another group."""
        return {one.name: one for one in self.candidates}[name]

    def rivals(self, count: int = 3) -> tuple[SymmetryCandidate, ...]:
        """The best other candidates."""
        return tuple(candidate for candidate in self.candidates if candidate.name != self.name)[:count]


def find_symmetry(
    volume: Volume,
    *,
    resolution_A: float,
    diameter_A: float | None = None,
    groups: Sequence[str] | None = None,
    largest_cycle: int = 12,
    seed: int = 0,
) -> PointGroup:
    """The point group of a cubic map of a particle within ``diameter_A`` (None: 7/8 of the box) of its centre.

    resolution_A: what is finer is not looked at. groups: candidates; None: Cn and Dn up to ``largest_cycle``, T, O, I.
    The centre is that of the density at first, and climbs with the best group, at lower resolution first. About 4 CPU
    seconds, whatever the box.

    Raises ValueError for a map that is no cube or has no positive density, and for an unknown group.
    """
    reach = 0.5 * (diameter_A or 0.875 * volume.box_px * volume.pixel_size_A)
    wanted = tuple(name.strip().upper() for name in groups) if groups is not None else None
    centre = centre_of_density(volume, resolution_A, reach)
    for fineness_A in (COARSE * resolution_A, resolution_A):
        degree, flat = _degree(reach, fineness_A), flattened(volume, fineness_A)
        names = wanted or _names(min(largest_cycle, degree))
        kept = {name: invariants(symmetry_matrices(name).numpy(), degree) for name in names}
        axes = _half_sphere(degree)
        harmonics = shell_harmonics(flat, centre, reach, fineness_A, degree)
        shuffled = [_search(_shuffled(harmonics, seed, i), kept, axes) for i in range(SURROGATES)]
        chance = {name: float(np.mean([one[name][0] for one in shuffled])) for name in names}
        for _ in range(CENTRINGS):
            found = _judged(harmonics, _search(harmonics, kept, axes), chance)
            best = _chosen(found) or found[0]
            centre = best_centre(flat, centre, best.rotation, symmetry_matrices(best.name).numpy(), reach, fineness_A)
            harmonics = shell_harmonics(flat, centre, reach, fineness_A, degree)
    found = _judged(harmonics, _search(harmonics, kept, axes), chance)
    named = _chosen(found)
    return PointGroup(
        name=named.name if named else "C1",
        merit=(named or found[0]).merit,
        rotation=named.rotation if named else np.eye(3),
        centre_A=centre,
        candidates=tuple(found),
    )


def symmetry_merit(volume: Volume, group: str, *, resolution_A: float, diameter_A: float | None = None) -> float:
    """The share of the power that ``group`` leaves as it is, with its axes where the standard has them: 0 ... 1.

    Less what frames at random give: 0 (or somewhat below) where the map has nothing of the group.
    """
    reach = 0.5 * (diameter_A or 0.875 * volume.box_px * volume.pixel_size_A)
    degree = _degree(reach, resolution_A)
    kept = invariants(symmetry_matrices(group).numpy(), degree)
    harmonics = shell_harmonics(flattened(volume, resolution_A), np.zeros(3), reach, resolution_A, degree)
    share = float(_shares(harmonics, np.eye(3)[None], kept)[0])
    chance = sum(float((a**2).sum()) * b.shape[1] / len(b) for a, b in zip(harmonics, kept, strict=True))
    return (share - chance) / max(1.0 - chance, 1e-6)


def in_standard_frame(volume: Volume, group: PointGroup) -> Volume:
    """The map with its axes where :func:`vitreous.rotations.symmetry_matrices` has them; it is not made symmetric.

    Of C1 the map itself.
    """
    if group.name == "C1":
        return volume
    back = MapAlignment(
        rotation=group.rotation, shift_A=-group.rotation @ group.centre_A, other_hand=False, correlation=1.0
    )
    turned = resample_aligned(volume.data, volume.pixel_size_A, back, volume.box_px, volume.pixel_size_A)
    return Volume(data=turned, pixel_size_A=volume.pixel_size_A, origin_A=volume.origin_A, symmetry=group.name)


def _degree(reach_A: float, resolution_A: float) -> int:
    return int(np.clip(round(DEGREES * 2 * np.pi * reach_A / resolution_A), LEAST_DEGREE, MOST_DEGREE))


def _names(largest: int) -> tuple[str, ...]:
    return (*(f"{kind}{n}" for kind in "CD" for n in range(2, largest + 1)), "T", "O", "I")


def _cycle(name: str) -> int:
    """Order of the axis along z."""
    return Z_AXIS.get(name) or int(name[1:])


def _half_sphere(degree: int) -> np.ndarray:
    """Axes (n, 3) so close that harmonics of the degree change little from one to the next."""
    axes = fibonacci_directions(int(np.ceil(4 * np.pi / _step(degree) ** 2))).numpy()
    return np.asarray(axes[axes[:, 2] >= 0])


def _step(degree: int) -> float:
    return float(0.5 * np.pi / degree)


def _shuffled(harmonics: list[np.ndarray], seed: int, number: int) -> list[np.ndarray]:
    """Every degree turned at random, each on its own."""
    turns = random_rotations(len(harmonics), seed=1000 * seed + number).numpy()
    return [rotate_harmonics(harmonics[: l + 1], turns[l : l + 1])[l][0] for l in range(len(harmonics))]


def _shares(harmonics: list[np.ndarray], frames: np.ndarray, kept: list[np.ndarray]) -> np.ndarray:
    """S (b,) of a group in frames (b, 3, 3)."""
    turned = rotate_harmonics(harmonics, frames)
    return np.asarray(sum(((b.T @ a) ** 2).sum((1, 2)) for a, b in zip(turned, kept, strict=True)))


def _orders(harmonics: list[np.ndarray], frames: np.ndarray) -> np.ndarray:
    """Power (b, L + 1) of every order m about z in frames (b, 3, 3)."""
    out = np.zeros((len(frames), len(harmonics)))
    for l, a in enumerate(rotate_harmonics(harmonics, frames)):
        power = (a**2).sum(-1)
        out[:, : l + 1] += power[:, l:]
        out[:, 1 : l + 1] += power[:, l - 1 :: -1] if l else 0.0
    return out


def _search(
    harmonics: list[np.ndarray], kept: dict[str, list[np.ndarray]], axes: np.ndarray
) -> dict[str, tuple[float, np.ndarray]]:
    """(S, frame) of every group at its best."""
    orders, step = _orders(harmonics, _to_z(axes)), _step(len(harmonics) - 1)
    out = {}
    for name, basis in kept.items():
        cycle = _cycle(name)
        few = len(axes) if cycle == 1 else CYCLIC_STARTS if name[0] == "C" else AXES
        top = _apart(axes, orders[:, ::cycle].sum(1), 1.5 * step if cycle > 1 else 0.0, few)
        frames = _to_z(axes[top])
        if name[0] != "C":
            angles = np.arange(0, 2 * np.pi / cycle, step)
            frames = (_about_z(angles) @ frames[:, None]).reshape(-1, 3, 3)
            frames = frames[np.argsort(-_shares(harmonics, frames, basis))[:STARTS]]
        out[name] = _climb(harmonics, frames, basis, step / 2, turn=name[0] != "C")
    return out


def _climb(
    harmonics: list[np.ndarray], frames: np.ndarray, basis: list[np.ndarray], step: float, *, turn: bool
) -> tuple[float, np.ndarray]:
    """Every frame moves to the best of its neighbours, with steps that halve: the best S and its frame."""
    shares = _shares(harmonics, frames, basis)
    sides = np.array([-1.0, 0.0, 1.0])
    for _ in range(ROUNDS):
        moves = np.stack(np.meshgrid(sides, sides, sides if turn else sides[1:2], indexing="ij"), -1).reshape(-1, 3)
        near = _small_turns(step * moves) @ frames[:, None]
        values = _shares(harmonics, near.reshape(-1, 3, 3), basis).reshape(len(frames), -1)
        best = values.argmax(1)
        frames, shares = near[np.arange(len(frames)), best], values.max(1)
        step /= 2
    return float(shares.max()), frames[int(shares.argmax())]


def _judged(
    harmonics: list[np.ndarray], found: dict[str, tuple[float, np.ndarray]], chance: dict[str, float]
) -> list[SymmetryCandidate]:
    """Candidates, the best first."""
    out = []
    for name, (share, frame) in found.items():
        merit = (share - chance[name]) / max(1.0 - chance[name], 1e-6)
        if name[0] in "CD" and _cycle(name) > 1:
            merit = min(merit, _cyclic_merit(harmonics, frame, name))
        out.append(SymmetryCandidate(name=name, share=share, chance=chance[name], merit=merit, rotation=frame))
    return sorted(out, key=lambda candidate: -candidate.merit)


def _cyclic_merit(harmonics: list[np.ndarray], frame: np.ndarray, name: str) -> float:
    """Share beyond 1 / n of orders that n divides, of the power of all orders but 0; D2 has three axes to show it."""
    cycle = _cycle(name)
    permuted = [np.roll(np.eye(3), i, axis=0) for i in range(3)] if name == "D2" else [np.eye(3)]
    orders = _orders(harmonics, np.array(permuted) @ frame)
    part = orders[:, cycle::cycle].sum(1) / np.maximum(orders[:, 1:].sum(1), 1e-12)
    return float(((part - 1 / cycle) / (1 - 1 / cycle)).max())


def _chosen(found: list[SymmetryCandidate]) -> SymmetryCandidate | None:
    """The largest group that is about as good as the best one; None where none is good."""
    good = [one for one in found if one.merit >= max(ENOUGH, NEAR * found[0].merit)]
    return max(good, key=lambda one: (len(symmetry_matrices(one.name)), one.merit), default=None)


def _apart(axes: np.ndarray, values: np.ndarray, angle: float, count: int) -> list[int]:
    """The ``count`` axes of highest value that are so far from each other."""
    chosen: list[int] = []
    for i in np.argsort(-values):
        if all(abs(axes[i] @ axes[j]) < np.cos(angle) for j in chosen):
            chosen.append(int(i))
        if len(chosen) == count:
            break
    return chosen


def _to_z(axes: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) that take axes (n, 3) to z."""
    x, y, z = axes.T
    across = np.hypot(x, y)
    c, s = np.where(across > 0, x, 1.0) / np.where(across > 0, across, 1.0), y / np.where(across > 0, across, 1.0)
    rows = [
        np.stack([c * z, s * z, -across], -1),
        np.stack([-s, c, np.zeros_like(z)], -1),
        np.stack([c * across, s * across, z], -1),
    ]
    return np.stack(rows, 1)


def _about_z(angles: np.ndarray) -> np.ndarray:
    c, s, zero = np.cos(angles), np.sin(angles), np.zeros_like(angles)
    rows = [np.stack([c, -s, zero], -1), np.stack([s, c, zero], -1), np.stack([zero, zero, zero + 1], -1)]
    return np.stack(rows, 1)


def _small_turns(vectors: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) by |v| about vectors (n, 3) (Rodrigues)."""
    angle = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)[:, None, None]
    zero, (x, y, z) = np.zeros(len(vectors)), vectors.T
    cross = np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], 1)
    return np.asarray(np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross)
