"""``vitreous select --auto`` on classes of this program and of others: what goes, why, and where it is written."""

import html
import json
import shutil

import numpy as np
import pytest
import starfile

from vitreous.jobs.results.selection import read_selection
from vitreous.particles import Table, open_stack, read_star, write_mrc_stack, write_star


@pytest.fixture
def job(classified, tmp_path):
    """A copy of a finished classification, to write into."""
    return shutil.copytree(classified, tmp_path / "class2d")


@pytest.fixture
def foreign(classified, tmp_path):
    """The particle file as another program leaves it, with a class of noise images added at the end."""
    folder = tmp_path / "Class2D"
    folder.mkdir()
    blocks = read_star(classified / "run_data.star")
    rows, rng = blocks["particles"], np.random.default_rng(3)
    noise = 40
    write_mrc_stack(folder / "noise.mrcs", rng.normal(size=(noise, 24, 24)).astype(np.float32), 12.0)
    added = rows.take(np.arange(noise)).with_columns(
        {
            "rlnImageName": np.array([f"{i + 1:06d}@noise.mrcs" for i in range(noise)]),
            "rlnClassNumber": np.full(noise, 5),
        }
    )
    both = {name: np.concatenate([rows[name], added[name]]) for name in rows.names}
    write_star(folder / "run_it025_data.star", {**blocks, "particles": Table.from_arrays(both)})
    return folder


def test_the_classes_of_a_job(vitreous, job):
    ended = vitreous("select", job, "--auto", "--json", "--threads", 1)
    assert ended.code == 0
    said, found = ended.events[-1], read_selection(job)
    assert said["classes"] == (np.flatnonzero(found.kept) + 1).tolist()
    assert {int(k) for k in said["reasons"]} == set((np.flatnonzero(~found.kept) + 1).tolist())
    particles = starfile.read(job / "selected.star")["particles"]
    assert set(particles["rlnClassNumber"]) == set(said["classes"])
    assert said["selected_count"] + said["excluded_count"] == 300
    page = (job / "report.html").read_text()
    assert "Kept:" in page
    assert [w for text in found.words for w in text.split("; ") if html.escape(w) not in page] == []
    vitreous("select", job, "--classes", "1")
    assert read_selection(job) is None  # the report would show another selection


def test_conditions_come_on_top(vitreous, job):
    every = vitreous("select", job, "--auto", "--json", "--threads", 1).events[-1]["classes"]
    assert vitreous("select", job, "--auto", "--classes", "2", "--json").events[-1]["classes"] == [2]
    found = read_selection(job)
    assert found.of("other condition") == [k for k in every if k != 2]


def test_the_mask_is_named_as_everywhere(vitreous, job):
    ended = vitreous("select", job, "--auto", "--particle-diameter-A", 3)
    assert ended.code == 1
    assert "3 A is fewer than 8 pixels" in ended.err


def test_what_a_test_of_stability_says_counts(vitreous, job, tmp_path):
    folder = tmp_path / "stability"
    assert vitreous("stability", job, "-o", folder, "--starts", 2, "--iterations", 2).code == 0
    table = read_star(folder / "stability.star")["classes"]
    verdict = np.ones(len(table), int)
    verdict[1] = 0
    write_star(folder / "stability.star", {"classes": table.with_columns({"vtrStable": verdict})})
    vitreous("select", job, "--auto", "--stability", folder)
    assert "unstable" in read_selection(job).words[1]


def test_classes_of_another_program(vitreous, foreign, tmp_path):
    """They are not written into; the averages of all classes are made, and noise goes."""
    refused = vitreous("select", foreign, "--auto")
    assert (refused.code, "--output" in refused.err) == (1, True)
    out = tmp_path / "selection"
    ended = vitreous("select", foreign, "--auto", "-o", out, "--threads", 1)
    assert ended.code == 0, ended.err
    assert "class 5 went: no more than noise" in ended.out
    assert len(open_stack(out / "class_averages.mrcs")) == 5
    assert len(read_star(out / "class_averages.star")[""]) == int(read_selection(out).kept.sum())
    assert "no more than noise" in (out / "report.html").read_text()
    assert sorted(path.name for path in foreign.iterdir()) == ["noise.mrcs", "run_it025_data.star"]


def test_nothing_but_noise_is_said(vitreous, foreign, tmp_path):
    blocks = read_star(foreign / "run_it025_data.star")
    only = blocks["particles"].numbers("rlnClassNumber") == 5
    write_star(foreign / "run_it025_data.star", {**blocks, "particles": blocks["particles"].take(only)})
    ended = vitreous("select", foreign, "--auto", "-o", tmp_path / "s", "--json")
    assert ended.code == 1
    said = json.loads(ended.out.splitlines()[-1])["message"]
    assert "worth keeping" in said
    assert "no more than noise" in said
    assert not (tmp_path / "s" / "selected.star").exists()
