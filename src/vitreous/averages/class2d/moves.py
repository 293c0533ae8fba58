"""Classes that move: one that has nearly died, or that another class replaces, takes half of the largest one."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch

from vitreous.matching import KEEP_NATS, Outcome, Sums, stacked

__all__ = ["dying", "move_classes", "redundant"]

RESCUE_BELOW = 0.1  # of the average class size
REDUNDANT_BELOW = 0.6  # of the median cost of doing without a class
UNSURE_NATS = 8.0  # log odds below which a particle fits another class nearly as well
MOVES_PER_CLASS = 0.06  # at most, in one pass


def redundant(outcome: Outcome, n_classes: int) -> list[int]:
    """Classes that would be missed least: their particles fit another class nearly as well.

    The cost of doing without a class is the sum over its particles of the log odds between it and the next best
    class. It must be small compared with other classes, and the odds of a typical particle must be small too: a rare
    view that nothing else explains stays, however few its particles; one of two classes of the same view may go.
    """
    floor = np.exp(-KEEP_NATS)
    odds = np.log(np.maximum(outcome.class_probability, floor) / np.maximum(outcome.next_probability, floor))
    cost = np.bincount(outcome.reference, weights=np.maximum(odds, 0), minlength=n_classes)
    typical = cost / np.maximum(np.bincount(outcome.reference, minlength=n_classes), 1)
    most = round(MOVES_PER_CLASS * n_classes)
    cheap = (cost < REDUNDANT_BELOW * np.median(cost)) & (typical < UNSURE_NATS)
    return [int(k) for k in np.argsort(cost, kind="stable") if cheap[k]][:most]


def dying(parts: Sequence[Sums]) -> list[int]:
    """Classes with less than a tenth of the average number of members."""
    members = stacked(parts, "members").sum(0)
    return [int(k) for k in (members < RESCUE_BELOW * members.mean()).nonzero().ravel()]


def move_classes(parts: tuple[Sums, ...], free: list[int]) -> tuple[Sums, ...]:
    """Give every class in ``free`` half of the folds of one of the largest classes.

    The two then differ by the noise of their halves only, and the next passes let them part if their particles do.
    """
    members = stacked(parts, "members").sum(0)
    largest = [k for k in torch.argsort(members, descending=True, stable=True).tolist() if k not in free]
    pairs = list(zip(free, largest, strict=False))

    def moved(fold: int, values: torch.Tensor) -> torch.Tensor:
        out = values.clone()
        for empty, full in pairs:
            if fold % 4 >= 2:  # each half keeps even and odd folds, for its signal power
                out[empty], out[full] = out[full].clone(), 0
            else:
                out[empty] = 0
        return out

    return tuple(
        replace(part, **{f.name: moved(fold, getattr(part, f.name)) for f in fields(part)})
        for fold, part in enumerate(parts)
    )
