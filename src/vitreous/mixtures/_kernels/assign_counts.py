"""Assigning counts to components at random: the hot loop of the Gibbs samplers.

Every count at pixel x goes to component k with probability ``w_k exp(-s/2 |x - c_k|^2) / total``. Gaussians are
separable, so that a row of pixels costs one multiplication and addition per pixel and component that reaches it: the
running sums over components of four neighbouring pixels, side by side. A count is a uniform number, and its component
is the number of running sums of its pixel that are not above it: comparing with all of them, eight at a time and
without a branch, is faster than a binary search. Components are sorted by the first column that they reach, so that
those of a block of pixels are a contiguous range and the comparison is short.

Nothing is neglected beyond the reach. Component k contributes at most ``b_k = w_k exp(-reach^2/2)`` outside its window,
all together B. A count falls into this share with probability B / (near + B); then it proposes a component with
probability b_k / B, which takes it with the probability that it really has there over b_k; otherwise the count is drawn
again (rejection). So the draw is exact for any reach. Where the near total is below 100 B (lone pixels far from
everything), all components are evaluated at once.

Lengths in this module are in pixels, counted from index 0.
"""

import numpy as np

from vitreous.compiled import compiled

__all__ = ["assign_planes", "reach_in_sigmas"]

_MANY_BOUNDS = 100.0  # a near total below this multiple of the bound is not trusted
_LOG_ROUNDING = -40.0  # exp of this is lost when it is added to 1
_LANES = 4  # neighbouring pixels whose running sums are built together
_STRIDE = 16  # running sums are compared in multiples of this
_ONE_COUNT = 1 << 36  # a row's draws of a component in one number: how many, and the sum of their columns below


def reach_in_sigmas(components: int) -> float:
    """Half width of a component's window, chosen such that few counts fall beyond it."""
    return float(np.sqrt(2.0 * np.log(1000.0 * components)))


@compiled
def assign_planes(counts, log_weights, centres, precision, reach, seeds, members, first):
    """Draw the assignments of all counts of a stack of planes; returns (n,) sums of ``log sum_k w_k exp(...)``.

    counts (n, rows, columns) int32; log_weights (n, K) or (1, K); centres (n, K, 2) or (1, K, 2) x, y; seeds (n,)
    uint64. Added to: members (n, K), the counts of every component, and first (n, K, 2), the sums of their x and y. The
    logs leave out what lies outside the windows: 1% of a count's density at most, some 1e-5 usually.
    """
    log_totals = np.zeros(len(counts))
    width = int(np.floor(2.0 * reach / np.sqrt(precision))) + 1
    for plane in range(len(counts)):
        log_w = log_weights[plane if len(log_weights) > 1 else 0]
        centre = centres[plane if len(centres) > 1 else 0]
        log_totals[plane] = _assign_plane(
            counts[plane], log_w, centre, precision, reach, width, seeds[plane], members[plane], first[plane]
        )
    return log_totals


@compiled
def _assign_plane(counts, log_w, centre, precision, reach, width, state, members, first):
    rows, length = counts.shape
    top = log_w.max()
    log_w = log_w - top
    weight = np.exp(log_w)
    start, bounds = _windows(weight, centre, precision, reach, width, rows, length)
    bound = bounds[-1]
    order = _sorted_by_column(start[:, 0], width, length)
    column = start[order, 0]
    gx = _column_factors(centre[order, 0], column, precision, width, -(-length // _LANES) * _LANES)
    ends, reached_by, amplitude = _row_lists(weight[order], centre[order, 1], start[order, 1], precision, width, rows)
    running = np.empty((_LANES, -(-len(order) // _STRIDE) * _STRIDE), np.float32)
    drawn, work = np.zeros(len(order), np.int64), np.empty(len(log_w))
    log_total, total = 0.0, 0
    for y in range(rows):
        active = reached_by[ends[y] : ends[y + 1]]
        amplitudes = amplitude[ends[y] : ends[y + 1]]
        low, high = 0, 0
        for x0 in range(0, length, _LANES):
            block = counts[y, x0 : x0 + _LANES]
            if not block.any():
                continue
            low, high = _active_in_block(x0, active, column, width, low, high)
            compared = _running_sums(active[low:high], amplitudes[low:high], gx[:, x0 : x0 + _LANES], running)
            for lane in range(len(block)):
                times = block[lane]
                if times == 0:
                    continue
                total += times
                x = x0 + lane
                sums = running[lane, :compared]
                near = running[lane, high - low - 1] if high > low else np.float32(0.0)
                if near < _MANY_BOUNDS * bound:
                    log_total += times * _all_weights(x, y, log_w, centre, precision, work)
                    for _ in range(times):
                        state, u = _next(state)
                        _count(_pick(work, u), x, y, members, first)
                    continue
                log_total += times * np.log(near)
                state, far = _draw_near(times, near, near + bound, sums, active[low:high], _ONE_COUNT + x, drawn, state)
                for _ in range(far):
                    state, k = _draw_far(x, y, log_w, centre, precision, start, width, bounds, state)
                    while k < 0:
                        state, u = _next(state)
                        u *= np.float32(near + bound)
                        if u < near:
                            k = order[active[low + _place(u, sums)]]
                        else:
                            state, k = _draw_far(x, y, log_w, centre, precision, start, width, bounds, state)
                    _count(k, x, y, members, first)
        _take_over(y, active, order, drawn, members, first)
    return log_total + top * total


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
def _windows(weight, centre, precision, reach, width, rows, columns):
    """First column and row of every window, and the running sum of the b_k: (K, 2) and (K,).

    Components of negligible weight and those that do not reach the plane get no window: their start is beyond it.
    """
    k_all = len(weight)
    radius = reach / np.sqrt(precision)
    cut = np.exp(-0.5 * reach * reach)
    total = weight.sum()
    start, bounds, bound = np.empty((k_all, 2), np.int64), np.empty(k_all), 0.0
    for k in range(k_all):
        x = int(np.ceil(max(min(centre[k, 0], 1e6), -1e6) - radius))
        y = int(np.ceil(max(min(centre[k, 1], 1e6), -1e6) - radius))
        bound += cut * weight[k]
        if weight[k] * k_all < cut * total:
            bound += weight[k] * (1.0 - cut)
            x, y = columns, rows
        elif x <= -width or x >= columns or y <= -width or y >= rows:
            x, y = columns, rows
        start[k, 0], start[k, 1], bounds[k] = x, y, bound
    return start, bounds


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
def _column_factors(centre, column, precision, width, length):
    """exp(-s/2 (x - c)^2) inside the windows and 0 outside, one row per component: (len(centre), length)."""
    out = np.zeros((len(centre), length), np.float32)
    values, half_step = np.empty(width, np.float32), np.exp(-0.5 * precision)
    for i in range(len(centre)):
        _factors(centre[i], column[i], precision, half_step, values)
        for x in range(max(column[i], 0), min(column[i] + width, length)):
            out[i, x] = values[x - column[i]]
    return out


@compiled
def _row_lists(weight, centre, first_row, precision, width, rows):
    """(row_ends, components, amplitudes): which components reach a row, and w exp(-s/2 (y - c)^2) of each there.

    Row y has the entries from row_ends[y] to row_ends[y + 1], in the order in which the components are given.
    """
    many = np.zeros(rows + 1, np.int64)
    for low in first_row:
        for y in range(max(low, 0), min(low + width, rows)):
            many[y + 1] += 1
    row_ends = np.cumsum(many)
    place = row_ends[:-1].copy()
    components, amplitudes = np.empty(row_ends[-1], np.int32), np.empty(row_ends[-1], np.float32)
    values, half_step = np.empty(width, np.float32), np.exp(-0.5 * precision)
    for i in range(len(centre)):
        low, w = first_row[i], np.float32(weight[i])
        _factors(centre[i], low, precision, half_step, values)
        for y in range(max(low, 0), min(low + width, rows)):
            components[place[y]] = i
            amplitudes[place[y]] = w * values[y - low]
            place[y] += 1
    return row_ends, components, amplitudes


@compiled
def _factors(centre, low, precision, half_step, out):
    """Fill ``out`` with exp(-s/2 (j - c)^2) for a window of pixels j that begins at ``low``; half_step is exp(-s/2).

    A step of one pixel multiplies the factor by a ratio, and the ratio by a constant; going outwards from the centre
    keeps the rounding of float64 below 1e-12.
    """
    width, change = len(out), half_step * half_step
    middle = min(max(int(np.round(centre - low)), 0), width - 1)
    distance = middle + low - centre
    peak, tilt = np.exp(-0.5 * precision * distance * distance), np.exp(-precision * distance)
    value, ratio = peak, half_step * tilt
    for j in range(middle, width):
        out[j] = value
        value *= ratio
        ratio *= change
    value, ratio = peak, half_step / tilt
    for j in range(middle, -1, -1):
        out[j] = value
        value *= ratio
        ratio *= change


@compiled
def _active_in_block(x0, active, column, width, low, high):
    """The range of a row's components that reach a block of columns, from that of an earlier block."""
    while low < len(active) and column[active[low]] + width <= x0:
        low += 1
    high = max(low, high)
    while high < len(active) and column[active[high]] < x0 + _LANES:
        high += 1
    return low, high


@compiled
def _running_sums(active, amplitudes, gx, running):
    """running[lane, j] = sum of the first j + 1 components at a pixel; infinity after them.

    Returns how many must be compared: a multiple of the stride.
    """
    s0, s1, s2, s3 = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for j in range(len(active)):
        amplitude, factors = amplitudes[j], gx[active[j]]
        s0 += amplitude * factors[0]
        s1 += amplitude * factors[1]
        s2 += amplitude * factors[2]
        s3 += amplitude * factors[3]
        running[0, j], running[1, j], running[2, j], running[3, j] = s0, s1, s2, s3
    compared = -(-len(active) // _STRIDE) * _STRIDE
    running[:, len(active) : compared] = np.inf
    return compared


@compiled
def _draw_near(times, near, whole, sums, active, one, drawn, state):
    """Draw a pixel's counts: (state, how many fell into the bound). ``one`` is added to ``drawn`` for every other."""
    far = 0
    for _ in range(times):
        state, u = _next(state)
        u *= np.float32(whole)
        if u < near:
            drawn[active[_place(u, sums)]] += one
        else:
            far += 1
    return state, far


@compiled
def _place(u, sums):
    """How many running sums are not above u. Added up as numbers of one size: the compiler compares eight at a time."""
    place = np.float32(0.0)
    for j in range(len(sums)):
        place += np.float32(1.0) if sums[j] <= u else np.float32(0.0)
    return np.int64(place)


@compiled
def _take_over(y, active, order, drawn, members, first):
    """Add a row's draws to the sums of the plane, and forget them."""
    for i in active:
        many = drawn[i] // _ONE_COUNT
        k = order[i]
        members[k] += many
        first[k, 0] += drawn[i] - many * _ONE_COUNT
        first[k, 1] += many * y
        drawn[i] = 0


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
def _draw_far(x, y, log_w, centre, precision, start, width, bounds, state):
    """(state, component) for a count that fell into the bound, or -1: no component takes it."""
    state, u = _next(state)
    k = _pick(bounds, u)
    if 0 <= x - start[k, 0] < width and 0 <= y - start[k, 1] < width:
        return state, -1
    square = (x - centre[k, 0]) ** 2 + (y - centre[k, 1]) ** 2
    state, u = _next(state)
    most = bounds[k] - (bounds[k - 1] if k > 0 else 0.0)
    return state, k if u * most < np.exp(log_w[k] - 0.5 * precision * square) else -1


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
        if out[k] > top + _LOG_ROUNDING:
            total += np.exp(out[k] - top)
        out[k] = total
    return top + np.log(total)
