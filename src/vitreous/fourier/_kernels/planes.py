"""Trilinear interpolation in half of a Hermitian volume; real and imaginary part are the last axis."""

import numpy as np

from vitreous.compiled import compiled

__all__ = ["add_planes", "take_planes", "trilinear"]


@compiled
def trilinear(volume, x, y, z, out):
    """Value of a volume (kz, ky, kx, 2) at a point, and its derivatives along x, y, z: out (4, 2)."""
    h = volume.shape[2] - 2
    sign = -1.0 if x < 0 else 1.0
    px, py, pz = sign * x, sign * y + h + 1, sign * z + h + 1
    ix, iy, iz = int(px), int(py), int(pz)
    fx, fy, fz = px - ix, py - iy, pz - iz
    for c in range(2):
        a = volume[iz, iy, ix, c], volume[iz, iy, ix + 1, c], volume[iz, iy + 1, ix, c], volume[iz, iy + 1, ix + 1, c]
        b = (
            volume[iz + 1, iy, ix, c],
            volume[iz + 1, iy, ix + 1, c],
            volume[iz + 1, iy + 1, ix, c],
            volume[iz + 1, iy + 1, ix + 1, c],
        )
        a0, a1 = a[0] + fx * (a[1] - a[0]), a[2] + fx * (a[3] - a[2])
        b0, b1 = b[0] + fx * (b[1] - b[0]), b[2] + fx * (b[3] - b[2])
        low, high = a0 + fy * (a1 - a0), b0 + fy * (b1 - b0)
        # A mirrored point has the conjugate value; its derivative changes sign once more.
        value_sign = sign if c == 1 else 1.0
        slope_sign = value_sign * sign
        out[0, c] = value_sign * (low + fz * (high - low))
        ax = (1 - fy) * (a[1] - a[0]) + fy * (a[3] - a[2])
        bx = (1 - fy) * (b[1] - b[0]) + fy * (b[3] - b[2])
        out[1, c] = slope_sign * (ax + fz * (bx - ax))
        out[2, c] = slope_sign * ((1 - fz) * (a1 - a0) + fz * (b1 - b0))
        out[3, c] = slope_sign * (high - low)


@compiled
def take_planes(volume, matrices, plane, out):
    """Values of a volume at the points (2, p) of planes with matrices (m, 3, 3): out (m, p, 2)."""
    h = volume.shape[2] - 2
    for i in range(len(matrices)):
        g = matrices[i]
        for p in range(plane.shape[1]):
            x = g[0, 0] * plane[0, p] + g[0, 1] * plane[1, p]
            y = g[1, 0] * plane[0, p] + g[1, 1] * plane[1, p]
            z = g[2, 0] * plane[0, p] + g[2, 1] * plane[1, p]
            sign = np.float32(-1.0) if x < 0 else np.float32(1.0)
            x, y, z = sign * x, sign * y + (h + 1), sign * z + (h + 1)
            ix, iy, iz = int(x), int(y), int(z)
            fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
            for c in range(2):
                v000, v001 = volume[iz, iy, ix, c], volume[iz, iy, ix + 1, c]
                v010, v011 = volume[iz, iy + 1, ix, c], volume[iz, iy + 1, ix + 1, c]
                v100, v101 = volume[iz + 1, iy, ix, c], volume[iz + 1, iy, ix + 1, c]
                v110, v111 = volume[iz + 1, iy + 1, ix, c], volume[iz + 1, iy + 1, ix + 1, c]
                a0, a1 = v000 + fx * (v001 - v000), v010 + fx * (v011 - v010)
                b0, b1 = v100 + fx * (v101 - v100), v110 + fx * (v111 - v110)
                low, high = a0 + fy * (a1 - a0), b0 + fy * (b1 - b0)
                value = low + fz * (high - low)
                out[i, p, c] = sign * value if c == 1 else value


@compiled
def add_planes(numerator, denominator, values, weights, matrices, plane):
    """The adjoint: add values (m, p, 2) and weights (m, p) at the points of the planes."""
    h = numerator.shape[2] - 2
    one = np.float32(1.0)
    for i in range(len(matrices)):
        g = matrices[i]
        for p in range(plane.shape[1]):
            x = g[0, 0] * plane[0, p] + g[0, 1] * plane[1, p]
            y = g[1, 0] * plane[0, p] + g[1, 1] * plane[1, p]
            z = g[2, 0] * plane[0, p] + g[2, 1] * plane[1, p]
            sign = np.float32(-1.0) if x < 0 else one
            x, y, z = sign * x, sign * y + (h + 1), sign * z + (h + 1)
            ix, iy, iz = int(x), int(y), int(z)
            fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
            real, imag, weight = values[i, p, 0], sign * values[i, p, 1], weights[i, p]
            for dz in range(2):
                wz = fz if dz else one - fz
                for dy in range(2):
                    wy = wz * (fy if dy else one - fy)
                    for dx in range(2):
                        w = wy * (fx if dx else one - fx)
                        numerator[iz + dz, iy + dy, ix + dx, 0] += w * real
                        numerator[iz + dz, iy + dy, ix + dx, 1] += w * imag
                        denominator[iz + dz, iy + dy, ix + dx] += w * weight
