"""Classes in factor space: K-means, hierarchical ascendant classification by Ward's criterion, and how many there are.

Points are in units of the noise along each factor. Then what a classification into K classes claims can be weighed
against what it costs, by the classification likelihood of balls of noise (Celeux and Govaert 1992, with known variance)
and the usual price of a parameter (Schwarz 1978):

    score(K) = sum_i |x_i - c_(label i)|^2 + 2 sum_k n_k log(n / n_k) + (K q + K - 1) log n,     q factors

Cutting one ball of noise in two lowers the first term by 0.64 n and raises the second by 1.39 n, so it is not cut; two
balls of the same size are told apart when they are about 2 standard deviations of the noise or more apart.

K-means is SciPy's, from beginnings spread out by k-means++. Ward's criterion joins the two classes whose union raises
the sum of squares least. More points than ``MOST_LEAVES`` are first put together by K-means into as many small groups,
which then count by their sizes (the mixed classification of Lebart et al. 1984). SciPy has no Ward of points with
weights, so the tree is made here, along chains of nearest neighbours, in the format of SciPy.
"""

from collections.abc import Callable

import numpy as np
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.vq import kmeans as lloyd
from scipy.cluster.vq import vq

from vitreous.randomness import generator

__all__ = ["MOST_CLASSES", "agreement", "choose_classes", "kmeans", "upper_tree", "ward", "ward_labels"]

MOST_CLASSES = 24  # that are tried where the number is to be found
MOST_LEAVES = 1500
SUBSET = 10_000  # points on which beginnings are compared
RESTARTS, PATIENCE = 6, 3
THRESHOLD = 1e-6  # of the mean distance by which a pass of K-means improves


def kmeans(
    points: np.ndarray, classes: int, seed: int, begin: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(label (n,) from 0, centres (K, q)), the largest class first; fewer than ``classes`` where points coincide.

    begin: labels (n,) that one of the beginnings is made from, such as those of Ward's criterion.
    """
    some = slice(None, None, max(1, len(points) // SUBSET))
    subset = points[some]
    starts = [
        _spread(subset, classes, generator(seed, "beginnings of classes", classes, index=restart))
        for restart in range(RESTARTS if classes > 1 else 0)
    ]
    starts.append(_means(subset, np.zeros(len(subset), np.int64) if begin is None else begin[some]))
    best, least = points[:1], np.inf
    for start in starts:
        centres = _refined(subset, start)
        distance = float((vq(subset, centres)[1] ** 2).sum())
        if len(centres) <= classes and distance < least:
            best, least = centres, distance
    if len(subset) < len(points):
        best = _refined(points, best)
    label, order = _by_size(vq(points, best)[0])
    return label, best[order]


def _refined(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Centres after K-means from here; SciPy takes an array of one number for a number of classes."""
    if len(centres) == 1:
        return points.mean(0, keepdims=True)
    refined: np.ndarray = lloyd(points, centres, thresh=THRESHOLD)[0]
    return refined


def _means(points: np.ndarray, label: np.ndarray) -> np.ndarray:
    used, place = np.unique(label, return_inverse=True)
    size = np.bincount(place, minlength=len(used))
    return np.stack([np.bincount(place, points[:, j]) / size for j in range(points.shape[1])], 1)


def _spread(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """k-means++ (Arthur and Vassilvitskii 2007): every further centre with odds by its squared distance."""
    chosen = [int(rng.integers(len(points)))]
    distance = ((points - points[chosen[0]]) ** 2).sum(1)
    while len(chosen) < count and distance.sum() > 0:
        chosen.append(int(rng.choice(len(points), p=distance / distance.sum())))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
    return points[chosen]


def _by_size(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(labels from 0 with the largest class first, which old label each new one was); empty classes are dropped."""
    size = np.bincount(label)
    order = np.argsort(-size, kind="stable")[: int((size > 0).sum())]
    rank = np.zeros(len(size), np.int64)
    rank[order] = np.arange(len(order))
    return rank[label], order


def choose_classes(points: np.ndarray, tree: np.ndarray, leaf: np.ndarray, seed: int) -> tuple[int, np.ndarray]:
    """(number of classes with the best score, scores of 1, 2, ... classes as far as they were tried).

    points: (n, q) in units of the noise; tree, leaf: as :func:`ward` makes them.
    """
    some = slice(None, None, max(1, len(points) // SUBSET))
    subset = points[some]
    n, q = subset.shape
    scores: list[float] = []
    for count in range(1, min(MOST_CLASSES, n) + 1):
        label, centres = kmeans(subset, count, seed, ward_labels(tree, leaf[some], count))
        size = np.bincount(label)
        within = float(((subset - centres[label]) ** 2).sum())
        found = len(centres)
        scores.append(within + 2 * float((size * np.log(n / size)).sum()) + (found * q + found - 1) * np.log(n))
        if count - int(np.argmin(scores)) > PATIENCE:
            break
    return int(np.argmin(scores)) + 1, np.array(scores)


def ward(points: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(tree (l - 1, 4) in SciPy's format, leaf (n,) of every point); l leaves, points themselves where they are few."""
    if len(points) <= MOST_LEAVES:
        return _tree(points, np.ones(len(points))), np.arange(len(points))
    subset = points[:: max(1, len(points) // SUBSET)]
    start = _spread(subset, MOST_LEAVES, generator(seed, "leaves of the tree"))
    centres, _ = lloyd(subset, start, thresh=1e-3)
    leaf = vq(points, centres)[0]
    leaf = np.unique(leaf, return_inverse=True)[1]
    return _tree(_means(points, leaf), np.bincount(leaf)), leaf


def _tree(points: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Ward's tree of points (l, q) with weights, by chains of nearest neighbours (Murtagh 1983)."""
    count = len(points)
    centre, size, alive = points.astype(np.float64).copy(), weight.astype(np.float64).copy(), np.ones(count, bool)
    joins: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(joins) < count - 1:
        if not chain:
            chain.append(int(alive.argmax()))
        while True:
            tip = chain[-1]
            rise = size * size[tip] / (size + size[tip]) * ((centre - centre[tip]) ** 2).sum(1)
            rise[~alive] = np.inf
            rise[tip] = np.inf
            nearest = int(rise.argmin())
            if len(chain) > 1 and rise[chain[-2]] <= rise[nearest]:
                nearest = chain[-2]
                break
            chain.append(nearest)
        del chain[-2:]
        joins.append((float(np.sqrt(2 * rise[nearest])), tip, nearest))
        total = size[tip] + size[nearest]
        centre[nearest] = (size[tip] * centre[tip] + size[nearest] * centre[nearest]) / total
        size[nearest], alive[tip] = total, False
    return _in_order(joins)


def _in_order(joins: list[tuple[float, int, int]]) -> np.ndarray:
    """Joins (height, one member, another member) by height, numbered as SciPy does, with numbers of leaves."""
    count = len(joins) + 1
    parent, size = np.arange(2 * count - 1), np.ones(2 * count - 1)

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    tree = np.zeros((count - 1, 4))
    for row, (height, one, other) in enumerate(sorted(joins, key=lambda join: join[0])):
        a, b = sorted((root(one), root(other)))
        size[count + row] = size[a] + size[b]
        tree[row] = a, b, height, size[count + row]
        parent[a] = parent[b] = count + row
    return tree


def ward_labels(tree: np.ndarray, leaf: np.ndarray, classes: int) -> np.ndarray:
    """Label (n,) of every point when the tree is cut into at most ``classes`` classes, the largest first."""
    if classes == 1 or len(tree) == 0:
        return np.zeros(len(leaf), np.int64)
    cut = fcluster(tree, t=min(classes, len(tree) + 1), criterion="maxclust") - 1
    return _by_size(cut[leaf])[0]


def upper_tree(tree: np.ndarray, leaf: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The upper part of a tree: (b - 1, 4) joins of at most ``most`` branches, and the branch (n,) of every point."""
    leaves = len(tree) + 1
    branches = min(most, leaves)
    first = 2 * leaves - branches  # nodes from here on are joins of the upper part
    top = np.arange(2 * leaves - 1)
    for row in reversed(range(leaves - branches)):
        top[tree[row, :2].astype(int)] = top[leaves + row]
    upper = tree[leaves - branches :].copy()
    children = upper[:, :2].astype(int)
    place = np.full(2 * leaves - 1, -1)
    place[first:] = branches + np.arange(branches - 1)
    ends = np.unique(children[children < first]) if branches > 1 else np.unique(top[:leaves])
    place[ends] = np.arange(len(ends))
    size = np.ones(2 * branches - 1)
    for row, pair in enumerate(np.sort(place[children], axis=1)):
        size[branches + row] = size[pair].sum()
        upper[row, :2], upper[row, 3] = pair, size[branches + row]
    return upper, place[top[leaf]]


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Adjusted Rand index of two classifications (n,): 1 for the same, about 0 for unrelated ones.

    >>> agreement(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2]))
    1.0
    """
    table = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
    np.add.at(table, (a, b), 1)
    pairs: Callable[[np.ndarray], float] = lambda x: float((x * (x - 1) / 2).sum())  # noqa: E731
    both, one, other = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    every = len(a) * (len(a) - 1) / 2
    expected, most = one * other / max(every, 1.0), (one + other) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)
