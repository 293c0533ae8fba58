"""Several sets of alignments of the same images, brought into one frame, and how far they are apart there.

Every run of a reference-free alignment ends in a frame of its own. Set l is brought into register by one rigid motion
T_l of its reference (a rotation, a shift, and a reflection where mirror states are exchanged). With g_li the alignment
of image i (a map of points of the image to points of the reference, see :mod:`vitreous.matching.alignments`), the
motions minimise the variance of the places to which the points of the particle are taken,

    sum_i sum_l  mean over the disc of  | T_l g_li(x) - mean_l T_l g_li(x) |^2 .

The disc has radius r about the particle, so its second moment is r^2 / 4 per axis, and for one set against given mean
places this is a Procrustes problem: with c the places of the disc's centre and M the 2 x 2 matrices of g,

    X = sum_i (c'_i - c')(c_i - c)^T + r^2 / 4 M'_i M_i^T = U S V^T,     T = U V^T,

the best of all rotations and reflections at once. Motions and mean places are found in turn (generalised Procrustes),
from every set as the first guess of the mean. No similarity of images enters. Two poses of an image that differ by a
rotation da and a shift d are apart by ``sqrt((1 - cos da) r^2 + |d|^2)``, rms over the disc.

Sources: SCIENCE.md section 4; Yang, Fang, Chittuluru, Asturias and Penczek, Structure 20 (2012) 237-247; Gower,
Psychometrika 40 (1975) 33-51; Schoenemann, Psychometrika 31 (1966) 1-10.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitreous.matching import Alignments, turned

__all__ = ["Registered", "register"]

ROUNDS = 12
SETTLED = 1e-9  # of the variance


@dataclass(frozen=True, kw_only=True, eq=False)
class Registered:
    """L sets of n alignments in one frame.

    sets: the alignments, moved; pixel_error_A: (n,) mean over pairs of sets of the displacement of image i, rms over
    the disc, between sets in which it has the same mirror state, NaN where there are none; pair_error_A: (L, L) the
    same, mean over images, NaN where no image has one mirror state in both;
    mirror_stable: (n,) bool, images with one mirror state in all sets; best: the set that is nearest to the others.
    """

    sets: tuple[Alignments, ...]
    pixel_error_A: np.ndarray
    pair_error_A: np.ndarray
    mirror_stable: np.ndarray
    best: int

    @property
    def mirror_stable_share(self) -> float:
        """Of the images."""
        return float(self.mirror_stable.mean())

    @property
    def mean_error_A(self) -> float:
        """Mean pixel error of the mirror-stable images; infinite where there are none."""
        return float(self.pixel_error_A[self.mirror_stable].mean()) if self.mirror_stable.any() else np.inf


def register(sets: Sequence[Alignments], radius_A: float) -> Registered:
    """Bring L >= 2 sets of alignments of the same n particles (in the same order) into register.

    radius_A: of the particle. Raises ValueError for fewer than two sets, and for sets of different particles.
    """
    _check(sets)
    matrices, centres = (np.stack(x) for x in zip(*map(_rigid, sets), strict=True))
    inertia = radius_A**2 / 4
    found = min((_from_guess(matrices, centres, inertia, k) for k in range(len(sets))), key=lambda f: f[0])
    _, moves, shifts = found
    moved = tuple(_moved(own, move, shift) for own, move, shift in zip(sets, moves, shifts, strict=True))
    placed, at = (np.stack(x) for x in zip(*map(_rigid, moved), strict=True))
    states = np.stack([own.mirror for own in moved])
    pair, image = _displacements(placed, at, states, inertia)
    # A set without a common mirror state with another one is as far from it as can be.
    finite = np.nan_to_num(pair, nan=2 * radius_A)
    return Registered(
        sets=moved,
        pixel_error_A=image,
        pair_error_A=pair,
        mirror_stable=np.asarray(states.all(0) | ~states.any(0)),
        best=int(finite.sum(1).argmin()),
    )


def _check(sets: Sequence[Alignments]) -> None:
    if len(sets) < 2:
        raise ValueError(f"sets: expected at least 2 sets of alignments, found {len(sets)}")
    for number, own in enumerate(sets[1:], 2):
        if not np.array_equal(own.particle, sets[0].particle):
            raise ValueError(f"sets: set {number} is not of the same particles, in the same order, as the first")


def _rigid(own: Alignments) -> tuple[np.ndarray, np.ndarray]:
    """Matrices (n, 2, 2) and places (n, 2) of the centre of every image, in the frame of the reference.

    The centre of the disc is that of the image: where the particle is, within its shift.
    """
    c, s = np.cos(own.psi_rad), np.sin(own.psi_rad)
    matrices = np.stack([np.stack([c, -s], 1), np.stack([s, c], 1)], 1)
    matrices[:, 0] *= np.where(own.mirror, -1.0, 1.0)[:, None]
    return matrices, own.points(np.zeros((len(own), 2)))


def _from_guess(
    matrices: np.ndarray, centres: np.ndarray, inertia: float, first: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """(variance, motions (L, 2, 2), their shifts (L, 2)), with set ``first`` as the first mean places."""
    mean_matrix, mean_centre = matrices[first], centres[first]
    before = np.inf
    for _ in range(ROUNDS):
        moves, shifts = zip(
            *(_procrustes(m, c, mean_matrix, mean_centre, inertia) for m, c in zip(matrices, centres, strict=True)),
            strict=True,
        )
        placed = np.stack(moves)[:, None] @ matrices
        at = (np.stack(moves)[:, None] @ centres[..., None])[..., 0] + np.stack(shifts)[:, None]
        mean_matrix, mean_centre = placed.mean(0), at.mean(0)
        variance = np.square(at - mean_centre).sum(2) + inertia * np.square(placed - mean_matrix).sum((2, 3))
        now = float(variance.mean())
        if before - now <= SETTLED * now:
            break
        before = now
    return now, np.stack(moves), np.stack(shifts)


def _procrustes(
    matrices: np.ndarray, centres: np.ndarray, to_matrices: np.ndarray, to_centres: np.ndarray, inertia: float
) -> tuple[np.ndarray, np.ndarray]:
    """T (2, 2) and shift (2,) of the module docstring."""
    here, there = centres.mean(0), to_centres.mean(0)
    x = (to_centres - there).T @ (centres - here) + inertia * np.einsum("nik,njk->ij", to_matrices, matrices)
    u, _, v = np.linalg.svd(x)
    move = u @ v
    return move, there - move @ here


def _moved(own: Alignments, move: np.ndarray, shift: np.ndarray) -> Alignments:
    """Alignments followed by ``r -> move r + shift`` of the reference."""
    flip = bool(np.linalg.det(move) < 0)
    rotation = np.diag([-1.0, 1.0]) @ move if flip else move
    angle = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    # r' = F^flip R(angle) (r + o): the shift is what o becomes.
    unflipped = shift * np.array([-1.0 if flip else 1.0, 1.0])
    n = len(own)
    after = Alignments(
        particle=own.particle,
        reference=own.reference,
        psi_rad=np.full(n, angle),
        origin_A=turned(np.tile(unflipped, (n, 1)), np.full(n, -angle)),
        mirror=np.full(n, flip),
    )
    return own.then(after)


def _displacements(
    placed: np.ndarray, at: np.ndarray, states: np.ndarray, inertia: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean displacement of every pair of sets (L, L), and of every image (n,); NaN where mirror states never agree."""
    n_sets, n = states.shape
    pair, total, count = np.zeros((n_sets, n_sets)), np.zeros(n), np.zeros(n)
    for a in range(n_sets):
        for b in range(a):
            same = states[a] == states[b]
            apart = np.square(at[a] - at[b]).sum(1) + inertia * np.square(placed[a] - placed[b]).sum((1, 2))
            distance = np.sqrt(apart)
            pair[a, b] = pair[b, a] = distance[same].mean() if same.any() else np.nan
            total += np.where(same, distance, 0.0)
            count += same
    return pair, np.where(count > 0, total / np.maximum(count, 1), np.nan)
