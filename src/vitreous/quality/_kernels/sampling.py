"""A map [z, y, x] at the points (p - s) A + centre, where p are points of another one; outside its grid it is 0."""

import math

import numpy as np

from vitreous.compiled import compiled

__all__ = ["correlation_at", "splines_at"]


@compiled
def correlation_at(volume, points, shift, matrix, values):
    """Correlation of the map, interpolated linearly, with ``values`` of mean 0 and norm 1; 0 where it is constant.

    volume (z, y, x), points (m, 3) x, y, z, shift (3,), matrix (3, 3) to pixels, values (m,): float64.
    """
    nz, ny, nx = volume.shape
    cz, cy, cx = nz // 2, ny // 2, nx // 2
    total, squares, product = 0.0, 0.0, 0.0
    for i in range(len(points)):
        a, b, c = points[i, 0] - shift[0], points[i, 1] - shift[1], points[i, 2] - shift[2]
        x = a * matrix[0, 0] + b * matrix[1, 0] + c * matrix[2, 0] + cx
        y = a * matrix[0, 1] + b * matrix[1, 1] + c * matrix[2, 1] + cy
        z = a * matrix[0, 2] + b * matrix[1, 2] + c * matrix[2, 2] + cz
        if not (0 <= x <= nx - 1 and 0 <= y <= ny - 1 and 0 <= z <= nz - 1):  # nor is a place that is no number
            continue
        ix, iy, iz = min(int(x), nx - 2), min(int(y), ny - 2), min(int(z), nz - 2)
        fx, fy, fz = x - ix, y - iy, z - iz
        density = 0.0
        for dz in range(2):
            for dy in range(2):
                row = volume[iz + dz, iy + dy]
                weight = (fz if dz else 1 - fz) * (fy if dy else 1 - fy)
                density += weight * ((1 - fx) * row[ix] + fx * row[ix + 1])
        total += density
        squares += density * density
        product += density * values[i]
    spread = squares - total * total / len(points)
    return product / math.sqrt(spread) if spread > 1e-12 * squares else 0.0


@compiled
def splines_at(coefficients, points, shift, matrix):
    """The map (4, m) and its slopes along x, y and z per pixel, from the coefficients of its cubic spline.

    coefficients (z, y, x) for a map that goes on as its mirror image, points (m, 3) x, y, z, shift (3,), matrix (3, 3)
    to pixels: float64.
    """
    n = np.array(coefficients.shape[::-1])
    found = np.zeros((4, len(points)))
    at, weight, slope = np.empty((3, 4), np.int64), np.empty((3, 4)), np.empty((3, 4))
    for i in range(len(points)):
        inside = True
        for axis in range(3):
            where = float(n[axis] // 2)
            for j in range(3):
                where += (points[i, j] - shift[j]) * matrix[j, axis]
            if not 0 <= where <= n[axis] - 1:
                inside = False
                break
            first = int(where)
            t = where - first
            weight[axis, 0], slope[axis, 0] = (1 - t) ** 3 / 6, -((1 - t) ** 2) / 2
            weight[axis, 1], slope[axis, 1] = (4 - 6 * t**2 + 3 * t**3) / 6, (3 * t**2 - 4 * t) / 2
            weight[axis, 2], slope[axis, 2] = (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6, (1 + 2 * t - 3 * t**2) / 2
            weight[axis, 3], slope[axis, 3] = t**3 / 6, t**2 / 2
            for j in range(4):
                index = abs(first - 1 + j)
                at[axis, j] = 2 * (n[axis] - 1) - index if index > n[axis] - 1 else index
        if not inside:
            continue
        for k in range(4):
            for j in range(4):
                row = coefficients[at[2, k], at[1, j]]
                across, steep = 0.0, 0.0
                for h in range(4):
                    across += weight[0, h] * row[at[0, h]]
                    steep += slope[0, h] * row[at[0, h]]
                found[0, i] += weight[2, k] * weight[1, j] * across
                found[1, i] += weight[2, k] * weight[1, j] * steep
                found[2, i] += weight[2, k] * slope[1, j] * across
                found[3, i] += slope[2, k] * weight[1, j] * across
    return found
