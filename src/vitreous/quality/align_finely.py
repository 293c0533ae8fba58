"""The last step of an alignment of two maps: all detail that they share decides, not their outline.

A rotation error e moves the rim of a particle of diameter D by e D / 2, so that an alignment at 30 A, good to a few
degrees, hides what two maps have in common at 10 A. Here the spectra of both maps are flat up to a resolution, and

    f(R, s) = sum_r ( a M(F^hand R^T (r - s)) + b - N(r) )^2

falls by Gauss-Newton steps with damping (Levenberg-Marquardt) over a small rotation w of the frame, R = exp([w]) R_0,
the shift s, and a and b. With h = R F^hand grad M the derivatives of M are ``-(r - s) x h`` along w and ``-h`` along
s.
"""

from dataclasses import replace

import numpy as np
from scipy.ndimage import spline_filter

from vitreous.conventions import centre_index
from vitreous.particles import Volume
from vitreous.quality._kernels.sampling import splines_at
from vitreous.quality.align_maps import FLIP, MapAlignment, to_pixels

__all__ = ["align_finely"]

_MOST_POINTS = 60_000
_STEPS, _ACCEPT, _REJECT = 25, 0.2, 10.0
_CLOSE = 1e-7  # of the correlation, by which a step has to raise it for another one to follow
_EDGE = 1.25  # of the frequency at which a map ends: its spectrum falls from flat to 0 up to there


def align_finely(
    moving: Volume, reference: Volume, alignment: MapAlignment, *, resolution_A: float, seed: int = 0
) -> MapAlignment:
    """An alignment that is right within a resolution element, made as good as the detail up to ``resolution_A`` allows.

    Both maps are cubes. Points of the reference within the ball that its box holds are compared, a sample of 60,000
    where there are more. The correlation of the result is that of the flattened maps. Raises ValueError for maps that
    have nothing up to this resolution.
    """
    from scipy.spatial.transform import Rotation  # here: it takes a tenth of a second of every start

    coefficients = spline_filter(_flat_map(moving, resolution_A), order=3, mode="mirror")
    points, target = _targets(reference, resolution_A, seed)

    def sampled(found: MapAlignment) -> tuple[MapAlignment, np.ndarray]:
        """The alignment with its correlation; the map (4, m) and its slopes along x, y and z of the other map per A."""
        matrix = to_pixels(found.rotation, found.other_hand, moving.pixel_size_A)
        values = splines_at(coefficients, points, found.shift_A, matrix)
        values[1:] /= moving.pixel_size_A
        return replace(found, correlation=float(np.corrcoef(values[0], target)[0, 1])), values

    (best, values), damping, step = sampled(alignment), 1e-3, None
    for _ in range(_STEPS):
        if step is None:
            matrix, right = _normal_equations(values, points, target, best)
        step = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), right)
        turn = Rotation.from_rotvec(step[:3]) * Rotation.from_matrix(best.rotation)
        tried, there = sampled(replace(best, rotation=turn.as_matrix(), shift_A=best.shift_A + step[3:6]))
        gain = tried.correlation - best.correlation
        if gain > 0:
            best, values, damping, step = tried, there, damping * _ACCEPT, None
        else:
            damping *= _REJECT
        if abs(gain) < _CLOSE:
            break
    return best


def _normal_equations(
    sampled: np.ndarray, points: np.ndarray, target: np.ndarray, found: MapAlignment
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton's matrix (8, 8) and right side (8,) of w, s, a and b; sampled: (4, m) the map and its slopes."""
    value, slope = sampled[0], sampled[1:].T
    scale = float(np.polyfit(value, target, 1)[0])
    h = scale * (slope * FLIP if found.other_hand else slope) @ found.rotation.T
    turning = -np.cross(points - found.shift_A, h)
    design = np.column_stack([turning, -h, value, np.ones(len(value))])
    residual = target - scale * value
    return design.T @ design, design.T @ residual


def _flat_map(volume: Volume, resolution_A: float) -> np.ndarray:
    """The map with shells of power 1 up to a resolution, [z, y, x]."""
    n = volume.box_px
    ft = np.fft.rfftn(volume.data.astype(np.float64))
    full, half = np.fft.fftfreq(n, 1 / n), np.fft.rfftfreq(n, 1 / n)
    radius = np.sqrt(full[:, None, None] ** 2 + full[:, None] ** 2 + half**2)
    shell = np.minimum(radius.round().astype(int), n)
    power = np.bincount(shell.ravel(), (abs(ft) ** 2).ravel()) / np.maximum(np.bincount(shell.ravel()), 1)
    end = n * volume.pixel_size_A / resolution_A
    kept = np.cos(0.5 * np.pi * np.clip((radius - end) / ((_EDGE - 1) * end), 0, 1)) ** 2
    # The mean says nothing, corners have parts of shells, and the cosine at its end is a number of rounding.
    kept[(shell == 0) | (shell > n // 2) | (radius >= _EDGE * end)] = 0
    if not (kept * abs(ft)).any():
        raise ValueError(f"the map has nothing between its box and {resolution_A:g} A that it could be aligned by")
    return np.fft.irfftn(ft * kept / np.sqrt(power[shell] + 1e-12 * power.max()), s=(n,) * 3, axes=(0, 1, 2))


def _targets(volume: Volume, resolution_A: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (m, 3) x, y, z in A within the ball of the box, and the flattened map there."""
    n, pixel = volume.box_px, volume.pixel_size_A
    flat = _flat_map(volume, resolution_A)
    z, y, x = np.indices((n,) * 3).reshape(3, -1) - centre_index(n)
    inside = np.flatnonzero(x**2 + y**2 + z**2 < (n // 2) ** 2)
    if len(inside) > _MOST_POINTS:
        inside = np.random.default_rng(seed).choice(inside, _MOST_POINTS, replace=False)
    return np.stack([x, y, z], axis=1)[inside] * pixel, flat.ravel()[inside]
