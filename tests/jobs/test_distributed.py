"""Several processes on one job: they agree with each other to the bit, and with one process within rounding."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from methods_in_processes import BAD, result_of
from several import run_in_processes

from vitreous.processes import ALONE, by_process, joined

SCRIPT = Path(__file__).with_name("methods_in_processes.py")


@dataclass(frozen=True)
class Two:
    rank: int
    size: int = 2


@dataclass(frozen=True, kw_only=True)
class Found:
    a: np.ndarray


def test_every_particle_has_one_process_whatever_it_is_asked_for():
    index = np.random.default_rng(0).permutation(50)[:23]
    shares = by_process(index, Two(0))
    assert sorted(np.concatenate(shares)) == sorted(index)
    again = by_process(index[::-1], Two(1))
    assert all(set(a) == set(b) for a, b in zip(shares, again, strict=True))
    assert np.array_equal(by_process(index, ALONE)[0], index)
    assert joined([Found(a=s) for s in shares]).a.tolist() == np.concatenate(shares).tolist()


@pytest.fixture(scope="module", params=["class2d", "neighbours"])
def found(request, tmp_path_factory):
    """(method, arrays of both processes, those of one process alone)."""
    folder = tmp_path_factory.mktemp(request.param)
    ended = run_in_processes(SCRIPT, 2, request.param, str(folder))
    assert [code for code, _, _ in ended] == [0, 0], ended
    return (
        request.param,
        [dict(np.load(folder / f"rank{rank}.npz")) for rank in (0, 1)],
        result_of(request.param, ALONE),
    )


def test_all_processes_end_with_the_same_bits(found):
    _, (first, second), _ = found
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_two_processes_agree_with_one(found):
    """Sums in another order differ by rounding; a particle between two classes may tip over, hardly any does."""
    method, (two, _), alone = found
    assert two["weight"][BAD] == alone.weight[BAD] == 0
    if method == "neighbours":
        assert (two["neighbours"] == alone.neighbours).mean() > 0.97
        np.testing.assert_allclose(two["affinity"], alone.affinity, atol=0.02)
        np.testing.assert_allclose(two["frc"], alone.frc, atol=0.02)
        np.testing.assert_allclose(two["averages"], alone.averages, atol=0.02 * np.abs(alone.averages).max())
        return
    same = two["class_number"] == alone.class_number
    assert same.mean() > 0.98
    turn = (two["psi_deg"] - alone.psi_deg + 180) % 360 - 180
    assert np.quantile(np.abs(turn[same]), 0.98) < 0.2
    np.testing.assert_allclose(two["population"], alone.population, atol=6)
    difference = np.abs(two["averages"] - alone.averages).max((1, 2))
    assert (difference < 0.05 * alone.averages.max((1, 2))).all()
