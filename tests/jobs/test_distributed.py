"""Several processes on one job: they agree with each other to the bit, and with one process within rounding."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from methods_in_processes import BAD, STRANGE, result_of, structures_of
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


def by_two_and_by_one(folder: Path, *, quick: bool) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What makes maps from particles, by two processes, which end with the same bits, and by one."""
    ended = run_in_processes(SCRIPT, 2, "structures in a few passes" if quick else "structures", str(folder))
    assert [code for code, _, _ in ended] == [0, 0], ended
    first, second = (dict(np.load(folder / f"rank{rank}.npz")) for rank in (0, 1))
    alone = structures_of(ALONE, quick=quick)
    assert first.keys() == second.keys() == alone.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
    return first, alone


def apart_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles between rotations."""
    return np.rad2deg(np.arccos(np.clip((np.einsum("nij,nij->n", a, b) - 1) / 2, -1, 1)))


def test_two_processes_make_the_structures_of_one(tmp_path):
    """A few passes, in which sums that are rounded otherwise have not led to other decisions yet.

    An ascent of a pose ends where it expects less than 0.02 nats more, a fifth of a standard deviation: a few of them
    make a step more or less.
    """
    two, alone = by_two_and_by_one(tmp_path, quick=True)
    np.testing.assert_allclose(two["Gridding map"], alone["Gridding map"], atol=1e-4 * alone["Gridding map"].max())
    np.testing.assert_allclose(two["Gridding fsc"], alone["Gridding fsc"], atol=1e-4)
    np.testing.assert_allclose(two["abinitio map"], alone["abinitio map"], atol=1e-3 * alone["abinitio map"].max())
    np.testing.assert_allclose(two["abinitio evidence"], alone["abinitio evidence"], rtol=1e-4)
    assert (apart_deg(two["abinitio rotation"], alone["abinitio rotation"]) < 0.05).mean() > 0.98
    np.testing.assert_array_equal(two["reference half"], alone["reference half"])
    assert two["reference half"][STRANGE] == -1
    used = two["reference half"] >= 0
    apart = apart_deg(two["reference rotation"], alone["reference rotation"])[used]
    assert (apart < 0.05 * alone["reference sigma"][used]).mean() > 0.9
    np.testing.assert_allclose(two["reference map"], alone["reference map"], atol=0.02 * alone["reference map"].max())


@pytest.mark.slow
def test_two_processes_end_with_the_structures_of_one(tmp_path):
    """To the end: they may stop a pass earlier or later, and differ by a part of the errors that poses have anyway."""
    two, alone = by_two_and_by_one(tmp_path, quick=False)
    for name in ("LeastSquares map", "ART map"):
        np.testing.assert_allclose(two[name], alone[name], atol=1e-3 * alone[name].max())
    np.testing.assert_allclose(two["abinitio evidence"], alone["abinitio evidence"], rtol=0.01)
    for name in ("poses", "reference"):
        used = two[f"{name} half"] >= 0
        apart = apart_deg(two[f"{name} rotation"], alone[f"{name} rotation"])[used]
        assert np.quantile(apart / alone[f"{name} sigma"][used], 0.9) < 0.5
        assert two[f"{name} resolution"] == pytest.approx(alone[f"{name} resolution"], rel=0.02)
        correlation = np.corrcoef(two[f"{name} map"].ravel(), alone[f"{name} map"].ravel())[0, 1]
        assert correlation > 0.999
