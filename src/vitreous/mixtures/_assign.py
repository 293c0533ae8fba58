"""Assigning counts to components at random: the hot loop of the Gibbs samplers.

Every count at pixel x goes to component k with probability ``w_k exp(-s/2 |x - c_k|^2) / total``. Gaussians are
separable, so that one row of pixels costs one multiplication and addition per pixel and component that reaches the row:
the running sums over components of all pixels of the row, side by side. A count is a uniform number and a binary search
in the running sum of its pixel. Components are sorted by the first column that they reach, so that those of a pixel are
a contiguous range and the search is short.

Nothing is neglected beyond the reach. What components outside their windows could contribute is at most
``B = exp(-reach^2/2) sum_k w_k``. A count falls into this share with probability B / (near + B); only then the far
components are evaluated, and the count goes to them with the probability that they really have, or is drawn again
(thinning). So the draw is exact for any reach. Where the near total is below 100 B (lone pixels far from everything),
all components are evaluated at once.

Lengths in this module are in pixels, counted from index 0.
"""

import numpy as np

from vitreous.mixtures._compile import compiled

__all__ = ["assign_planes", "reach_in_sigmas"]

_MANY_BOUNDS = 100.0  # a near total below this multiple of the bound is not trusted
_SPAN = 64  # components that the unrolled part of the search distinguishes


def reach_in_sigmas(components: int) -> float:
    """Half width of a component's window, chosen such that about one count in 2000 looks at far components."""
    return float(np.sqrt(2.0 * np.log(500.0 * components)))


@compiled
def assign_planes(columns, begin, row_ends, length, log_weights, centres, precision, reach, seeds, members, first):
    """Draw the assignments of all counts of a stack of planes; returns (n,) sums of ``log sum_k w_k exp(...)``.

    The counts are a list of their columns, sorted by plane, row and column; they start at ``begin``, row_ends (n, rows)
    is where the rows end in it, and length is the number of columns. log_weights (n, K) or (1, K); centres (n, K, 2)
    or (1, K, 2) x, y; seeds (n,) uint64. Added to: members (n, K), the counts of every component, and first (n, K, 2),
    the sums of their x and y. The logs leave out what lies outside the windows: 1% of a count's density at most, some
    1e-5 usually.
    """
    planes, rows = row_ends.shape
    log_totals = np.zeros(planes)
    width = int(np.floor(2.0 * reach / np.sqrt(precision))) + 1
    for plane in range(planes):
        log_w = log_weights[plane if len(log_weights) > 1 else 0]
        centre = centres[plane if len(centres) > 1 else 0]
        log_totals[plane] = _assign_plane(
            columns,
            begin,
            row_ends[plane],
            length,
            log_w,
            centre,
            precision,
            reach,
            width,
            seeds[plane],
            members[plane],
            first[plane],
        )
        begin = row_ends[plane, rows - 1]
    return log_totals


@compiled
def _assign_plane(columns, end, row_ends, length, log_w, centre, precision, reach, width, state, members, first):
    top = log_w.max()
    log_w = log_w - top
    start, bound = _windows(log_w, centre, precision, reach, width, len(row_ends), length)
    order = _sorted_by_column(start[:, 0], width, length)
    gx = _factors(centre[:, 0], start[:, 0], order, precision, width, length)
    gy = _factors(centre[:, 1], start[:, 1], order, precision, width, len(row_ends)).T.copy()
    weight = np.exp(log_w[order]).astype(np.float32)

    active, column = np.empty(len(order) + 1, np.int64), np.empty(len(order) + 1, np.int64)
    running = np.empty((len(order) + 1 + _SPAN, length), np.float32)
    low = np.empty(length, np.int64)
    drawn, work = np.zeros((len(order), 3), np.int64), np.empty(len(log_w))
    log_total, first_place = 0.0, end
    for y in range(len(row_ends)):
        begin, end = end, row_ends[y]
        if begin == end:
            continue
        n = _active_in_row(y, order, start, width, active, column)
        _running_sums(n, active, weight * gy[y], gx, running)
        span = _active_in_columns(n, column, width, low)
        log_total += _log_near(columns[begin:end], running[n], _MANY_BOUNDS * bound)
        for place in range(begin, end):
            x = columns[place]
            near = running[n, x]
            state, u = _next(state)
            if near < _MANY_BOUNDS * bound:
                log_total += _all_weights(x, y, log_w, centre, precision, work)
                _count(_pick(work, u), x, y, members, first)
                continue
            u *= np.float32(near + bound)
            if u < near:
                if span == _SPAN:
                    i = active[_search(u, x, low[x], running)]
                else:
                    i = active[_search_wide(u, x, low[x], span, n, running)]
                drawn[i, 0] += 1
                drawn[i, 1] += x
                drawn[i, 2] += y
                continue
            _far_weights(x, y, log_w, centre, precision, start, width, work)
            state, k = _draw_far(work, near, bound, state)
            if k < 0:
                state, u = _next(state)
                k = order[active[_search_wide(u * near, x, low[x], span, n, running)]]
            _count(k, x, y, members, first)
    for i in range(len(order)):
        members[order[i]] += drawn[i, 0]
        first[order[i], 0] += drawn[i, 1]
        first[order[i], 1] += drawn[i, 2]
    return log_total + top * (end - first_place)


@compiled
def _next(state):
    """SplitMix64 (Steele, Lea, Flood 2014): (next state, uniform float32 in [0, 1)).

    With 23 bits the product of the number and any float32 is below that float32, also after rounding.
    """
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return state, np.float32(z >> np.uint64(41)) * np.float32(2.0**-23)


@compiled
def _windows(log_w, centre, precision, reach, width, rows, columns):
    """First column and row of every window, and the bound B on what all components may have outside of them.

    Components of negligible weight and those that do not reach the plane get no window: their start is beyond it.
    """
    k_all = len(log_w)
    radius = reach / np.sqrt(precision)
    cut = np.exp(-0.5 * reach * reach)
    weight = np.exp(log_w)
    total = weight.sum()
    bound = cut * total
    start = np.empty((k_all, 2), np.int64)
    for k in range(k_all):
        x = int(np.ceil(max(min(centre[k, 0], 1e6), -1e6) - radius))
        y = int(np.ceil(max(min(centre[k, 1], 1e6), -1e6) - radius))
        if weight[k] * k_all < cut * total:
            bound += weight[k]
            x, y = columns, rows
        elif x <= -width or x >= columns or y <= -width or y >= rows:
            x, y = columns, rows
        start[k, 0], start[k, 1] = x, y
    return start, bound


@compiled
def _sorted_by_column(start, width, length):
    """Components that have a window, sorted by its first column."""
    places = np.zeros(length + width + 1, np.int64)
    for x in start:
        if x < length:
            places[x + width] += 1
    places = np.cumsum(places)
    order = np.empty(places[-1], np.int64)
    for k in range(len(start)):
        if start[k] < length:
            order[places[start[k] + width - 1]] = k
            places[start[k] + width - 1] += 1
    return order


@compiled
def _factors(centre, start, order, precision, width, length):
    """exp(-s/2 (j - c)^2) inside the windows and 0 outside, one row per component in this order: (len(order), length).

    A step of one pixel multiplies the factor by a ratio, and the ratio by a constant; going outwards from the centre
    keeps the rounding of float64 below 1e-12.
    """
    out = np.zeros((len(order), length), np.float32)
    change = np.exp(-precision)
    for i in range(len(order)):
        c, low = centre[order[i]], start[order[i]]
        high = low + width
        middle = min(max(int(np.round(c)), low), high - 1)
        distance = middle - c
        peak = np.exp(-0.5 * precision * distance * distance)
        value, ratio = peak, np.exp(-precision * (distance + 0.5))
        for j in range(middle, min(high, length)):
            if j >= 0:
                out[i, j] = value
            value *= ratio
            ratio *= change
        value, ratio = peak, np.exp(precision * (distance - 0.5))
        for j in range(middle, max(low, 0) - 1, -1):
            if j < length:
                out[i, j] = value
            value *= ratio
            ratio *= change
    return out


@compiled
def _active_in_row(y, order, start, width, active, column):
    """Which components (places in ``order``) reach row y, with their first columns: their number."""
    n = 0
    for i in range(len(order)):  # without a branch, which would be guessed wrongly every third time
        k = order[i]
        active[n], column[n] = i, start[k, 0]
        n += int(start[k, 1] <= y < start[k, 1] + width)
    return n


@compiled
def _running_sums(n, active, amplitude, gx, running):
    """running[j] = sum of the first j active components for every pixel of the row, and infinity after the last."""
    running[0, :] = 0.0
    for j in range(n):
        a, g = amplitude[active[j]], gx[active[j]]
        for x in range(running.shape[1]):
            running[j + 1, x] = running[j, x] + a * g[x]
    running[n + 1 : n + 1 + _SPAN, :] = np.inf


@compiled
def _active_in_columns(n, column, width, low):
    """Fill ``low``, the first active component that reaches each column.

    Returns the number of components that a search must distinguish: a power of two above the most at one pixel.
    """
    first, last, span = 0, 0, _SPAN
    for x in range(len(low)):
        while first < n and column[first] + width <= x:
            first += 1
        while last < n and column[last] <= x:
            last += 1
        low[x] = first
        while span <= last - first:
            span *= 2
    return span


@compiled
def _log_near(columns, near, trusted):
    """Sum over counts of log near, where that is at least ``trusted``."""
    total, last, value = 0.0, -1, 0.0
    for x in columns:
        if x != last:
            last = x
            value = np.log(near[x]) if near[x] >= trusted else 0.0
        total += value
    return total


@compiled
def _search(u, x, low, running):
    """The active component j with running[j] <= u < running[j + 1] at pixel x, among 64 from ``low`` on.

    Steps are added as numbers: branches would be guessed wrongly half of the time.
    """
    j = low
    j += 32 * np.int64(running[j + 32, x] <= u)
    j += 16 * np.int64(running[j + 16, x] <= u)
    j += 8 * np.int64(running[j + 8, x] <= u)
    j += 4 * np.int64(running[j + 4, x] <= u)
    j += 2 * np.int64(running[j + 2, x] <= u)
    j += np.int64(running[j + 1, x] <= u)
    return j


@compiled
def _search_wide(u, x, low, span, n, running):
    """The same among ``span`` components."""
    j = low
    while span > _SPAN:
        span //= 2
        j += span * np.int64(running[min(j + span, n), x] <= u)
    return _search(u, x, j, running)


@compiled
def _count(k, x, y, members, first):
    members[k] += 1
    first[k, 0] += x
    first[k, 1] += y


@compiled
def _pick(running, u):
    """The component on which a uniform number falls, from a running sum over all of them."""
    return min(np.searchsorted(running, np.float64(u) * running[-1], side="right"), len(running) - 1)


@compiled
def _far_weights(x, y, log_w, centre, precision, start, width, out):
    """Running sum over all components of what those without a window over this pixel have there."""
    total = 0.0
    for k in range(len(log_w)):
        if not (0 <= x - start[k, 0] < width and 0 <= y - start[k, 1] < width):
            square = (x - centre[k, 0]) ** 2 + (y - centre[k, 1]) ** 2
            total += np.exp(log_w[k] - 0.5 * precision * square)
        out[k] = total


@compiled
def _draw_far(running, near, bound, state):
    """(state, far component) for a count that fell into the bound, or -1: it is to be drawn among the near ones.

    The far components have F of the bound B. With probability F / B the count is theirs; else it is drawn again from
    near + F, which gives every component its share of near + F in all.
    """
    far = running[-1]
    state, u = _next(state)
    if u * bound >= far:
        state, u = _next(state)
        if u * (near + far) >= far:
            return state, -1
    state, u = _next(state)
    return state, _pick(running, u)


@compiled
def _all_weights(x, y, log_w, centre, precision, out):
    """Running sum of all components' shares of this pixel, the largest being 1, and the log of the true total."""
    top = -np.inf
    for k in range(len(log_w)):
        square = (x - centre[k, 0]) ** 2 + (y - centre[k, 1]) ** 2
        out[k] = log_w[k] - 0.5 * precision * square
        top = max(top, out[k])
    total = 0.0
    for k in range(len(log_w)):
        total += np.exp(out[k] - top)
        out[k] = total
    return top + np.log(total)
