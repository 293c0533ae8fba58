"""Two maps of one object in unknown frames: the rotation, shift and hand that bring one onto the other.

First many random rotations of both hands with the centres of mass put together, on a coarse grid; then the best ones
are refined. The measure is the correlation of the densities within a ball.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from vitreous.conventions import centre_index
from vitreous.particles import Volume
from vitreous.quality._kernels.sampling import correlation_at

__all__ = ["FLIP", "MapAlignment", "align_maps", "back_to_moving", "other_hand", "resample_aligned", "to_pixels"]

_SIDE = 20  # points across the box of the coarse grid
_ROTATIONS = 1500  # of each hand: about 15 degrees between neighbours
_REFINED = 4
FLIP = np.array([1.0, 1.0, -1.0])  # what makes the other hand


@dataclass(frozen=True, kw_only=True, eq=False)
class MapAlignment:
    """A point r (x, y, z in A from the centre) of the reference is ``F^hand (rotation^T (r - shift_A))`` in the other.

    F = diag(1, 1, -1) where ``other_hand``.
    """

    rotation: np.ndarray  # (3, 3)
    shift_A: np.ndarray  # (3,)
    other_hand: bool
    correlation: float  # of the aligned map and the reference within the ball


def align_maps(
    moving: np.ndarray,
    moving_pixel_A: float,
    reference: np.ndarray,
    reference_pixel_A: float,
    *,
    resolution_A: float,
    hands: tuple[bool, ...] = (False, True),
    seed: int = 0,
) -> MapAlignment:
    """The best alignment of ``moving`` with ``reference`` (cubic maps [z, y, x]) at about ``resolution_A``.

    hands: which are tried, True being the other one; pixel sizes in Angstrom. Raises ValueError for a map that holds
    NaN or no positive density, for no hand, and for a reference with nothing in the ball that its box holds.
    """
    from scipy.optimize import minimize  # here: both take a tenth of a second of every start, and few jobs align maps
    from scipy.spatial.transform import Rotation

    maps = [_smooth(v, p, resolution_A) for v, p in ((moving, moving_pixel_A), (reference, reference_pixel_A))]
    centres = [_centre_of_mass(v, p) for v, p in zip(maps, (moving_pixel_A, reference_pixel_A), strict=True)]
    points, values = _points(maps[1], reference_pixel_A)
    values = values - values.mean()
    if not (norm := np.linalg.norm(values)):
        raise ValueError("the reference is the same everywhere in the ball that its box holds: nothing to align with")
    values /= norm

    def correlation(turn: Rotation, shift: np.ndarray, hand: bool) -> float:
        return float(correlation_at(maps[0], points, shift, to_pixels(turn.as_matrix(), hand, moving_pixel_A), values))

    def shift_for(turn: Rotation, hand: bool) -> np.ndarray:
        return centres[1] - turn.as_matrix() @ (centres[0] * (FLIP if hand else 1.0))

    turns = Rotation.random(_ROTATIONS, rng=np.random.default_rng(seed))
    tried = [(correlation(t, shift_for(t, hand), hand), i, hand) for hand in hands for i, t in enumerate(turns)]
    best = None
    for _, i, hand in sorted(tried, reverse=True)[:_REFINED]:
        start, shift = turns[i], shift_for(turns[i], hand)

        def cost(v: np.ndarray, start: Rotation = start, shift: np.ndarray = shift, hand: bool = hand) -> float:
            return -correlation(Rotation.from_rotvec(v[:3]) * start, shift + v[3:] * resolution_A, hand)

        simplex = np.vstack([np.zeros(6), 0.15 * np.eye(6)])
        found = minimize(cost, np.zeros(6), method="Nelder-Mead", options={"initial_simplex": simplex, "maxfev": 400})
        if best is None or -found.fun > best.correlation:
            best = MapAlignment(
                rotation=(Rotation.from_rotvec(found.x[:3]) * start).as_matrix(),
                shift_A=shift + found.x[3:] * resolution_A,
                other_hand=hand,
                correlation=float(-found.fun),
            )
    if best is None:
        raise ValueError("hands: give at least one of False and True")
    return best


def resample_aligned(
    moving: np.ndarray, moving_pixel_A: float, alignment: MapAlignment, box_px: int, pixel_size_A: float
) -> np.ndarray:
    """The map in the frame of the reference, on its grid: float32 [z, y, x], 0 outside; cubic splines."""
    axis = (np.arange(box_px) - centre_index(box_px)) * pixel_size_A
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    return (
        _sample(moving, moving_pixel_A, back_to_moving(points, alignment), 3).reshape((box_px,) * 3).astype(np.float32)
    )


def other_hand(volume: Volume) -> Volume:
    """The mirror image z -> -z about the centre; of an even box the outermost section stays where it is."""
    mirrored = volume.data[::-1]
    if volume.data.shape[0] % 2 == 0:
        mirrored = np.roll(mirrored, 1, axis=0)
    return volume.with_data(np.ascontiguousarray(mirrored))


def back_to_moving(points_A: np.ndarray, alignment: MapAlignment) -> np.ndarray:
    """Where points (m, 3) of the reference lie in the map that was aligned with it: x, y, z in A from its centre."""
    return (points_A - alignment.shift_A) @ to_pixels(alignment.rotation, alignment.other_hand, 1.0)


def to_pixels(rotation: np.ndarray, other_hand: bool, pixel_A: float) -> np.ndarray:
    """The matrix A by which points p of the reference are ``(p - shift) A`` pixels from the centre of the other map."""
    return rotation * (FLIP if other_hand else np.ones(3)) / pixel_A


def _sample(volume: np.ndarray, pixel_A: float, points: np.ndarray, order: int) -> np.ndarray:
    index = points[:, ::-1].T / pixel_A + np.array([centre_index(n) for n in volume.shape])[:, None]
    return map_coordinates(volume, index, order=order, mode="constant")


def _smooth(volume: np.ndarray, pixel_A: float, resolution_A: float) -> np.ndarray:
    if not np.isfinite(volume).all():
        raise ValueError("a map with values that are NaN or infinite cannot be aligned")
    positive = np.asarray(volume, dtype=np.float64).clip(min=0.0)
    if not positive.any():
        raise ValueError("a map without positive density cannot be aligned")
    return gaussian_filter(positive, resolution_A / (np.pi * np.sqrt(2.0)) / pixel_A, mode="constant")


def _centre_of_mass(volume: np.ndarray, pixel_A: float) -> np.ndarray:
    axes = [(np.arange(n) - centre_index(n)) * pixel_A for n in volume.shape]
    total = volume.sum()
    z, y, x = (np.tensordot(volume, a, axes=(i, 0)).sum() / total for i, a in enumerate(axes))
    return np.array([x, y, z])


def _points(volume: np.ndarray, pixel_A: float) -> tuple[np.ndarray, np.ndarray]:
    """Points within the ball that the box holds, coarser than the grid, and the densities there."""
    reach = 0.5 * len(volume) * pixel_A
    axis = np.linspace(-reach, reach, _SIDE, endpoint=False) + reach / _SIDE
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    points = points[(points**2).sum(axis=1) < reach**2]
    return points, _sample(volume, pixel_A, points, 1)
