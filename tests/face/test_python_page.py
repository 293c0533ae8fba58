"""The page on Python: its blocks run, on smaller numbers, one after the other."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vitreous as vt

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
SMALLER = {
    "n=1000": "n=150",
    "box_px=32": "box_px=24",
    "pixel_size_A=10.0": "pixel_size_A=13.3",
    "classes=20": "classes=5, iterations=2",
    'symmetry="C1"': 'symmetry="C1", restarts=1, components=10, fine_components=20, samples=1, burn_in_steps=1',
    "reference=model": "reference=model, iterations=1",
}


def test_from_an_array_to_a_map_in_ten_lines():
    lines = [line for line in BLOCKS[0].splitlines() if line and not line.startswith("import")]
    assert len(lines) <= 10


@pytest.fixture(scope="module")
def ten_lines(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What the names of the first block stand for after it, and where it ran."""
    block, names, folder = BLOCKS[0], dict[str, Any](), tmp_path_factory.mktemp("ten")
    assert all(word in block for word in SMALLER)
    for word, smaller in SMALLER.items():
        block = block.replace(word, smaller)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(block, str(PAGE), "exec"), names)
    return names, folder


def test_a_refinement_is_read_back(ten_lines):
    names, folder = ten_lines
    refined, again = names["refined"], vt.load(folder / "refined")
    np.testing.assert_allclose(again.post.masked.data, refined.post.masked.data)
    assert set(again.maps) == set(refined.maps)
    assert again.poses.rotation.shape == (int((refined.half >= 0).sum()), 3, 3)
    assert refined.show()._repr_html_().count("<img") == 12  # slices and projections of two maps
    assert again.show().captions == refined.show().captions


def test_an_initial_model_is_read_back(ten_lines, tmp_path):
    model = ten_lines[0]["model"]
    model.save(tmp_path / "model")
    read = vt.load(tmp_path / "model")
    np.testing.assert_allclose(read.mean.data, model.mean.data)
    np.testing.assert_allclose(read.rotations, model.rotations, atol=1e-5)
    np.testing.assert_allclose(read.mixture.means_A, model.mixture.means_A, atol=1e-2)
    assert (read.restarts_agreeing, read.score) == (model.restarts_agreeing, model.score)


LATER = [
    pytest.param(number, marks=pytest.mark.slow) if "vt.run(" in BLOCKS[number] else number
    for number in range(1, len(BLOCKS))
]


@pytest.mark.parametrize("number", LATER)
def test_blocks_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[number], str(PAGE), "exec"), {})
