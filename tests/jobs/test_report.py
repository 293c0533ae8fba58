"""The report is well-formed, complete, self-contained, and does with whatever is in the folder."""

import base64
import json
import re
import zlib

import numpy as np
import pytest
from made_up import CLASSES, made_up_job
from parsed_page import ParsedPage

from vitreous.jobs import write_report
from vitreous.jobs.folder import JobFolderError


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = made_up_job(tmp_path_factory.mktemp("report"))
    return write_report(folder).read_text(encoding="utf-8")


def test_it_is_well_formed_and_starts_as_html(full):
    assert full.startswith("<!DOCTYPE html>")
    page = ParsedPage(full)
    identities = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(identities) == len(set(identities))


def test_every_class_can_be_selected_and_opened(full):
    page = ParsedPage(full)
    boxes = [a["value"] for a in page.of("input") if a.get("type") == "checkbox"]
    assert boxes == [str(k + 1) for k in range(CLASSES)]
    assert [a["data-open"] for a in page.of("button") if "data-open" in a] == boxes
    assert [a["id"] for a in page.of("template")] == [f"class-{k}" for k in boxes]


def test_captions_have_number_share_resolution_and_effective_number(full):
    text = ParsedPage(full).text
    assert "18.3 Å 1 30 51.7 % effective 24" in text
    assert "no signal 4 5" in text
    assert "empty 5 0 0.0 %" in text


def test_it_loads_nothing_from_anywhere(full):
    page = ParsedPage(full)
    for _, attributes in page.elements:
        for name in ("src", "href", "action", "poster", "srcset"):
            value = attributes.get(name) or ""
            assert value.startswith(("data:", "#")) or value == "", value[:80]
    outside_namespaces = full.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", outside_namespaces)


def test_pictures_are_decodable_png(full):
    addresses = [a["src"] for a in ParsedPage(full).of("img") if a["src"]]
    assert len(addresses) >= 3 * CLASSES + 4
    for address in addresses:
        assert address is not None
        content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        start = content.index(b"IDAT") + 4
        length = int.from_bytes(content[start - 8 : start - 4], "big")
        width = int.from_bytes(content[16:20], "big")
        assert len(zlib.decompress(content[start : start + length])) == width * (width + 1)


def test_every_picture_drawing_and_control_has_a_name(full):
    page = ParsedPage(full)
    assert all(a.get("alt") for a in page.of("img"))
    assert all(a.get("aria-label") for a in page.of("svg"))


def test_the_keyboard_comes_to_the_results_first(full):
    page = ParsedPage(full)
    assert page.of("a")[0]["href"] == "#results"
    assert [a.get("id") for a in page.of("main")] == ["results"]
    named = re.findall(r"<label[^>]*>(?:(?!</label>).)*<input", full, re.DOTALL)
    assert len(named) + sum("aria-label" in a for a in page.of("input")) >= len(page.of("input"))


def test_the_script_knows_the_classes_and_the_command(full):
    data = json.loads(re.search(r'id="data">(.*?)</script>', full, re.DOTALL).group(1))
    assert data["command"].startswith("vitreous select ")
    assert [c["n"] for c in data["classes"]] == [30, 14, 9, 5, 0]
    assert [c["resolution"] for c in data["classes"]] == [18.3, 12.8, 25.6, None, None]


def test_sections_figures_and_provenance(full):
    text = ParsedPage(full).text
    assert "58 particles in 4 classes; the sharpest average reaches 12.8 Å." in text
    for word in ("Log-likelihood", "Particles that changed class", "Class populations", "Defocus", "Shift"):
        assert word in text
    for word in ("In-plane angle", "Noise spectra", "psi step (°) automatic", "seed 1", "torch", "particles.star"):
        assert word in text
    assert "vitreous class2d particles.star -o job" in text
    assert "Nothing was found" not in text


def test_text_from_outside_is_escaped(full):
    assert "two particles were &lt;refused&gt;" in full
    assert "<refused>" not in full


def test_noise_is_called_noise(tmp_path):
    text = ParsedPage(write_report(made_up_job(tmp_path, found_signal=False)).read_text(encoding="utf-8")).text
    assert "Nothing was found" in text
    assert "58 particles, and no common signal among them." in text
    assert "best resolution" not in text


def test_optional_files_may_be_missing(tmp_path):
    folder = made_up_job(tmp_path)
    for name in ("run_class_halves.mrcs", "examples.npz", "history.jsonl", "job.json"):
        (folder / name).unlink()
    text = ParsedPage(write_report(folder).read_text(encoding="utf-8")).text
    assert "58 particles in 4 classes" in text
    assert "half-sets" not in text
    assert "Convergence" not in text


def test_sparse_histories_are_drawn_as_far_as_they_go(tmp_path):
    folder = made_up_job(tmp_path)
    lines = [{"iteration": 1}, {"iteration": 2, "log_likelihood": None}, {"iteration": 3, "populations": [1, 2]}, {}]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "Log-likelihood" not in ParsedPage(write_report(folder).read_text(encoding="utf-8")).text


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(JobFolderError, match="not the folder of a job"):
        write_report(tmp_path)


def test_it_depends_on_the_folder_alone(tmp_path):
    folder = made_up_job(tmp_path)
    first = write_report(folder).read_text(encoding="utf-8")
    moved = folder.rename(tmp_path / "moved")
    second = write_report(moved).read_text(encoding="utf-8")

    def images(text):
        return [a["src"] for a in ParsedPage(text).of("img")]

    assert images(first) == images(second)
    assert np.char.find(second, str(moved)) >= 0
