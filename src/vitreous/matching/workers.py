"""Work on tiles by several threads, each of them single-threaded inside.

Small matrix products gain nothing from being split over threads and lose much when the machine is busy; whole tiles
are independent. Results come back in the order of the tiles, so sums do not depend on the number of threads.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["ordered_map"]

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """``map(function, items)`` by a number of threads; PyTorch's own threads rest meanwhile."""
    outside = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if threads <= 1:
            yield from map(function, items)
        else:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                yield from pool.map(function, items)
    finally:
        torch.set_num_threads(outside)
