"""The two passes of an EM step over a grid, with Gaussians cut at a window of grid points.

A 2D image is a map of one section. Lengths are in pixels, counted from index 0; the window of a component is the grid
points within its reach along every axis. Separable factors make both passes a multiplication and an addition per grid
point and component.
"""

import numpy as np

from vitreous.compiled import compiled

__all__ = ["density_and_moments"]


@compiled
def density_and_moments(data, weights, centres, precision, reach, density, members, first):
    """Fill the density of the mixture, then the responsibilities' sums; returns ``sum data log density``.

    data (Lz, Ly, Lx) float64, none negative; weights (K,), centres (K, 3) x, y, z. Out: density like data, ``sum_k w_k
    exp(-s/2 |x - c_k|^2)``; members (K,) the share of the data in every component; first (K, 3) the sums of positions.

    Where there are data but the density is below exp(-reach^2/2) times the largest weight (grid points outside all
    windows), all components are evaluated without a cut.
    """
    shape = np.array(data.shape)[::-1]
    start, stop, factors = _windows(centres, precision, reach, shape)
    density[:] = 0.0
    for k in range(len(weights)):
        _add_component(density, weights[k], start[k], stop[k], factors[k])
    members[:] = 0.0
    first[:] = 0.0
    log_total = _ratio(
        data, density, weights, centres, precision, weights.max() * np.exp(-0.5 * reach * reach), members, first
    )
    for k in range(len(weights)):
        _moments(density, weights[k], start[k], stop[k], factors[k], members, first, k)
    return log_total


@compiled
def _windows(centres, precision, reach, shape):
    """First and one past the last grid point of every window, and the factors within: (K, 3), (K, 3), (K, 3, width)."""
    k_all = len(centres)
    radius = reach / np.sqrt(precision)
    width = int(min(np.floor(2.0 * radius) + 1, shape.max()))
    start, stop = np.empty((k_all, 3), np.int64), np.empty((k_all, 3), np.int64)
    factors = np.zeros((k_all, 3, width))
    for k in range(k_all):
        for axis in range(3):
            low = min(max(np.ceil(centres[k, axis] - radius), 0.0), shape[axis])
            high = min(max(np.floor(centres[k, axis] + radius) + 1.0, low), shape[axis])
            start[k, axis], stop[k, axis] = int(low), int(high)
            for j in range(start[k, axis], stop[k, axis]):
                factors[k, axis, j - start[k, axis]] = np.exp(-0.5 * precision * (j - centres[k, axis]) ** 2)
    return start, stop, factors


@compiled
def _add_component(density, weight, start, stop, factors):
    for z in range(start[2], stop[2]):
        for y in range(start[1], stop[1]):
            amplitude = weight * factors[2, z - start[2]] * factors[1, y - start[1]]
            row = density[z, y, start[0] : stop[0]]
            for j in range(len(row)):
                row[j] += amplitude * factors[0, j]


@compiled
def _ratio(data, density, weights, centres, precision, least, members, first):
    """Replace the density by data / density; returns ``sum data log density``."""
    total = 0.0
    work = np.empty(len(weights))
    for z in range(data.shape[0]):
        for y in range(data.shape[1]):
            for x in range(data.shape[2]):
                value = data[z, y, x]
                if value == 0.0:
                    density[z, y, x] = 0.0
                elif density[z, y, x] >= least:
                    total += value * np.log(density[z, y, x])
                    density[z, y, x] = value / density[z, y, x]
                else:
                    density[z, y, x] = 0.0
                    total += value * _share_far_point(value, x, y, z, weights, centres, precision, members, first, work)
    return total


@compiled
def _share_far_point(value, x, y, z, weights, centres, precision, members, first, work):
    """Add one grid point's data to all components by their exact responsibilities; returns the log density."""
    top = -np.inf
    for k in range(len(weights)):
        square = (x - centres[k, 0]) ** 2 + (y - centres[k, 1]) ** 2 + (z - centres[k, 2]) ** 2
        work[k] = np.log(weights[k]) - 0.5 * precision * square
        top = max(top, work[k])
    total = 0.0
    for k in range(len(weights)):
        work[k] = np.exp(work[k] - top)
        total += work[k]
    for k in range(len(weights)):
        share = value * work[k] / total
        members[k] += share
        first[k, 0] += share * x
        first[k, 1] += share * y
        first[k, 2] += share * z
    return top + np.log(total)


@compiled
def _moments(ratio, weight, start, stop, factors, members, first, k):
    sum_0, sum_x, sum_y, sum_z = 0.0, 0.0, 0.0, 0.0
    for z in range(start[2], stop[2]):
        plane_0 = 0.0
        for y in range(start[1], stop[1]):
            row = ratio[z, y, start[0] : stop[0]]
            row_0, row_x = 0.0, 0.0
            for j in range(len(row)):
                share = row[j] * factors[0, j]
                row_0 += share
                row_x += share * j
            amplitude = factors[2, z - start[2]] * factors[1, y - start[1]]
            sum_x += amplitude * row_x
            sum_y += amplitude * row_0 * y
            plane_0 += amplitude * row_0
        sum_0 += plane_0
        sum_z += plane_0 * z
    members[k] += weight * sum_0
    first[k, 0] += weight * (sum_x + start[0] * sum_0)
    first[k, 1] += weight * sum_y
    first[k, 2] += weight * sum_z
