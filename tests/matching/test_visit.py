"""The visit of folds on made-up statistics: who sees what, in which order, alone and by shares."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from vitreous.matching import left_out, own_half, stacked, survey, visit
from vitreous.processes import ALONE, Processes, by_process, joined

FOLDS = [np.array([0, 4, 5]), np.array([1, 6]), np.array([2, 7, 8, 9]), np.array([3])]


@dataclass(frozen=True, kw_only=True)
class Count:
    """How often every particle has been counted."""

    particle: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was there to compare with: which particles (m, 10), and what all folds held then."""

    others: np.ndarray
    everything: np.ndarray


def counted(index: np.ndarray) -> Count:
    return Count(particle=torch.zeros(10).index_add_(0, torch.from_numpy(index), torch.ones(len(index))))


def match(others: Count, parts: tuple[Count, ...], index: np.ndarray) -> tuple[Count, Seen]:
    rows = np.ones((len(index), 1))
    return counted(index), Seen(
        others=rows * others.particle.numpy(), everything=rows * stacked(parts, "particle").sum(0).numpy()
    )


NOTHING = tuple(counted(np.zeros(0, np.int64)) for _ in FOLDS)


@dataclass(frozen=True)
class Recorded:
    """One of two processes that run one after the other here: the first records what the second is to add."""

    rank: int
    theirs: list
    size: int = 2

    def add(self, sums):
        mine = self.theirs[0].pop(0)
        return Count(particle=sums.particle + mine.particle)

    def gather(self, found):
        other = self.theirs[1].pop(0)
        return joined([found, other] if self.rank == 0 else [other, found])

    def from_first(self, value):
        return value


def test_a_second_visit_sees_the_other_folds_as_they_are_by_then():
    parts, index, first = visit(FOLDS, NOTHING, match)
    assert index.tolist() == np.concatenate(FOLDS).tolist()
    assert torch.equal(stacked(parts, "particle").sum(0), torch.ones(10))
    # In the first visit a fold meets those before it, in the second all others.
    assert not first.others[:3].any()
    assert np.flatnonzero(first.others[3]).tolist() == sorted(FOLDS[0])
    _, _, second = visit(FOLDS, parts, match)
    for fold, mine in enumerate(FOLDS):
        row = second.others[np.flatnonzero(index == mine[0])[0]]
        assert set(np.flatnonzero(row)) == set(range(10)) - set(mine), fold
    assert (second.everything == 1).all()


def test_statistics_are_there_once_where_they_may_be_overwritten():
    parts, _, _ = visit(FOLDS, NOTHING, match)
    kept = tuple(counted(fold) for fold in FOLDS)
    there = [part.particle.data_ptr() for part in kept]
    after, _, found = visit(FOLDS, kept, match, overwrite=True)
    _, _, expected = visit(FOLDS, parts, match)
    assert [part.particle.data_ptr() for part in after] == there
    assert np.array_equal(found.others, expected.others)
    assert torch.equal(stacked(after, "particle"), stacked(parts, "particle"))


def test_the_gold_standard_never_meets_the_other_half():
    parts, index, _ = visit(FOLDS, NOTHING, match)
    _, _, found = visit(FOLDS, parts, match, against=own_half)
    for fold, mine in enumerate(FOLDS):
        row = found.others[np.flatnonzero(index == mine[0])[0]]
        assert set(np.flatnonzero(row)) == set(FOLDS[(fold + 2) % 4])


def test_a_survey_changes_nothing_and_those_held_out_meet_all_folds():
    parts, _, _ = visit(FOLDS[:3], NOTHING[:3], match)
    given, index, found = survey([*enumerate(FOLDS[:3]), (None, FOLDS[3])], parts, match)
    assert [set(np.flatnonzero(g.particle)) for g in given] == [set(f) for f in FOLDS]
    assert set(np.flatnonzero(found.others[index == 3][0])) == set(range(10)) - {3}
    assert torch.equal(stacked(parts, "particle").sum(0), counted(np.concatenate(FOLDS[:3])).particle)


@pytest.mark.parametrize("against", [left_out, own_half])
def test_shares_of_two_processes_make_the_same_statistics(against):
    alone, order, seen = visit(FOLDS, NOTHING, match, against=against)
    others = [by_process(f, Recorded(0, []))[1] for f in FOLDS]
    # What the second process finds of its share, in the state in which the first one asks.
    outcomes = [
        Seen(others=seen.others[[*map(order.tolist().index, f)]], everything=seen.everything[: len(f)]) for f in others
    ]
    first: Processes = Recorded(0, [[counted(f) for f in others], outcomes])
    parts, index, _ = visit(FOLDS, NOTHING, match, against=against, processes=first)
    assert torch.equal(stacked(parts, "particle"), stacked(alone, "particle"))
    assert sorted(index) == sorted(order)
    assert index.tolist() == np.concatenate([np.concatenate(by_process(f, first)) for f in FOLDS]).tolist()


def test_progress_counts_particles():
    done: list[int] = []
    visit(FOLDS, NOTHING, match, processes=ALONE, progress=done.append)
    assert done == np.cumsum([len(f) for f in FOLDS]).tolist()
