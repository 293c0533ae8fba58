"""The page on Python: its blocks run, on smaller numbers, one after the other."""

import re
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_blocks_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = BLOCKS[number]
    if number == 0:
        assert all(word in block for word in SMALLER)
        for word, smaller in SMALLER.items():
            block = block.replace(word, smaller)
    exec(compile(block, str(PAGE), "exec"), {})
    if number == 0:
        assert (tmp_path / "refined" / "report.html").is_file()
