"""Assignment of all images at once to classes of given sizes: equal-size K-means, ISAC.

The transport problem

    max sum_i s(i, l_i)      subject to      #{i : l_i = k} = n_k

has one dual price per class. For any prices p,

    D(p) = sum_i max_k (s(i, k) - p_k) + sum_k n_k p_k

is an upper bound, and it is reached where every image has the class that it prefers at these prices. So prices that
nearly balance the classes come first, from the entropic (Sinkhorn) dual at a falling temperature; every image takes
the class that it prefers. What is out of balance then moves along shortest paths over the classes (a step from class k
to l costs the least ``s(i, k) - s(i, l)`` of the members i of k), and prices change such that every image goes on
preferring its class. The end is optimal; the gap ``D(p) - sum`` is returned as the certificate.

Where sizes may differ by one, which classes have one more is part of the problem: K classes share r = n mod K places
more, which is one further node of the graph, and the bound is that of the r dearest classes.

Where there are many classes an image may have scores for a few of them only. Nothing changes but that it prefers, and
moves to, no other; the work then goes with the number of these.

Sources: Ahuja, Magnanti and Orlin, Network Flows (1993), section 9.7; Cuturi, NeurIPS 2013 (entropic transport).
"""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching.transport import move_to_balance

__all__ = ["Balanced", "balanced"]

SAMPLE = 8192  # images from which the first prices are made
STEPS, STEPS_ALL = 12, 3  # price steps per temperature on the sample, and on all images at the last temperature
COOLING, COLDEST = 0.5, 1e-3  # of the temperature, whose unit is the spread of an image's scores


@dataclass(frozen=True, kw_only=True, eq=False)
class Balanced:
    """An assignment with classes of given sizes, and how far it may be from the best.

    labels: (n,) int64; column: (n,) int64, where the scores have these classes; prices: (K,) of the classes; total: sum
    of the scores; gap: no assignment has more than
    ``total + gap`` (zero but for rounding); moved: images that had to leave the class that the first prices gave.
    """

    labels: np.ndarray
    column: np.ndarray
    prices: np.ndarray
    total: float
    gap: float
    moved: int


def balanced(
    scores: np.ndarray,
    sizes: np.ndarray | None = None,
    *,
    among: np.ndarray | None = None,
    classes: int | None = None,
) -> Balanced:
    """Assign n images to K classes so that the sum of the scores (n, K) is largest.

    sizes: (K,) members of every class; None: equal ones that differ by one at most. among: (n, C) int, the classes that
    the scores (n, C) of every image are for, none twice, and it gets none of the others; ``classes`` is then K. Raises
    ValueError for scores that are not finite, for sizes that do not add up to n, and where no assignment among these
    classes has these sizes.
    """
    table = np.ascontiguousarray(scores, np.float32 if scores.dtype == np.float32 else np.float64)
    n, n_classes = len(table), table.shape[1] if classes is None else classes
    if not np.isfinite(table).all():
        i, k = np.argwhere(~np.isfinite(table))[0]
        raise ValueError(f"scores: expected finite numbers, found {table[i, k]} for image {i}, class {k} (from 0)")
    least, spare = np.full(n_classes, n // n_classes), n % n_classes
    if sizes is not None:
        least, spare = np.asarray(sizes, np.int64), 0
        if least.shape != (n_classes,) or (least < 0).any() or least.sum() != n:
            raise ValueError(f"sizes: expected {n_classes} numbers that add up to {n}, found a sum of {least.sum()}")
    everywhere = np.broadcast_to(np.arange(n_classes, dtype=np.int32), (n, n_classes))
    among = None if among is None else np.ascontiguousarray(among, np.int32)
    allowed = everywhere if among is None else among
    prices = _first_prices(table, least + spare / n_classes, among)
    column = _preferred(table, prices) if among is None else (table - prices[among]).argmax(1)
    moved = move_to_balance(table, allowed, column, prices, least.astype(np.int64), spare)
    if moved < 0:
        raise ValueError("among: no assignment to the classes that images may have gives classes of these sizes")
    rows = np.arange(n)
    total = float(table[rows, column].sum(dtype=np.float64))
    return Balanced(
        labels=allowed[rows, column].astype(np.int64),
        column=column,
        prices=prices,
        total=total,
        gap=max(_bound(table, prices, least, spare, among) - total, 0.0),
        moved=moved,
    )


def _first_prices(table: np.ndarray, sizes: np.ndarray, among: np.ndarray | None) -> np.ndarray:
    """Prices (K,) float64 that nearly balance the classes: p += T log(wanted share / expected share), T falling."""
    scores, n = torch.from_numpy(table), len(table)
    classes = None if among is None else torch.from_numpy(among).long()
    share = torch.from_numpy(np.maximum(sizes, 0.5) / n).to(scores.dtype)
    places = torch.linspace(0, max(n - 1, 0), min(n, SAMPLE)).long()
    sample, among_sample = scores[places], None if classes is None else classes[places]
    spread = float(sample.std(1, correction=0).mean()) if n else 0.0
    prices, temperature = torch.zeros_like(share), spread
    if spread == 0.0:
        return prices.double().numpy()

    def step(of: torch.Tensor, among: torch.Tensor | None, prices: torch.Tensor) -> torch.Tensor:
        found = torch.zeros_like(share)
        for i in range(0, len(of), SAMPLE):
            part = slice(i, i + SAMPLE)
            if among is None:
                found += torch.softmax((of[part] - prices) / temperature, 1).sum(0)
            else:
                wanted = torch.softmax((of[part] - prices[among[part]]) / temperature, 1)
                found.index_add_(0, among[part].ravel(), wanted.ravel())
        return prices + temperature * torch.log((found / len(of)).clamp_min(1e-9) / share)

    while temperature > COLDEST * spread:
        for _ in range(STEPS):
            prices = step(sample, among_sample, prices)
        temperature *= COOLING
    if len(sample) < n:
        for _ in range(STEPS_ALL):
            prices = step(scores, classes, prices)
    return prices.double().numpy()


def _preferred(table: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """(n,) int64 class with the largest score less its price; among equals, neighbouring images take turns."""
    labels = np.empty(len(table), np.int64)
    for start in range(0, len(table), SAMPLE):
        value = table[start : start + SAMPLE] - prices
        labels[start : start + SAMPLE] = value.argmax(1)
        top = value == value.max(1, keepdims=True)
        tied = np.flatnonzero(top.sum(1) > 1)
        turn = (np.arange(top.shape[1]) - (start + tied)[:, None]) % top.shape[1]
        labels[start + tied] = np.where(top[tied], turn, top.shape[1]).argmin(1)
    return labels


def _bound(
    table: np.ndarray, prices: np.ndarray, least: np.ndarray, spare: int, among: np.ndarray | None = None
) -> float:
    """The dual D(p) of the module docstring."""
    best = 0.0
    for i in range(0, len(table), SAMPLE):
        part = slice(i, i + SAMPLE)
        best += float((table[part] - (prices if among is None else prices[among[part]])).max(1).sum())
    dearest = np.sort(prices)[len(prices) - spare :].sum()
    return best + float(least @ prices) + float(dearest)
