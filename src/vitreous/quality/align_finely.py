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
from scipy.ndimage import map_coordinates, spline_filter

from vitreous.conventions import centre_index
from vitreous.particles import Volume
from vitreous.quality.align_maps import FLIP, MapAlignment, back_to_moving

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

    value, slopes = _with_slopes(moving, resolution_A)
    points, target = _targets(reference, resolution_A, seed)
    flip = FLIP if alignment.other_hand else np.ones(3)

    def sampled(maps: np.ndarray, found: MapAlignment) -> np.ndarray:
        index = _index(back_to_moving(points, found), moving)
        return np.stack([map_coordinates(one, index, order=3, mode="constant", prefilter=False) for one in maps])

    def correlation(found: MapAlignment) -> float:
        return float(np.corrcoef(sampled(value[None], found)[0], target)[0, 1])

    best, damping = replace(alignment, correlation=correlation(alignment)), 1e-3
    step = None
    for _ in range(_STEPS):
        if step is None:
            matrix, right = _normal_equations(sampled(np.stack([value, *slopes]), best), points, target, best, flip)
        step = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), right)
        tried = replace(
            best,
            rotation=(Rotation.from_rotvec(step[:3]) * Rotation.from_matrix(best.rotation)).as_matrix(),
            shift_A=best.shift_A + step[3:6],
        )
        tried = replace(tried, correlation=correlation(tried))
        gain = tried.correlation - best.correlation
        if gain > 0:
            best, damping, step = tried, damping * _ACCEPT, None
        else:
            damping *= _REJECT
        if abs(gain) < _CLOSE:
            break
    return best


def _normal_equations(
    sampled: np.ndarray, points: np.ndarray, target: np.ndarray, found: MapAlignment, flip: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton's matrix (8, 8) and right side (8,) of w, s, a and b; sampled: (4, m) the map and its slopes."""
    value, slope = sampled[0], sampled[1:].T
    scale = float(np.polyfit(value, target, 1)[0])
    h = scale * (slope * flip) @ found.rotation.T
    turning = -np.cross(points - found.shift_A, h)
    design = np.column_stack([turning, -h, value, np.ones(len(value))])
    residual = target - scale * value
    return design.T @ design, design.T @ residual


def _flat(volume: Volume, resolution_A: float) -> tuple[np.ndarray, np.ndarray]:
    """Transform of a map with shells of power 1 up to a resolution, (n, n, n // 2 + 1); frequencies (3, ...)."""
    n = volume.box_px
    ft = np.fft.rfftn(volume.data.astype(np.float64))
    full, half = np.fft.fftfreq(n, volume.pixel_size_A), np.fft.rfftfreq(n, volume.pixel_size_A)
    k = np.stack(np.meshgrid(full, full, half, indexing="ij"))
    radius = np.sqrt((k**2).sum(0)) * n * volume.pixel_size_A
    shell = np.minimum(radius.round().astype(int), n)
    power = np.bincount(shell.ravel(), (abs(ft) ** 2).ravel()) / np.maximum(np.bincount(shell.ravel()), 1)
    end = n * volume.pixel_size_A / resolution_A
    kept = np.cos(0.5 * np.pi * np.clip((radius - end) / ((_EDGE - 1) * end), 0, 1)) ** 2
    kept[(shell == 0) | (shell > n // 2)] = 0  # the mean says nothing, and corners have parts of shells
    if not (kept * abs(ft)).any():
        raise ValueError(f"the map has nothing between its box and {resolution_A:g} A that it could be aligned by")
    return ft * kept / np.sqrt(power[shell] + 1e-12 * power.max()), k


def _with_slopes(volume: Volume, resolution_A: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Spline coefficients of the flattened map, and of its slopes along x, y and z per Angstrom."""
    ft, k = _flat(volume, resolution_A)
    shape = (volume.box_px,) * 3
    maps = [
        np.fft.irfftn(one, s=shape, axes=(0, 1, 2)) for one in (ft, *(2j * np.pi * k[axis] * ft for axis in (2, 1, 0)))
    ]
    value, *slopes = (spline_filter(one, order=3, mode="constant") for one in maps)
    return value, slopes


def _targets(volume: Volume, resolution_A: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (m, 3) x, y, z in A within the ball of the box, and the flattened map there."""
    n, pixel = volume.box_px, volume.pixel_size_A
    flat = np.fft.irfftn(_flat(volume, resolution_A)[0], s=(n,) * 3, axes=(0, 1, 2))
    z, y, x = np.indices((n,) * 3).reshape(3, -1) - centre_index(n)
    inside = np.flatnonzero(x**2 + y**2 + z**2 < (n // 2) ** 2)
    if len(inside) > _MOST_POINTS:
        inside = np.random.default_rng(seed).choice(inside, _MOST_POINTS, replace=False)
    return np.stack([x, y, z], axis=1)[inside] * pixel, flat.ravel()[inside]


def _index(points: np.ndarray, volume: Volume) -> np.ndarray:
    return points[:, ::-1].T / volume.pixel_size_A + centre_index(volume.box_px)
