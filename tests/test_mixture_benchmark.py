"""The benchmark of fitted mixtures cuts out the large subunit, and correlates as the thesis does."""

import gzip
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def atom(name: str, x: float) -> str:
    return f"ATOM      1  {name:<3} A   A   1    {x:8.3f}{0:8.3f}{0:8.3f}  1.00 20.00           {name[0]}\n"


def test_the_part_with_most_nucleotides_is_taken(tmp_path: Path) -> None:
    from benchmarks.mixture_fit import large_subunit

    small = "HEADER\n" + atom("P", 1) + atom("CA", 2) + atom("CB", 3) + atom("CG", 4) + "TER\n"
    large = "HEADER\n" + atom("P", 5) + atom("P", 6) + atom("P", 7) + "TER\n" + atom("CA", 8)
    with gzip.open(tmp_path / "m.pdb.gz", "wt") as file:
        file.write(small + large + "HEADER\n" + atom("P", 9) + "END\n")
    found = large_subunit(tmp_path / "m.pdb.gz", tmp_path / "work")
    assert found.positions_A[:, 0].tolist() == [5, 6, 7, 8]


@pytest.mark.data
def test_the_large_subunit_of_the_model_is_its_rna_and_its_proteins(tmp_path: Path) -> None:
    from benchmarks.mixture_fit import large_subunit

    path = ROOT.parent / "shared" / "data" / "models" / "ribosome70S_variant0.pdb.gz"
    if not path.is_file():
        pytest.skip("the shared data folder is not beside the repository")
    found = large_subunit(path, tmp_path)
    nucleotides = int((found.weights == 15).sum())
    assert 2900 < nucleotides < 3100  # 23S and 5S, without the 76 of a tRNA and the 1500 of 16S
    assert 25_000 < len(found.weights) - 20.5 * nucleotides < 35_000  # the L proteins


def test_the_correlation_is_the_cosine() -> None:
    from benchmarks.mixture_fit import _correlation

    a = np.array([[1.0, 2.0], [0.0, 1.0]])
    assert _correlation(a, 3 * a) == 1.0
    assert _correlation(a, np.eye(2)) == pytest.approx(2 / np.sqrt(12), abs=1e-4)
