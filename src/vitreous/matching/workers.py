"""Work on tiles by several threads, each of them single-threaded inside.

Small matrix products gain nothing from being split over threads and lose much when the machine is busy; whole tiles
are independent. Results come back in the order of the tiles, so sums do not depend on the number of threads.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["at_the_same_time", "one_thread", "ordered_map"]

AHEAD = 4

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch's own threads rest: a product that several of them share may round otherwise than one does."""
    outside = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(outside)


def ordered_map(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """``map(function, items)`` by a number of threads; PyTorch's own threads rest meanwhile.

    Work is begun at most ``AHEAD`` items a thread before its result is taken, so that results do not pile up.
    """
    with one_thread():
        if threads <= 1:
            yield from map(function, items)
            return
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            begun: deque[Future[R]] = deque()
            for item in items:
                begun.append(pool.submit(function, item))
                if len(begun) > AHEAD * threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()


def at_the_same_time(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """``[function(item) for item in items]`` with a thread for every item, the caller's own for the first.

    For a few pieces of work of some milliseconds that leave PyTorch alone: starting threads for all of them, and waking
    up when they are done, would take as long again.
    """
    if len(items) == 1:
        return [function(items[0])]
    with ThreadPoolExecutor(len(items) - 1) as pool:
        others = [pool.submit(function, item) for item in items[1:]]
        return [function(items[0]), *(other.result() for other in others)]
