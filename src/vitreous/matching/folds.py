"""Folds: particles dealt at random, the statistics that each fold gives, and sums over some of them.

The statistics of a fold are a frozen dataclass of tensors that add up, such as :class:`vitreous.matching.Sums`; those
of all folds are a tuple of them. References that leave a fold out are sums over the others, and sums over even and over
odd folds are two half-sets whose noise is independent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch

from vitreous.randomness import uniforms

__all__ = ["Against", "Dealt", "deal", "left_out", "overwritten", "own_half", "padded", "replaced", "stacked", "total"]

S = TypeVar("S")
Against = Callable[[Sequence[S], int | None], S]


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """Who takes part in what: the folds, and particles that are held out and meet the references only at the end."""

    folds: tuple[np.ndarray, ...]
    held_out: np.ndarray

    @property
    def groups(self) -> list[tuple[int | None, np.ndarray]]:
        """(fold to leave out, particles): the folds, then those held out, for which nothing has to be left out."""
        return [*enumerate(self.folds), (None, self.held_out)]


def deal(good: np.ndarray, folds: int, seed: int, *, held_out: int = 0) -> Dealt:
    """Deal particles (indices of the good ones) in an order that depends on (seed, index) only.

    Folds are in random order and differ by one member at most; ``held_out`` particles are in none.
    """
    key = uniforms(seed, "fold", ids=good)[:, 0]
    order = good[np.argsort(key, kind="stable")]
    return Dealt(
        folds=tuple(order[held_out + fold :: folds] for fold in range(folds)), held_out=np.sort(order[:held_out])
    )


def stacked(parts: Sequence[Any], name: str) -> torch.Tensor:
    """One statistic of all folds, (F, ...)."""
    return torch.stack([getattr(part, name) for part in parts])


def total(parts: Sequence[S]) -> S:
    """Statistics over several folds."""
    first: Any = parts[0]
    return replace(first, **{f.name: _added([getattr(part, f.name) for part in parts]) for f in fields(first)})


def _added(values: list[torch.Tensor]) -> torch.Tensor:
    """Their sum, one after the other in place: statistics of volumes are large, and a stack of them larger."""
    out = values[0].clone()
    for value in values[1:]:
        out += value
    return out


def left_out(parts: Sequence[S], fold: int | None) -> S:
    """Statistics over all folds but one (None: over all): what its particles may be compared with."""
    return total([part for f, part in enumerate(parts) if f != fold])


def own_half(parts: Sequence[S], fold: int | None) -> S:
    """Statistics over the other folds of a fold's own half (None: over all).

    Even and odd folds never meet, not even by way of references ("gold standard": Scheres and Chen 2012), and a
    particle still does not meet its own noise. Needs two folds in every half.
    """
    if fold is None:
        return total(parts)
    return total([part for f, part in enumerate(parts) if f != fold and f % 2 == fold % 2])


def replaced(parts: Sequence[S], fold: int, new: S) -> tuple[S, ...]:
    """With the statistics of one fold exchanged; the new ones may have fewer rings than there is room for."""
    old: Any = parts[fold]
    sizes = {f.name: getattr(old, f.name).shape for f in fields(old)}
    fresh: Any = new
    room = replace(fresh, **{name: padded(getattr(new, name), size) for name, size in sizes.items()})
    return (*parts[:fold], room, *parts[fold + 1 :])


def overwritten(parts: tuple[S, ...], fold: int, new: S) -> tuple[S, ...]:
    """With the statistics of one fold exchanged in their own memory: for parts that nobody else has a use for."""
    old: Any = parts[fold]
    for f in fields(old):
        value = getattr(old, f.name)
        value.copy_(padded(getattr(new, f.name), value.shape))
    return parts


def padded(values: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Values in the first places of a tensor of zeros of that shape; the values themselves where they fill it."""
    if values.shape == tuple(shape):
        return values
    out = values.new_zeros(tuple(shape))
    out[tuple(slice(0, size) for size in values.shape)] = values
    return out
