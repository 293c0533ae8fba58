"""Maps on shells about a centre, in spherical harmonics: what point groups are looked for in."""

import numpy as np
import torch
from scipy.ndimage import map_coordinates, spline_filter
from scipy.optimize import minimize

from vitreous.conventions import centre_index
from vitreous.particles import Volume
from vitreous.rotations import sphere_quadrature, spherical_harmonics
from vitreous.volumes.filters import frequency_rfftn, low_pass
from vitreous.volumes.resampling import fourier_resize

__all__ = ["best_centre", "centre_of_density", "flattened", "shell_harmonics"]

FINEST = 4.0  # samples of a map, and shells, for every resolution element
WEAKEST = 0.01  # of the strongest amplitude: weaker ones are not raised further
FARTHEST = 1.0  # resolution elements that a centre moves at once
KEPT = 0.995  # of the power of a degree, by combinations of shells


def flattened(volume: Volume, resolution_A: float) -> Volume:
    """Without what is finer than ``resolution_A``, and with half the slope of its spectrum: details count.

    Amplitudes are divided by the square root of their mean in the shell. On a grid that is fine enough for splines.
    """
    shape, pixel = volume.data.shape, volume.pixel_size_A
    ft = torch.fft.rfftn(torch.from_numpy(np.ascontiguousarray(volume.data)))
    k = frequency_rfftn(tuple(shape), pixel)
    shell = (k * volume.box_px * pixel).round().long()
    count = torch.bincount(shell.flatten()).clamp_min(1)
    power = torch.zeros(len(count), dtype=torch.float64).index_add_(
        0, shell.flatten(), ft.abs().square().flatten().double()
    )
    amplitude = (power / count).sqrt()
    weight = (amplitude / amplitude[1:].max()).clamp_min(WEAKEST) ** -0.5
    flat = volume.with_data(torch.fft.irfftn(ft * weight[shell].float() * (k > 0), s=shape).numpy())
    flat = low_pass(flat, max(resolution_A, 2.0 * pixel))
    finer = int(np.ceil(FINEST * pixel / resolution_A))
    return fourier_resize(flat, finer * volume.box_px) if finer > 1 else flat


def centre_of_density(volume: Volume, resolution_A: float, reach_A: float) -> np.ndarray:
    """Centre (x, y, z) in Angstrom of the density above the mean of what is positive, within a ball.

    Raises ValueError for a map without positive density.
    """
    smooth = low_pass(volume, max(resolution_A, 2.0 * volume.pixel_size_A)).data.astype(np.float64)
    axis = (np.arange(volume.box_px) - centre_index(volume.box_px)) * volume.pixel_size_A
    radius2 = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    inside = (smooth > 0) & (radius2 < reach_A**2)
    if not inside.any():
        raise ValueError("a map without positive density has no point group that could be found")
    density = np.where(inside, smooth - smooth[inside].mean(), 0.0).clip(min=0.0)
    sums = [(density.sum(axis=other) * axis).sum() for other in ((0, 1), (0, 2), (1, 2))]
    return np.array(sums) / density.sum()


def shell_harmonics(
    volume: Volume, centre_A: np.ndarray, reach_A: float, resolution_A: float, degree: int
) -> list[np.ndarray]:
    """Coefficients of degrees 0 ... ``degree`` about a centre: of degree l (2 l + 1, c), their total power 1.

    The c columns are combinations of shells, so few that nearly all power is kept: rotations and their invariants do
    not care. Degree 0 is left out (zeros).
    """
    points, weight = sphere_quadrature(degree)
    radii = np.arange(resolution_A / FINEST, reach_A, resolution_A / FINEST)
    values = _at(spline_filter(volume.data.astype(np.float64)), volume, (radii[:, None, None] * points + centre_A))
    values = values * radii[:, None]  # the measure r^2 dr, in amplitude
    out = []
    for l, harmonic in enumerate(spherical_harmonics(points, degree)):
        u, s, _ = np.linalg.svd((harmonic.T * weight) @ values.T, full_matrices=False)
        few = int((np.cumsum(s**2) < KEPT * (s**2).sum()).sum()) + 1
        out.append(np.zeros((1, 1)) if l == 0 else (u * s)[:, :few])
    total = np.sqrt(sum((a**2).sum() for a in out))
    return [a / max(total, 1e-30) for a in out]


def best_centre(
    volume: Volume,
    centre_A: np.ndarray,
    rotation: np.ndarray,
    group: np.ndarray,
    reach_A: float,
    resolution_A: float,
) -> np.ndarray:
    """The centre (3,) near ``centre_A`` about which the map agrees best with its copies under a group in a frame.

    Along the axis of Cn, where all points are as good, it stays.
    """
    axis = np.arange(-reach_A, reach_A, resolution_A / 2)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    points = points[(points**2).sum(1) < reach_A**2]
    few = group[1 : 1 + 3] if len(group) > 3 else group[1:]
    turns = [rotation.T @ element @ rotation for element in few]
    smooth = spline_filter(volume.data.astype(np.float64))
    across = np.eye(3) - rotation.T @ group.mean(0) @ rotation

    def disagreement(shift: np.ndarray) -> float:
        if np.linalg.norm(shift) > FARTHEST * resolution_A:
            return 1.0
        centre = centre_A + across @ shift
        here = _at(smooth, volume, points + centre)
        copies = sum(_at(smooth, volume, points @ turn.T + centre) for turn in turns)
        return -float(np.corrcoef(here, copies)[0, 1])

    simplex = np.vstack([np.zeros(3), resolution_A / 3 * np.eye(3)])
    found = minimize(
        disagreement, np.zeros(3), method="Nelder-Mead", options={"initial_simplex": simplex, "maxfev": 90}
    )
    return np.asarray(centre_A + across @ found.x)


def _at(filtered: np.ndarray, volume: Volume, points_A: np.ndarray) -> np.ndarray:
    """Values at points (..., 3), x, y, z in Angstrom from the centre of the box; 0 outside."""
    index = points_A[..., ::-1] / volume.pixel_size_A + centre_index(volume.box_px)
    return np.asarray(map_coordinates(filtered, np.moveaxis(index, -1, 0), order=3, prefilter=False, mode="constant"))
