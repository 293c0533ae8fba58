"""The passes over a cloud of points: shares for an EM step, draws for a Gibbs step."""

import numpy as np

from vitreous.compiled import compiled

__all__ = ["draw_points", "share_points"]

_NOTHING = -45.0  # log of a share that float64 does not see beside 1


@compiled
def share_points(points, times, log_weights, means, precision, members, first):
    """Add the responsibilities of all components for points (n, d) met ``times`` (n,) times each.

    log_weights (K,), means (K, d). Added to: members (K,), first (K, d) the sums of positions. Returns the sum over the
    counts of ``log sum_k w_k exp(-s/2 |x - mu_k|^2)``.
    """
    work, log_total = np.empty(len(means)), 0.0
    for i in range(len(points)):
        top = _exponents(points[i], log_weights, means, precision, work)
        total = 0.0
        for k in range(len(work)):
            below = work[k] - top
            work[k] = np.exp(below) if below > _NOTHING else 0.0
            total += work[k]
        log_total += times[i] * (top + np.log(total))
        for k in range(len(work)):
            if work[k] > 0.0:
                share = times[i] * work[k] / total
                members[k] += share
                for a in range(points.shape[1]):
                    first[k, a] += share * points[i, a]
    return log_total


@compiled
def draw_points(points, times, log_weights, means, precision, uniforms, members, first):
    """The same with every count given to one component at random; ``uniforms`` has a number in [0, 1) for each."""
    work, log_total, number = np.empty(len(means)), 0.0, 0
    for i in range(len(points)):
        top = _exponents(points[i], log_weights, means, precision, work)
        total = 0.0
        for k in range(len(work)):
            below = work[k] - top
            total += np.exp(below) if below > _NOTHING else 0.0
            work[k] = total
        log_total += times[i] * (top + np.log(total))
        for _ in range(times[i]):
            k = min(np.searchsorted(work, uniforms[number] * total, side="right"), len(work) - 1)
            number += 1
            members[k] += 1.0
            for a in range(points.shape[1]):
                first[k, a] += points[i, a]
    return log_total


@compiled
def _exponents(point, log_weights, means, precision, out):
    """Fill ``log w_k - s/2 |x - mu_k|^2``; returns the largest."""
    top = -np.inf
    for k in range(len(out)):
        square = 0.0
        for a in range(len(point)):
            square += (point[a] - means[k, a]) ** 2
        out[k] = log_weights[k] - 0.5 * precision * square
        top = max(top, out[k])
    return top
