"""Do two classifications agree: the adjusted Rand index, and classes that go together."""

import numpy as np
from scipy.optimize import linear_sum_assignment

__all__ = ["adjusted_rand_index", "not_told_apart", "together"]


def adjusted_rand_index(a: np.ndarray, b: np.ndarray) -> float:
    """Of labels (n,) from 0 (Hubert and Arabie 1985): 1 where they are the same, 0 on average by chance.

    0 where neither tells any two items apart: there is nothing to agree on.
    """
    table = np.zeros((int(a.max(initial=0)) + 1, int(b.max(initial=0)) + 1))
    np.add.at(table, (a, b), 1)

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, of_a, of_b, every = pairs(table), pairs(table.sum(1)), pairs(table.sum(0)), len(a) * (len(a) - 1) / 2
    expected = of_a * of_b / max(every, 1)
    most = (of_a + of_b) / 2
    return 0.0 if most - expected <= 0 else (both - expected) / (most - expected)


def not_told_apart(
    own: np.ndarray, other: np.ndarray, classes: int, least: float, fewest: int
) -> list[tuple[int, int]]:
    """Pairs of classes between which two labellings (n,) of the same items agree by less than ``least``.

    Only items that are in one of the two classes by both labellings are asked; pairs of which either labelling has
    fewer than ``fewest`` items in a class are left out.
    """
    pairs = []
    for a in range(classes):
        for b in range(a + 1, classes):
            asked = np.isin(own, (a, b)) & np.isin(other, (a, b))
            mine, theirs = own[asked] == b, other[asked] == b
            sizes = np.concatenate([np.bincount(labels, minlength=2) for labels in (mine, theirs)])
            index = adjusted_rand_index(mine.astype(np.int64), theirs.astype(np.int64))
            if sizes.min() >= fewest and index < least:
                pairs.append((a, b))
    return pairs


def together(common: np.ndarray) -> np.ndarray:
    """For every row of a table (K, K) of what classes have in common its column, one to one, the most in all."""
    return np.asarray(linear_sum_assignment(-common)[1])
