"""Rendering sums of round Gaussians on images, and the transpose of its derivative: the hot loops.

Lengths are in pixels, counted from index 0. A component is a product of one factor per axis, kept on a window of
pixels; what lies outside is left out, in the energy as in its derivative (a step too small to be seen in acceptance).
Factors are not exponentials one by one: neighbours differ by a ratio that itself changes by exp(-s) per pixel.
"""

import numpy as np

from vitreous.compiled import compiled

__all__ = ["pull", "render", "window_width"]

_REACH = 5.0  # at the edge of a window a component has fallen to 4e-6 of its peak
_LANES = 8  # windows are multiples of this wide, for the vector units


@compiled
def render(centres, precision, length, images, start, factors):
    """Fill ``images`` (n, length, length) with sum_k exp(-s/2 |x - c_k|^2); centres (n, K, 2) x, y.

    Out as well: start (n, K, 2) int32, the first pixels of the windows; factors (n, K, 2, width), with the width of
    :func:`window_width`.
    """
    width = factors.shape[3]
    half_step = np.exp(-0.5 * precision)
    for i in range(len(centres)):
        image = images[i]
        image[:] = 0.0
        for k in range(centres.shape[1]):
            for axis in range(2):
                start[i, k, axis] = _factors(centres[i, k, axis], precision, half_step, length, factors[i, k, axis])
            gx, gy = factors[i, k, 0], factors[i, k, 1]
            x0, y0 = start[i, k, 0], start[i, k, 1]
            for y in range(width):
                row = image[y0 + y, x0 : x0 + width]
                amplitude = gy[y]
                for x in range(width):
                    row[x] += amplitude * gx[x]


@compiled
def pull(centres, residuals, start, factors, forces):
    """Fill ``forces`` (n, K, 2) with sum_x r(x) exp(-s/2 |x - c_k|^2) (x - c_k), from what :func:`render` left."""
    width = factors.shape[3]
    for i in range(len(centres)):
        for k in range(centres.shape[1]):
            gx, gy = factors[i, k, 0], factors[i, k, 1]
            x0, y0 = start[i, k, 0], start[i, k, 1]
            shift_x, shift_y = np.float32(centres[i, k, 0] - x0), np.float32(centres[i, k, 1] - y0)
            force_x, force_y = np.float32(0.0), np.float32(0.0)
            for y in range(width):
                row = residuals[i, y0 + y, x0 : x0 + width]
                plain, moment = np.float32(0.0), np.float32(0.0)
                for x in range(width):
                    value = row[x] * gx[x]
                    plain += value
                    moment += value * (np.float32(x) - shift_x)
                force_x += gy[y] * moment
                force_y += gy[y] * plain * (np.float32(y) - shift_y)
            forces[i, k, 0] = force_x
            forces[i, k, 1] = force_y


def window_width(precision: float, length: int) -> int:
    """Pixels of a window along an axis: all within reach of a centre, and no more than the image has."""
    needed = int(2.0 * _REACH / np.sqrt(precision)) + 1
    return min(-(-needed // _LANES) * _LANES, length)


@compiled
def _factors(centre, precision, half_step, length, out):
    """Fill ``out`` with exp(-s/2 (x - c)^2) for a window of pixels; returns its first pixel. half_step is exp(-s/2)."""
    width = len(out)
    reach = _REACH / np.sqrt(precision)
    if not -reach <= centre <= length - 1 + reach:
        out[:] = 0.0
        return 0
    first = int(min(max(np.floor(centre - reach) + 1, 0), length - width))
    nearest = int(min(max(np.rint(centre), first), first + width - 1))
    away = nearest - centre
    peak, tilt = np.exp(-0.5 * precision * away * away), np.exp(-precision * away)
    value, ratio = peak, half_step * tilt
    for x in range(nearest, first + width):
        out[x - first] = value
        value *= ratio
        ratio *= half_step * half_step
    value, ratio = peak, half_step / tilt
    for x in range(nearest, first - 1, -1):
        out[x - first] = value
        value *= ratio
        ratio *= half_step * half_step
    return first
