"""The visit of folds: leave out, match, replace, merge. Every method that iterates over the data goes through here.

The particles of a fold are matched against statistics of the other folds, and what they give then replaces the
statistics of that fold (incremental EM: Neal and Hinton 1998), so that references improve once per fold and not once
per pass, and no particle ever meets its own noise in a reference (SCIENCE.md section 3). What "the other folds" are is
the argument ``against``: all of them (:func:`left_out`) or those of the fold's own half (:func:`own_half`, the gold
standard).

A visit is also the place where several processes meet: each matches its share of a fold, their sums are added once per
fold, and what was found of the particles is gathered.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from vitreous.matching.folds import Against, left_out, overwritten, replaced
from vitreous.processes import ALONE, Processes, by_process, joined

__all__ = ["Match", "survey", "visit"]

S = TypeVar("S")  # statistics of a fold
O = TypeVar("O")  # a frozen dataclass of arrays, one entry per particle

# (statistics to compare with, those of all folds as they are now, particles) -> (what the particles give, outcome)
Match = Callable[[S, tuple[S, ...], np.ndarray], tuple[S, O]]
Progress = Callable[[int], None]


def visit(
    folds: Sequence[np.ndarray],
    parts: tuple[S, ...],
    match: Match[S, O],
    *,
    against: Against[S] = left_out,
    processes: Processes = ALONE,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> tuple[tuple[S, ...], np.ndarray, O]:
    """Visit every fold once: (statistics of all folds, particles, their outcomes).

    folds: the particles of each; parts: what the folds gave at their last visits; progress: receives the number of
    particles that are done; overwrite: whether the memory of ``parts`` becomes that of the new ones, so that statistics
    that are large are there once and not twice.
    """
    exchange = overwritten if overwrite else replaced
    seen, found, done = [], [], 0
    for fold, index in enumerate(folds):
        own, shares, outcome = _matched(fold, index, parts, match, against, processes)
        parts = exchange(parts, fold, own)
        seen += shares
        found.append(outcome)
        done += len(index)
        if progress is not None:
            progress(done)
    return parts, np.concatenate(seen), joined(found)


def survey(
    groups: Iterable[tuple[int | None, np.ndarray]],
    parts: tuple[S, ...],
    match: Match[S, O],
    *,
    against: Against[S] = left_out,
    processes: Processes = ALONE,
    progress: Progress | None = None,
) -> tuple[list[S], np.ndarray, O]:
    """Match groups of particles against statistics that stay as they are: (what each gives, particles, outcomes).

    groups: (fold that is left out, or None for none, particles).
    """
    given, seen, found, done = [], [], [], 0
    for fold, index in groups:
        own, shares, outcome = _matched(fold, index, parts, match, against, processes)
        given.append(own)
        seen += shares
        found.append(outcome)
        done += len(index)
        if progress is not None:
            progress(done)
    return given, np.concatenate(seen), joined(found)


def _matched(
    fold: int | None,
    index: np.ndarray,
    parts: tuple[S, ...],
    match: Match[S, O],
    against: Against[S],
    processes: Processes,
) -> tuple[S, list[np.ndarray], O]:
    """What a fold gives, its particles by process, and their outcomes in that order."""
    shares = by_process(index, processes)
    own, outcome = match(against(parts, fold), parts, shares[processes.rank])
    return processes.add(own), shares, processes.gather(outcome)
