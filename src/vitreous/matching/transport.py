"""Inner loops of the balanced assignment (:mod:`vitreous.matching.assign`)."""

import numpy as np

from vitreous.compiled import compiled

__all__ = ["move_to_balance"]


@compiled
def _cheapest_moves(table, classes, column, members, count, k, gone, cost, who, stale):
    """Of class k: the least loss ``s(i, k) - s(i, l)`` for every class l, and the member with it.

    Only where that was image ``gone``, which has left the class. stale: (K,) bool, all False, to work in.
    """
    n_stale = 0
    for target in range(len(count)):
        if who[k, target] == gone:
            stale[target] = True
            n_stale += 1
            cost[k, target] = np.inf
            who[k, target] = -1
    if n_stale == 0:
        return
    for place in range(count[k]):
        i = members[k, place]
        own = np.float64(table[i, column[i]])
        for j in range(table.shape[1]):
            target = classes[i, j]
            if stale[target] and target != k:
                loss = own - np.float64(table[i, j])
                if loss < cost[k, target]:
                    cost[k, target] = loss
                    who[k, target] = i
    stale[:] = False


@compiled
def _shortest_path(cost, prices, excess, extra, spare_left, distance, before, done):
    """Dijkstra from the classes with too many members over reduced costs to a node with room: that node, or -1.

    Nodes 0 .. K - 1 are the classes, node K the places that classes share. Reduced cost of a step k -> l:
    ``cost[k, l] - p_k + p_l``, never negative but for rounding.
    """
    n_classes = len(excess)
    for k in range(n_classes + 1):
        distance[k] = 0.0 if k < n_classes and excess[k] > 0 else np.inf
        before[k] = -1
        done[k] = False
    while True:
        here = -1
        for k in range(n_classes + 1):
            if not done[k] and distance[k] < np.inf and (here < 0 or distance[k] < distance[here]):
                here = k
        if here < 0:
            return -1
        done[here] = True
        if (here == n_classes and spare_left > 0) or (here < n_classes and excess[here] < 0):
            return here
        for other in range(n_classes + 1):
            if done[other]:
                continue
            if here == n_classes:
                step = 0.0 if extra[other] else np.inf
            elif other == n_classes:
                step = np.inf if extra[here] else 0.0
            else:
                step = cost[here, other]
            if step == np.inf:
                continue
            reached = distance[here] + max(step - prices[here] + prices[other], 0.0)
            if reached < distance[other]:
                distance[other] = reached
                before[other] = here


@compiled
def _move(table, classes, column, members, place, count, cost, who, i, k, other):
    """Image i leaves class k for another one."""
    last = members[k, count[k] - 1]
    members[k, place[i]] = last
    place[last] = place[i]
    count[k] -= 1
    members[other, count[other]] = i
    place[i] = count[other]
    count[other] += 1
    for j in range(table.shape[1]):
        if classes[i, j] == other:
            column[i] = j
    own = np.float64(table[i, column[i]])
    for j in range(table.shape[1]):
        target = classes[i, j]
        loss = own - np.float64(table[i, j])
        if target != other and loss < cost[other, target]:
            cost[other, target] = loss
            who[other, target] = i


@compiled
def _balance(table, classes, column, prices, least, spare, room):
    n, n_classes = len(table), len(least)
    members = np.empty((n_classes, room), np.int64)
    place, count = np.empty(n, np.int64), np.zeros(n_classes, np.int64)
    for i in range(n):
        k = classes[i, column[i]]
        place[i] = count[k]
        members[k, count[k]] = i
        count[k] += 1
    cost, who = np.empty((n_classes, n_classes)), np.full((n_classes, n_classes), -1, np.int64)
    stale = np.zeros(n_classes, np.bool_)
    for k in range(n_classes):
        _cheapest_moves(table, classes, column, members, count, k, -1, cost, who, stale)
    extra = np.zeros(n_classes, np.bool_)
    excess = count - least
    node_prices = np.empty(n_classes + 1)
    node_prices[:n_classes] = prices
    node_prices[n_classes] = prices.max()
    distance, before, done = (
        np.empty(n_classes + 1),
        np.empty(n_classes + 1, np.int64),
        np.empty(n_classes + 1, np.bool_),
    )
    moved, spare_left = 0, spare
    while excess.max() > 0:
        end = _shortest_path(cost, node_prices, excess, extra, spare_left, distance, before, done)
        if end < 0:
            return -1
        for k in range(n_classes + 1):
            node_prices[k] -= min(distance[k], distance[end])
        if end == n_classes:
            spare_left -= 1
        else:
            excess[end] += 1
        other = end
        while before[other] >= 0:
            k = before[other]
            if other == n_classes:
                extra[k] = True
            elif k == n_classes:
                extra[other] = False
            else:
                i = who[k, other]
                _move(table, classes, column, members, place, count, cost, who, i, k, other)
                _cheapest_moves(table, classes, column, members, count, k, i, cost, who, stale)
                moved += 1
            other = k
        excess[other] -= 1
    prices[:] = node_prices[:n_classes]
    return moved


def move_to_balance(
    table: np.ndarray, classes: np.ndarray, column: np.ndarray, prices: np.ndarray, least: np.ndarray, spare: int
) -> int:
    """Move images until class k has ``least[k]`` members, and ``spare`` classes one more; the number of moves.

    table: (n, C); classes: (n, C), the class of every column; column: (n,) int64, of the preferred classes at the
    prices (K,) float64: the last two are changed in place. -1 where the classes of the images do not allow it.
    """
    most = int(np.bincount(classes[np.arange(len(column)), column], minlength=len(least)).max(initial=0))
    room = max(most, int(least.max(initial=0)) + 1) + 1
    return int(_balance(table, classes, column, prices, least, spare, room))
