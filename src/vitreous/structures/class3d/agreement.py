"""Do two classifications agree: the adjusted Rand index, and classes that go together."""

import numpy as np
from scipy.optimize import linear_sum_assignment

__all__ = ["adjusted_rand_index", "together"]


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


def together(common: np.ndarray) -> np.ndarray:
    """For every row of a table (K, K) of what classes have in common its column, one to one, the most in all."""
    return np.asarray(linear_sum_assignment(-common)[1])
