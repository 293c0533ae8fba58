"""Pose of a particle in a volume: objective, gradient and Gauss-Newton matrix in one loop, and the ascent on them.

    f(G, o) = sum_p |x_p|^2 - |x_p - c_p V(G k_p) exp(i s k_p . o)|^2  -  |o|^2 / (2 s_o^2)

where x and c are values of image and CTF at ring points times sqrt(weight / sigma^2), so that f is the log likelihood
less that of an empty image. The five unknowns are small rotations w of the image frame, G exp([w]), and the origin.
With v = V(G k), g = G^T grad V and y = exp(-i s k . o) x - c v, the derivatives of v along the unknowns are

    d_1 = k_y g_z,   d_2 = - k_x g_z,   d_3 = k_x g_y - k_y g_x,   d_4 = i s k_x v,   d_5 = i s k_y v

and gradient and Gauss-Newton matrix are 2 sum c Re(conj(d_a) y) and 2 sum c^2 Re(conj(d_a) d_b).
"""

import math

import numpy as np

from vitreous.compiled import compiled

__all__ = ["ascend", "evaluate"]

MOST_TURN = 0.2  # radians of one step
ACCEPT, REJECT = 0.2, 8.0  # factors of the damping


@compiled
def evaluate(volume, plane, image, ctf, turn, origin, phase, inverse_variance, gradient, matrix):  # noqa: PLR0915 one loop
    """f at a pose; gradient (5,) and matrix (5, 5) are filled in.

    volume (kz, ky, kx, 2), plane (2, P), image (P, 2), ctf (P,), turn (3, 3): float32; phase: s of the module
    docstring.
    """
    h = volume.shape[2] - 2
    one = np.float32(1.0)
    g00, g01, g10, g11 = turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1]
    g20, g21, g02, g12, g22 = turn[2, 0], turn[2, 1], turn[0, 2], turn[1, 2], turn[2, 2]
    ox, oy = np.float32(phase * origin[0]), np.float32(phase * origin[1])
    s = np.float32(phase)
    total = np.float32(0)
    r1 = r2 = r3 = r4 = r5 = np.float32(0)
    zxx = zxy = zyy = zx = zy = tt = vxx = vxy = vyy = mxx = mxy = myy = nx = ny = np.float32(0)
    for p in range(plane.shape[1]):
        kx, ky, c = plane[0, p], plane[1, p], ctf[p]
        x, y, z = g00 * kx + g01 * ky, g10 * kx + g11 * ky, g20 * kx + g21 * ky
        sign = -one if x < 0 else one
        x, y, z = sign * x, sign * y + np.float32(h + 1), sign * z + np.float32(h + 1)
        ix, iy, iz = int(x), int(y), int(z)
        fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
        w00, w01, w10, w11 = (one - fz) * (one - fy), (one - fz) * fy, fz * (one - fy), fz * fy
        # Values at the four edges along x, and their slopes.
        ar, ai = volume[iz, iy, ix, 0], volume[iz, iy, ix, 1]
        br, bi = volume[iz, iy + 1, ix, 0], volume[iz, iy + 1, ix, 1]
        cr, ci = volume[iz + 1, iy, ix, 0], volume[iz + 1, iy, ix, 1]
        dr, di = volume[iz + 1, iy + 1, ix, 0], volume[iz + 1, iy + 1, ix, 1]
        asr, asi = volume[iz, iy, ix + 1, 0] - ar, volume[iz, iy, ix + 1, 1] - ai
        bsr, bsi = volume[iz, iy + 1, ix + 1, 0] - br, volume[iz, iy + 1, ix + 1, 1] - bi
        csr, csi = volume[iz + 1, iy, ix + 1, 0] - cr, volume[iz + 1, iy, ix + 1, 1] - ci
        dsr, dsi = volume[iz + 1, iy + 1, ix + 1, 0] - dr, volume[iz + 1, iy + 1, ix + 1, 1] - di
        ar, ai, br, bi = ar + fx * asr, ai + fx * asi, br + fx * bsr, bi + fx * bsi
        cr, ci, dr, di = cr + fx * csr, ci + fx * csi, dr + fx * dsr, di + fx * dsi
        # A mirrored point has the conjugate value; its slope changes sign once more.
        vr = w00 * ar + w01 * br + w10 * cr + w11 * dr
        vi = sign * (w00 * ai + w01 * bi + w10 * ci + w11 * di)
        xr = sign * (w00 * asr + w01 * bsr + w10 * csr + w11 * dsr)
        xi = w00 * asi + w01 * bsi + w10 * csi + w11 * dsi
        yr = sign * ((one - fz) * (br - ar) + fz * (dr - cr))
        yi = (one - fz) * (bi - ai) + fz * (di - ci)
        zr = sign * ((one - fy) * (cr - ar) + fy * (dr - br))
        zi = (one - fy) * (ci - ai) + fy * (di - bi)
        gzr, gzi = g02 * xr + g12 * yr + g22 * zr, g02 * xi + g12 * yi + g22 * zi
        tr = kx * (g01 * xr + g11 * yr + g21 * zr) - ky * (g00 * xr + g10 * yr + g20 * zr)
        ti = kx * (g01 * xi + g11 * yi + g21 * zi) - ky * (g00 * xi + g10 * yi + g20 * zi)
        # What is left of the image, in the frame of the slice.
        angle = kx * ox + ky * oy
        co, si = math.cos(angle), math.sin(angle)
        xre, xim = co * image[p, 0] + si * image[p, 1], co * image[p, 1] - si * image[p, 0]
        er, ei = xre - c * vr, xim - c * vi
        total += xre * xre + xim * xim - er * er - ei * ei
        er, ei = c * er, c * ei
        ge, te, ve = gzr * er + gzi * ei, tr * er + ti * ei, vr * ei - vi * er
        r1 += ky * ge
        r2 -= kx * ge
        r3 += te
        r4 += kx * ve
        r5 += ky * ve
        c2 = c * c
        zz, zt, vv = c2 * (gzr * gzr + gzi * gzi), c2 * (gzr * tr + gzi * ti), c2 * (vr * vr + vi * vi)
        zv, tv = c2 * (gzi * vr - gzr * vi), c2 * (ti * vr - tr * vi)
        xx, xy, yy = kx * kx, kx * ky, ky * ky
        zxx += xx * zz
        zxy += xy * zz
        zyy += yy * zz
        zx += kx * zt
        zy += ky * zt
        tt += c2 * (tr * tr + ti * ti)
        vxx += xx * vv
        vxy += xy * vv
        vyy += yy * vv
        mxx += xx * zv
        mxy += xy * zv
        myy += yy * zv
        nx += kx * tv
        ny += ky * tv
    gradient[0], gradient[1], gradient[2], gradient[3], gradient[4] = 2 * r1, 2 * r2, 2 * r3, 2 * s * r4, 2 * s * r5
    matrix[0, 0], matrix[0, 1], matrix[0, 2], matrix[0, 3], matrix[0, 4] = zyy, -zxy, zy, s * mxy, s * myy
    matrix[1, 1], matrix[1, 2], matrix[1, 3], matrix[1, 4] = zxx, -zx, -s * mxx, -s * mxy
    matrix[2, 2], matrix[2, 3], matrix[2, 4] = tt, s * nx, s * ny
    matrix[3, 3], matrix[3, 4], matrix[4, 4] = s * s * vxx, s * s * vxy, s * s * vyy
    for a in range(5):
        for b in range(a, 5):
            matrix[a, b] *= 2
            matrix[b, a] = matrix[a, b]
    for a in range(2):
        gradient[3 + a] -= inverse_variance * origin[a]
        matrix[3 + a, 3 + a] += inverse_variance
    return total - 0.5 * inverse_variance * (origin[0] ** 2 + origin[1] ** 2)


@compiled
def solve(matrix, damping, right, step):
    """step = (matrix + damping diag(matrix))^-1 right by Cholesky's decomposition; the gain that is expected."""
    low = np.empty((5, 5))
    for a in range(5):
        for b in range(a + 1):
            value = matrix[a, b]
            if a == b:
                value = value * (1 + damping) + 1e-9
            for c in range(b):
                value -= low[a, c] * low[b, c]
            if a == b:
                low[a, a] = math.sqrt(max(value, 1e-12))
            else:
                low[a, b] = value / low[b, b]
    for a in range(5):
        value = right[a]
        for c in range(a):
            value -= low[a, c] * step[c]
        step[a] = value / low[a, a]
    gain = 0.0
    for a in range(5):
        gain += 0.5 * step[a] ** 2
    for a in range(4, -1, -1):
        value = step[a]
        for c in range(a + 1, 5):
            value -= low[c, a] * step[c]
        step[a] = value / low[a, a]
    return gain


@compiled
def turned(turn, w, out):
    """out = turn exp([w])."""
    angle = math.sqrt(w[0] ** 2 + w[1] ** 2 + w[2] ** 2)
    if angle < 1e-9:
        a, b = 1.0, 0.5
    else:
        a, b = math.sin(angle) / angle, (1 - math.cos(angle)) / angle**2
    k = np.array([[0.0, -w[2], w[1]], [w[2], 0.0, -w[0]], [-w[1], w[0], 0.0]])
    e = np.eye(3) + a * k + b * _product(k, k)
    out[:] = _product(turn, e)


@compiled
def _product(a, b):
    out = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for k in range(3):
                out[i, j] += a[i, k] * b[k, j]
    return out


@compiled
def ascend(volume, plane, images, ctfs, turns, origins, phase, inverse_variance, steps, tolerance, value, matrices):
    """Levenberg-Marquardt of m particles, in place: turns (m, 3, 3) and origins (m, 2) float64.

    images (m, P, 2) and ctfs (m, P) float32. At most ``steps`` evaluations after the first; a particle is done where
    the gain that is expected of a further step is below ``tolerance``. value (m,) and matrices (m, 5, 5) are those of
    the poses that are left, with the prior on origins. Returns the number of evaluations.
    """
    gradient, trial_gradient, step = np.empty(5), np.empty(5), np.empty(5)
    trial_matrix, trial_turn, trial_origin = np.empty((5, 5)), np.empty((3, 3)), np.empty(2)
    evaluations = 0
    for i in range(len(turns)):
        matrix = matrices[i]
        best = evaluate(
            volume, plane, images[i], ctfs[i], turns[i].astype(np.float32), origins[i], phase, inverse_variance,
            gradient, matrix,
        )  # fmt: skip
        evaluations += 1
        damping = 0.05
        for _ in range(steps):
            gain = solve(matrix, damping, gradient, step)
            if gain < tolerance:
                break
            size = math.sqrt(step[0] ** 2 + step[1] ** 2 + step[2] ** 2)
            if size > MOST_TURN:
                step *= MOST_TURN / size
            turned(turns[i], step[:3], trial_turn)
            trial_origin[0], trial_origin[1] = origins[i, 0] + step[3], origins[i, 1] + step[4]
            new = evaluate(
                volume, plane, images[i], ctfs[i], trial_turn.astype(np.float32), trial_origin, phase,
                inverse_variance, trial_gradient, trial_matrix,
            )  # fmt: skip
            evaluations += 1
            if new > best:
                best = new
                turns[i] = trial_turn
                origins[i] = trial_origin
                gradient[:] = trial_gradient
                matrix[:] = trial_matrix
                damping *= ACCEPT
            else:
                damping = max(damping, 1e-3) * REJECT
        value[i] = best
    return evaluations
