"""Maps on other grids about the same centre: cut, pad, Fourier crop and pad, other pixel sizes, point groups.

A map of n voxels per axis is taken for a band-limited periodic function of period n. It is evaluated at the points of
the new grid, axis by axis, by a matrix; frequencies that the new grid cannot hold are left out. Where the field stays
the same this is Fourier crop and pad, with the Nyquist frequency of an even box halved between its two signs when
padding, and both signs added when cropping, so that cropping undoes padding.
"""

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter

from vitreous.conventions import centre_index
from vitreous.particles import Volume
from vitreous.rotations import symmetry_matrices

__all__ = ["fourier_resize", "resample", "resize_box", "symmetrise"]

_SAME = 1e-6  # relative difference of pixel sizes, and part of a pixel, that counts as none
_OVERSAMPLED = 2  # before splines


def resize_box(volume: Volume, box_px: int) -> Volume:
    """Cut or pad with zeros to a cube of ``box_px`` voxels about the centre; any shape, voxels stay as they are.

    Raises ValueError for a box of no voxels.
    """
    _check_box(box_px)
    out = np.zeros((box_px,) * 3, np.float32)
    to, of = zip(*(_overlap(n, box_px) for n in volume.data.shape), strict=True)
    out[to] = volume.data[of]
    return volume.with_data(out)


def fourier_resize(volume: Volume, box_px: int) -> Volume:
    """Fourier crop or pad of a cubic map to ``box_px`` voxels across the same field.

    Density stays what it was; the pixel size becomes ``n / box_px`` times as large. Raises ValueError for a map that
    is no cube.
    """
    return resample(volume, box_px, volume.pixel_size_A * volume.box_px / box_px)


def resample(volume: Volume, box_px: int, pixel_size_A: float) -> Volume:
    """The map on a cubic grid of ``box_px`` voxels of ``pixel_size_A`` about the same centre; 0 outside its field.

    Band-limited interpolation at the exact pixel size, without rounding to whole pixels. Cost: 3 ``box_px`` n^3
    multiplications at most. Raises ValueError for a box or pixel size that is none.
    """
    _check_box(box_px)
    if not (np.isfinite(pixel_size_A) and pixel_size_A > 0):
        raise ValueError(f"pixel_size_A: expected a positive number, found {pixel_size_A}")
    ratio = pixel_size_A / volume.pixel_size_A
    if abs(ratio - 1.0) < _SAME:
        return resize_box(volume, box_px)
    data = volume.data
    for axis in range(3):
        matrix = _interpolation(data.shape[axis], box_px, ratio)
        data = np.moveaxis(np.tensordot(matrix, data, axes=(1, axis)), 0, axis)
    return volume.with_data(np.ascontiguousarray(data), pixel_size_A=pixel_size_A)


def symmetrise(volume: Volume, group: str) -> Volume:
    """The mean of a cubic map over the rotations of a point group about its centre; ``symmetry`` becomes the group.

    Cubic splines on a grid of half the pixel size: a wave of period d pixels keeps all but 0.1 % of its amplitude for
    d of 3 and more, and rotations that take the grid onto itself (by 90 and 180 degrees about an axis of the box) are
    exact. Voxels farther than n / 2 from the centre leave the box in turning, and are left as they are.

    Raises ValueError for a map that is no cube, and an unknown group.
    """
    n, turns = volume.box_px, symmetry_matrices(group).numpy()
    fine = spline_filter(
        resample(volume, _OVERSAMPLED * n, volume.pixel_size_A / _OVERSAMPLED).data, order=3, mode="mirror"
    )
    axis = np.arange(n) - centre_index(n)
    inside = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) < (n / 2) ** 2
    z, y, x = np.nonzero(inside)
    points = np.stack([x, y, z]) - centre_index(n)
    total = volume.data[inside].astype(np.float64)
    for turn in turns[1:]:
        index = _OVERSAMPLED * (turn @ points)[::-1] + centre_index(len(fine))
        total += map_coordinates(fine, index, order=3, mode="mirror", prefilter=False)
    out = volume.data.copy()
    out[inside] = total / len(turns)
    return Volume(data=out, pixel_size_A=volume.pixel_size_A, origin_A=volume.origin_A, symmetry=group)


def _interpolation(n: int, m: int, ratio: float) -> np.ndarray:
    """Matrix (m, n) from samples about index n // 2 to values at ``ratio`` pixels' distance about index m // 2.

    Row j holds the Dirichlet kernel ``(1 / n) sum_k w_k cos(2 pi k (x_j - i) / n)`` over the frequencies that both
    grids have.
    """
    x = (np.arange(m) - centre_index(m)) * ratio
    i = np.arange(n) - centre_index(n)
    highest = int(np.floor(0.5 * n * min(1.0, 1.0 / ratio) + _SAME))
    k = np.arange(1, highest + 1)
    weight = np.full(highest, 2.0)
    if 2 * highest == n and highest:
        weight[-1] = 1.0  # an even box holds the sum of both signs
    phase = 2.0 * np.pi * k / n
    kernel = np.ones((m, n))
    kernel += (weight * np.cos(np.outer(x, phase))) @ np.cos(np.outer(phase, i))
    kernel += (weight * np.sin(np.outer(x, phase))) @ np.sin(np.outer(phase, i))
    kernel[np.abs(x) > 0.5 * n + _SAME] = 0.0  # outside the field
    return (kernel / n).astype(np.float32)


def _overlap(n: int, m: int) -> tuple[slice, slice]:
    """Where a line of n voxels lies in one of m with the same centre, and which part of it."""
    low = centre_index(m) - centre_index(n)
    to = slice(max(low, 0), min(low + n, m))
    return to, slice(to.start - low, to.stop - low)


def _check_box(box_px: int) -> None:
    if box_px < 1:
        raise ValueError(f"box_px: expected at least 1 voxel, found {box_px}")
