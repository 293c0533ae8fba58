"""Insertion of particles at several poses each: the adjoint of taking their slices."""

import math

import numpy as np

from vitreous.compiled import compiled

__all__ = ["add_particles"]


@compiled
def add_particles(numerator, denominator, plane, images, ctfs, turns, origins, weights, phase):
    """Add sum_j w c x exp(-i s k . o_j) and sum_j w c^2 at the points G_j k of m particles, in place.

    numerator (kz, ky, kx, 2), denominator (kz, ky, kx), plane (2, P), images (m, P, 2), ctfs (m, P), turns (m, J, 3,
    3), origins (m, J, 2), weights (m,): float32; x and c are those of :mod:`vitreous.structures._kernels.local`.
    """
    h = numerator.shape[2] - 2
    one = np.float32(1.0)
    s = np.float32(phase)
    for i in range(turns.shape[0]):
        particle = weights[i]
        if particle == 0:
            continue
        for j in range(turns.shape[1]):
            g = turns[i, j]
            ox, oy = s * origins[i, j, 0], s * origins[i, j, 1]
            for p in range(plane.shape[1]):
                kx, ky, c = plane[0, p], plane[1, p], ctfs[i, p]
                x, y, z = g[0, 0] * kx + g[0, 1] * ky, g[1, 0] * kx + g[1, 1] * ky, g[2, 0] * kx + g[2, 1] * ky
                sign = -one if x < 0 else one
                x, y, z = sign * x, sign * y + np.float32(h + 1), sign * z + np.float32(h + 1)
                ix, iy, iz = int(x), int(y), int(z)
                fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
                angle = kx * ox + ky * oy
                co, si = math.cos(angle), math.sin(angle)
                weight = particle * c
                real = weight * (co * images[i, p, 0] + si * images[i, p, 1])
                imag = sign * weight * (co * images[i, p, 1] - si * images[i, p, 0])
                power = weight * c
                for dz in range(2):
                    wz = fz if dz else one - fz
                    for dy in range(2):
                        wy = wz * (fy if dy else one - fy)
                        for dx in range(2):
                            w = wy * (fx if dx else one - fx)
                            numerator[iz + dz, iy + dy, ix + dx, 0] += w * real
                            numerator[iz + dz, iy + dy, ix + dx, 1] += w * imag
                            denominator[iz + dz, iy + dy, ix + dx] += w * power
