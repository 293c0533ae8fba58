"""Three ways to say how well n images are aligned, which are one.

With S the sum of the aligned images x_i and m_i = (S - x_i) / (n - 1) the average of the others,

    pairs  = sum_{i < j} |x_i - x_j|^2        = n sum |x_i|^2 - |S|^2
    others = sum_i |x_i - m_i|^2              = n / (n - 1)^2 (n sum |x_i|^2 - |S|^2)
    norm   = |S|^2

and turning and shifting an image leaves |x_i|^2 as it is, so the three are best for the same alignment. Only the second
names an algorithm: refine every image against the average of the others (SCIENCE.md section 2, seed 000).
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["AlignmentCriteria", "alignment_criteria"]


@dataclass(frozen=True, kw_only=True)
class AlignmentCriteria:
    """pairs, others: sums of squared distances, the smaller the better; norm: of the sum, the larger the better."""

    pairs: float
    others: float
    norm: float


def alignment_criteria(images: np.ndarray) -> AlignmentCriteria:
    """The criteria of aligned images (n, ...), each from its own definition.

    Raises ValueError for fewer than two images.
    """
    x = np.asarray(images, np.float64).reshape(len(images), -1)
    n = len(x)
    if n < 2:
        raise ValueError(f"images: expected at least 2, found {n}")
    total = x.sum(0)
    pairs = sum(float(np.square(x[i + 1 :] - x[i]).sum()) for i in range(n - 1))
    others = float(np.square(x - (total - x) / (n - 1)).sum())
    return AlignmentCriteria(pairs=pairs, others=others, norm=float(total @ total))
