"""The median of 3 x 3 pixels by minima and maxima, without a sort (Smith 1996)."""

import numpy as np

from vitreous.compiled import compiled

__all__ = ["median_of_nine"]


@compiled
def median_of_nine(data):
    """Median of every pixel and its eight neighbours; float32 (rows, columns), at the edge a pixel counts twice.

    Three neighbours in a column are sorted once for the three pixels beside each other that use them. The median of
    nine is the median of the highest of the lows, the middle of the middles and the lowest of the highs.
    """
    rows, columns = data.shape
    found = np.empty((rows, columns), np.float32)
    low, middle, high = (
        np.empty(columns + 2, np.float32),
        np.empty(columns + 2, np.float32),
        np.empty(columns + 2, np.float32),
    )
    for y in range(rows):
        above, here, below = data[max(y - 1, 0)], data[y], data[min(y + 1, rows - 1)]
        for x in range(columns):
            a, b, c = above[x], here[x], below[x]
            small, large = min(a, b), max(a, b)
            low[x + 1], high[x + 1] = min(small, c), max(large, c)
            middle[x + 1] = max(small, min(large, c))
        for line in (low, middle, high):
            line[0], line[columns + 1] = line[1], line[columns]
        for x in range(columns):
            a = max(low[x], max(low[x + 1], low[x + 2]))  # noqa: PLW3301 two at a time become vector instructions
            small, large = min(middle[x], middle[x + 1]), max(middle[x], middle[x + 1])
            b = max(small, min(large, middle[x + 2]))
            c = min(high[x], min(high[x + 1], high[x + 2]))  # noqa: PLW3301
            small, large = min(a, b), max(a, b)
            found[y, x] = max(small, min(large, c))
    return found
