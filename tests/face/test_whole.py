"""The whole way as one call, and its folder as a result."""

import json
from pathlib import Path

import numpy as np
import pytest

import vitreous as vt
from vitreous.face.whole import _Events
from vitreous.jobs import JobFolderError, new_manifest
from vitreous.jobs.copied import copy_job
from vitreous.jobs.manifest import write_manifest
from vitreous.jobs.progress import watching


@pytest.fixture(scope="module")
def folder(classes: vt.Result, averages: vt.Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that ended after its second stage, put together by hand."""
    path = tmp_path_factory.mktemp("whole") / "run"
    classes.save(path / "class2d")
    posed = vt.reconstruct(vt.example("ribosome", n=200, snr=0.5, box_px=24, truth=True))
    posed.save(path / "refine")
    record = json.loads((path / "refine" / "job.json").read_text())
    assert record["task"] == "reconstruct"  # in the place of a refinement, which costs more
    write_manifest(path, new_manifest("run", {"classes": 5}, seed=0).started("by hand").ended("finished"))
    (path / "report.html").write_text(f"the images of {path / 'class2d'}")
    return path


def test_a_run_is_its_stages_and_what_it_ends_with(folder, classes):
    whole = vt.load(folder)
    assert whole.stages == ("class2d", "refine")
    assert np.array_equal(whole.class2d.class_number, classes.class_number)
    assert whole.classes is whole.class2d
    assert list(whole.maps) == list(whole.refine.maps) != []
    assert repr(whole).startswith("run: reconstruct of a run of class2d, refine")
    assert len(whole.show().pictures) == len(whole.refine.show().pictures) > 0
    assert len(whole.table("class2d/run_data")) == len(classes.class_number)
    with pytest.raises(AttributeError, match="run has no 'abinitio'"):
        _ = whole.abinitio


def test_a_copy_leads_to_itself(folder, tmp_path):
    target = tmp_path / "copy"
    assert copy_job(folder, target) == target / "report.html"
    assert (target / "report.html").read_text() == f"the images of {target / 'class2d'}"
    inside = str(folder.resolve()).encode()
    texts = [path for path in target.rglob("*") if path.suffix in (".star", ".json")]
    assert len(texts) > 5
    assert [path for path in texts if inside in path.read_bytes()] == []
    assert vt.load(target).class2d.particles().read([3]).shape == (1, 24, 24)
    with pytest.raises(JobFolderError, match="holds something already"):
        copy_job(folder, target)
    copy_job(folder, target, overwrite=True)


def test_what_a_run_cannot_take_is_said_before_it_begins(particles, tmp_path):
    with pytest.raises(TypeError, match=r"run\(\) has no keyword 'klasses'; did you mean 'classes'"):
        vt.run(particles, klasses=3)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        vt.run("nowhere.star")
    with pytest.raises(ValueError, match="too few for 50 classes"):
        vt.run(particles.read(slice(0, 9)), pixel_size_A=10.0)


def test_events_of_stages_move_a_bar_and_nothing_is_printed(capsys):
    moved = []
    with watching("run", total=2, quiet=True) as reporter:
        events = _Events(type(reporter)(**{**vars(reporter), "move": lambda *told: moved.append(told)}))
        for event in (
            {"event": "plan"},
            {"event": "iteration", "seconds": 3.0, "seconds_left": 1.0},
            {"event": "end"},
            {"event": "iteration", "seconds": 1.0, "seconds_left": 1.0},
        ):
            print(json.dumps(event), file=events)
        print("iteration 1 of a job without --json", file=events)
    assert [share for share, *_ in moved] == [0.75, 1.5]  # stages done, and the share of time of the one that works
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_run_in_memory_is_that_of_the_command(particles, tmp_path, monkeypatch):
    settings = {"classes": 4, "starts": 1, "check": False, "refine": False}
    made = vt.run(particles, **settings)
    assert made.stages == ("class2d", "abinitio")
    assert made.save(tmp_path / "saved").is_file()
    monkeypatch.chdir(tmp_path)
    particles.write("particles.star")
    vt.run_pipeline("particles.star", "written", **settings)
    for name in ("class2d/run_classes.mrcs", "abinitio/abinitio.mrc"):
        assert (tmp_path / "saved" / name).read_bytes() == (tmp_path / "written" / name).read_bytes()
    again = vt.run("particles.star", output="written", resume=True, **settings)
    assert np.array_equal(again.class2d.class_number, made.class2d.class_number)
