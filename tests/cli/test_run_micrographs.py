"""``vitreous run`` on micrographs: picks, their classes, picks with averages, boxes; what ends it, and going on."""

import sys
from pathlib import Path
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "micrographs"))
from scenes_of_micrographs import DIAMETER_A, PIXEL_A, micrograph

from vitreous.iterate import Interrupted
from vitreous.jobs import JobFolderError, job_status, read_manifest
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks import from_micrographs, pipeline
from vitreous.jobs.tasks.from_micrographs import are_micrographs, fewer_classes
from vitreous.jobs.tasks.pipeline import Pipeline, run_pipeline
from vitreous.micrographs import MicroscopeGiven
from vitreous.particles import Table, read_star, write_mrc_stack, write_star

SETTINGS = Pipeline(particle_diameter_A=DIAMETER_A, classes=3)
STAGES = ("pick_first", "extract_first", "class2d_first", "pick", "extract")


def write_micrograph(path, picture, pixel_A=PIXEL_A):
    with mrcfile.new(path) as file:
        file.set_data(picture.astype(np.float32))
        file.voxel_size = pixel_A


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three micrographs with particles, and a broken one."""
    path = tmp_path_factory.mktemp("micrographs")
    for i in range(3):
        write_micrograph(path / f"m{i}.mrc", micrograph(24, contrast=2.5, seed=i)[0])
    (path / "a.mrc").write_bytes(b"broken")
    return path


@pytest.fixture
def handed_on(monkeypatch):
    """What the stages for particles are given; they are not run."""
    given = []
    monkeypatch.setattr(pipeline, "_stages", lambda *arguments: given.append(arguments) or "done")
    return given


def test_a_folder_goes_by_picks_of_a_ball_and_of_averages_to_boxes(folder, tmp_path, handed_on, monkeypatch):
    """Stopped when it picks anew, it goes on there; the broken micrograph is named and does no harm."""
    out = tmp_path / "o"
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: job.path.name == "pick")
        with pytest.raises(Interrupted):
            run_pipeline(folder, out, SETTINGS, RunOptions(threads=1))
    before = read_manifest(out / "class2d_first").runs
    with pytest.raises(JobFolderError):  # of the report, since no stage for particles was run
        run_pipeline(folder, out, SETTINGS, RunOptions(threads=1, resume=True))
    assert read_manifest(out / "class2d_first").runs == before
    assert [name for name in STAGES if job_status(out / name) != "finished"] == []
    source, settings, *_ = handed_on[0]
    assert source.particles == out / "extract" / "particles.star"
    boxes = len(read_star(source.particles)["particles"])
    assert settings.classes == fewer_classes(SETTINGS.classes, boxes)
    assert (settings.particle_diameter_A, settings.invert_contrast) == (None, False)
    assert settings.offset_range_A == pytest.approx(DIAMETER_A / 8)
    said = read_manifest(out)
    assert (said.summary["pick_micrographs"], said.summary["pick_failed"]) == (4, 1)
    assert any("a.mrc" in text for text in said.messages)
    assert any("no CTF" in text and "--voltage-kV" in text for text in said.messages)
    places = read_star(source.particles)["particles"]
    found = np.stack([places.numbers("rlnCoordinateX"), places.numbers("rlnCoordinateY")], axis=1)
    for i in range(3):
        there = places.text("rlnMicrographName") == str(folder / f"m{i}.mrc")
        true = micrograph(24, contrast=2.5, seed=i)[1]
        distance = np.hypot(*(found[there][:, None] - true[None]).transpose(2, 0, 1))
        assert (distance.min(axis=1) < 6).mean() > 0.8
    write_micrograph_again(folder / "m1.mrc")
    with pytest.raises(ValueError, match="what the images show has changed"):
        run_pipeline(folder, out, SETTINGS, RunOptions(threads=1, resume=True))


def test_boxes_hold_the_particle_where_averages_look_smaller_than_it(tmp_path, monkeypatch):
    """Averages of 45 pixels, of particles that a ball of 60 found: boxes of one and a half times 60 pixels."""
    asked = []
    monkeypatch.setattr(
        from_micrographs, "_diameter_px", lambda folder: {"pick_first": 60.0, "pick": 45.0}[folder.name]
    )
    monkeypatch.setattr(from_micrographs, "run_task", lambda *arguments, **_: asked.append(arguments[3]))
    given = from_micrographs.FromMicrographs(
        micrographs=(), project=None, pixel_size_A=None, diameter_A=None, invert_contrast=False, seed=0,
        microscope=MicroscopeGiven(),
    )  # fmt: skip
    for picks in ("pick_first", "pick"):
        with pytest.raises(ValueError, match="a box of 90 pixels"):
            from_micrographs._extract(given, SimpleNamespace(path=tmp_path), picks, "extract", 64, RunOptions(), "")
    assert [(boxes.box_px, boxes.downsample_to_px) for boxes in asked] == 2 * [(90, 64)]


def write_micrograph_again(path):
    with mrcfile.open(path, mode="r+") as file:
        file.data[:] += 1.0


def test_noise_and_broken_files_end_in_words(tmp_path):
    for i in range(2):
        write_micrograph(tmp_path / f"n{i}.mrc", 50.0 + np.random.default_rng(i).normal(size=(256, 256)))
    with pytest.raises(ValueError, match=r"no more than \d+ particles stand out from noise in 2 micrographs"):
        run_pipeline(tmp_path / "n*.mrc", tmp_path / "o", SETTINGS, RunOptions(threads=1))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.mrc").write_bytes(b"x")
    with pytest.raises(ValueError, match="none of 1 micrographs can be used"):
        run_pipeline(tmp_path / "broken", tmp_path / "p", SETTINGS, RunOptions(threads=1))
    assert job_status(tmp_path / "p") == "failed"


def test_what_is_taken_for_micrographs(tmp_path, simulated):
    write_micrograph(tmp_path / "one.mrc", np.zeros((8, 8)))
    write_mrc_stack(tmp_path / "stack.mrc", np.zeros((2, 8, 8), np.float32), 1.0)
    names = {"rlnMicrographName": ["one.mrc"]}
    write_star(tmp_path / "list.star", {"micrographs": Table.from_arrays(names)})
    picks = Table.from_arrays({**names, "rlnCoordinateX": [1.0], "rlnCoordinateY": [1.0]})
    write_star(tmp_path / "picks.star", {"particles": picks})
    yes = (tmp_path, tmp_path / "*.mrc", tmp_path / "one.mrc", tmp_path / "list.star", tmp_path / "a.png")
    no = (tmp_path / "stack.mrc", tmp_path / "picks.star", simulated / "particles.star", tmp_path / "absent.star")
    assert [path for path in yes if not are_micrographs((path,))] == []
    assert [path for path in no if are_micrographs((path,))] == []


def test_options_of_the_other_kind_of_input_are_refused(tmp_path, simulated, folder):
    for source, words in ((simulated / "particles.star", {"voltage_kV": 300.0}), (folder, {"ctf_applied": "phases"})):
        with pytest.raises(ValueError, match=next(iter(words))):
            run_pipeline(source, tmp_path / "o", SETTINGS, **words)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a folder without micrographs"):
        run_pipeline(tmp_path / "empty", tmp_path / "o", SETTINGS)
