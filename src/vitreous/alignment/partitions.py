"""Classes of several classifications of the same images, matched by the members that they have in common.

Run r puts image i into class l_r(i). A match is one class of every run, (k_1 .. k_m), and its common members are the
images with exactly these labels: so there are no more candidates than distinct rows of the label table. Chosen are
matches that share no class, such that

    sum of common members -> max.

For two runs this is an assignment (Hungarian algorithm). For more it is the m-dimensional assignment problem, solved by
branch and bound over its linear relaxation, whose bound says how far the result may be from the best. Candidates below
a least number of common members are left out first, and what is left falls into parts that share no class, each solved
by itself. A part with more than 2,000 candidates is beyond exact search: there the largest come first, and are
exchanged as long as that gains members; its bound is the least, over the runs, of what its classes hold at most.

Sources: SCIENCE.md section 4; Yang et al., Structure 20 (2012) 237-247; Kuhn, Naval Res. Logist. Q. 2 (1955) 83-97;
Huangfu and Hall, Math. Program. Comput. 10 (2018) 119-142 (HiGHS, by way of SciPy).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

__all__ = ["MatchedClasses", "match_classes"]

EXACT_UP_TO = 2000  # candidates of a part
NODES = 500  # of the search tree of one part, after which the best match so far is taken


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchedClasses:
    """M matches of m runs.

    classes: (M, m) int64, the classes of every match, those with most common members first; common: (M,) their number;
    label: (n,) int64 of every image, the match that it is a common member of, or -1; bound: no choice of matches has
    more common members in all.
    """

    classes: np.ndarray
    common: np.ndarray
    label: np.ndarray
    bound: float

    @property
    def reproducible_share(self) -> float:
        """Of the images: those that all runs put into matched classes."""
        return float((self.label >= 0).mean())


def match_classes(labels: np.ndarray, *, least: int = 1) -> MatchedClasses:
    """Match the classes of m >= 2 runs; labels: (m, n) from 0, -1 where a run has left an image out.

    least: common members that a match has to have. Raises ValueError for fewer than two runs.
    """
    labels = np.asarray(labels, np.int64)
    if labels.ndim != 2 or len(labels) < 2:
        raise ValueError(f"labels: expected (runs, images) of at least 2 runs, found {labels.shape}")
    inside = np.flatnonzero((labels >= 0).all(0))
    tuples, row, count = np.unique(labels[:, inside].T, axis=0, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(count >= least)
    chosen, bound = _chosen(tuples[kept], count[kept])
    order = np.argsort(-count[kept][chosen], kind="stable")
    picked = kept[chosen[order]]
    match_of = np.full(len(tuples), -1)
    match_of[picked] = np.arange(len(picked))
    label = np.full(labels.shape[1], -1)
    label[inside] = match_of[row.ravel()] if len(inside) else -1
    return MatchedClasses(classes=tuples[picked], common=count[picked], label=label, bound=bound)


def _chosen(tuples: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, float]:
    """Which candidates (c, m) with their numbers of members (c,) are chosen, and the bound."""
    if len(tuples) == 0:
        return np.zeros(0, np.int64), 0.0
    if tuples.shape[1] == 2:
        return _pairs(tuples, count)
    chosen, bound = [], 0.0
    used = _incidence(tuples)
    parts, part = connected_components(used.T @ used, directed=False)
    for mine in np.split(np.argsort(part, kind="stable"), np.cumsum(np.bincount(part, minlength=parts))[:-1]):
        own, own_bound = _part(tuples[mine], count[mine])
        chosen.append(mine[own])
        bound += own_bound
    return np.sort(np.concatenate(chosen)), bound


def _pairs(tuples: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, float]:
    """Two runs."""
    table = np.full(tuples.max(0) + 1, -1)
    table[tuples[:, 0], tuples[:, 1]] = np.arange(len(tuples))
    gain = np.where(table >= 0, count[table], 0)
    found = table[linear_sum_assignment(gain, maximize=True)]
    found = np.sort(found[found >= 0])
    return found, float(count[found].sum())


def _part(tuples: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, float]:
    """More runs: candidates that hang together."""
    if len(tuples) == 1:
        return np.zeros(1, np.int64), float(count[0])
    swapped = _exchanged(tuples, count, _greedy(tuples, count))
    if len(tuples) > EXACT_UP_TO:
        return swapped, _held_at_most(tuples, count)
    used = _incidence(tuples)
    found = milp(
        -count.astype(float),
        constraints=LinearConstraint(used, -np.inf, 1),
        integrality=np.ones(len(tuples)),
        bounds=Bounds(0, 1),
        options={"node_limit": NODES, "mip_rel_gap": 0.0},
    )
    if found.x is None:
        return swapped, _held_at_most(tuples, count)
    chosen = np.flatnonzero(found.x > 0.5)
    best = chosen if count[chosen].sum() >= count[swapped].sum() else swapped
    return best, float(np.floor(-found.mip_dual_bound + 1e-6))


def _held_at_most(tuples: np.ndarray, count: np.ndarray) -> float:
    """A bound: every class of a run is in one match at most."""
    bounds = []
    for run in tuples.T:
        most = np.zeros(int(run.max()) + 1)
        np.maximum.at(most, run, count)
        bounds.append(float(most.sum()))
    return min(bounds)


def _exchanged(tuples: np.ndarray, count: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Candidates that have more members than all those chosen that they collide with take their places."""
    runs = range(tuples.shape[1])
    holder = [dict(zip(tuples[chosen, r].tolist(), chosen.tolist(), strict=True)) for r in runs]
    rows, sizes = tuples.tolist(), count.tolist()
    changed = True
    while changed:
        changed = False
        for i, classes in enumerate(rows):
            against = {holder[r][k] for r, k in enumerate(classes) if k in holder[r]}
            if i not in against and sizes[i] > sum(sizes[j] for j in against):
                for j in against:
                    for r, k in enumerate(rows[j]):
                        del holder[r][k]
                for r, k in enumerate(classes):
                    holder[r][k] = i
                changed = True
    return np.sort(np.array(list(holder[0].values()), np.int64))


def _greedy(tuples: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The largest candidate, then the largest that shares no class with those taken, and so on."""
    taken: list[set[int]] = [set() for _ in range(tuples.shape[1])]
    chosen = []
    for i in np.argsort(-count, kind="stable").tolist():
        classes = tuples[i].tolist()
        if not any(k in own for k, own in zip(classes, taken, strict=True)):
            chosen.append(i)
            for k, own in zip(classes, taken, strict=True):
                own.add(k)
    return np.sort(np.array(chosen, np.int64))


def _incidence(tuples: np.ndarray) -> csr_array:
    """(classes of all runs, candidates): 1 where a candidate uses a class."""
    c, m = tuples.shape
    sizes = tuples.max(0) + 1
    row = tuples + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    ones = np.ones(c * m)
    return coo_array((ones, (row.ravel(), np.repeat(np.arange(c), m))), shape=(int(sizes.sum()), c)).tocsr()
