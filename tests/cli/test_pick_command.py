"""``vitreous pick``: what it leaves, what stops it and what does not, and that it goes on where it was killed."""

import mrcfile
import numpy as np
import pytest

from vitreous.iterate import Interrupted
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.pick import run_pick
from vitreous.micrographs import Pick
from vitreous.particles import read_star, write_mrc_stack

SETTINGS = Pick(diameter_A=120.0, false_picks=0.5, pictures=2)
QUICK = RunOptions(threads=1)


def write_micrographs(folder, n):
    """n small micrographs with a dark disc at (65 + 3 i, 45) of pixels of 10 A."""
    axis = np.arange(20) - 10
    disc = np.hypot(axis[:, None], axis) < 6
    for i in range(n):
        picture = np.random.default_rng(i).normal(size=(96, 128)).astype(np.float32) + 50.0
        picture[35:55, 55 + 3 * i : 75 + 3 * i] -= 2.5 * disc
        with mrcfile.new(folder / f"m{i}.mrc") as file:
            file.set_data(picture)
            file.voxel_size = 10.0
    return folder / "*.mrc"


def test_coordinates_boxes_and_tables(tmp_path):
    pattern = write_micrographs(tmp_path, 2)
    run_pick((pattern,), tmp_path / "o", SETTINGS, QUICK)
    table = read_star(tmp_path / "o/picks.star")["particles"]
    best = {str(name): (x, y) for name, x, y in reversed(list(zip(
        table.text("rlnMicrographName"), table.numbers("rlnCoordinateX"), table.numbers("rlnCoordinateY"), strict=True,
    )))}  # fmt: skip
    for i in range(2):
        x, y = best[str(tmp_path / f"m{i}.mrc")]
        assert np.hypot(x - 65 - 3 * i, y - 45) < 1.0
        box = np.loadtxt(tmp_path / f"o/picks/m{i}.box", ndmin=2)
        assert box.shape == (len(read_star(tmp_path / f"o/picks/m{i}_autopick.star")[""]), 4)
        assert np.hypot(*(box[0, :2] + box[0, 2:] / 2 - (x, y))) < 1.0
    listed = read_star(tmp_path / "o/autopick.star")["coordinate_files"]
    assert listed.text("rlnMicrographName").tolist() == [str(tmp_path / f"m{i}.mrc") for i in range(2)]


def test_boxes_of_eman_go_to_extract_as_they_came_from_pick(tmp_path, vitreous):
    pattern = write_micrographs(tmp_path, 2)
    run_pick((pattern,), tmp_path / "o", Pick(diameter_A=120.0, false_picks=20.0), QUICK)
    files = [tmp_path / f"o/picks/m{i}.box" for i in range(2)]
    ended = vitreous("extract", *files, "--micrographs", pattern, "-o", tmp_path / "e")
    assert ended.code == 0
    assert "boxes of 18 pixels" in ended.out  # as the files state
    cut, picked = (
        read_star(tmp_path / "e/particles.star")["particles"],
        read_star(tmp_path / "o/picks.star")["particles"],
    )
    places, of_pick = (
        np.stack([t.numbers("rlnCoordinateX"), t.numbers("rlnCoordinateY")], axis=1) for t in (cut, picked)
    )
    assert len(places) > 4
    away = np.abs(places[:, None] - of_pick[None]).max(axis=2).min(axis=1)
    assert away.max() <= 0.51  # corners are whole pixels


def test_a_broken_micrograph_does_not_end_the_job_nor_change_the_others(tmp_path, vitreous):
    write_micrographs(tmp_path, 2)
    (tmp_path / "a.mrc").write_bytes(b"broken")
    words = ("--diameter-A", 120, "--false-picks", 0.5, "--threads", 2)
    ended = vitreous("pick", tmp_path / "a.mrc", tmp_path / "m0.mrc", tmp_path / "m1.mrc", "-o", tmp_path / "o", *words)
    assert ended.code == 0
    assert "1 could not be used" in ended.out
    alone = vitreous("pick", tmp_path / "m1.mrc", "-o", tmp_path / "p", *words)
    assert alone.code == 0
    one, other = (tmp_path / name / "picks/m1_autopick.star" for name in "op")
    assert one.read_bytes() == other.read_bytes()
    failures = read_star(tmp_path / "o/micrographs.star")["micrographs"].text("vtrFailure")
    assert "not an MRC file" in failures[0]
    assert failures[1:].tolist() == ["none", "none"]


@pytest.mark.parametrize(
    ("job", "words"), [("pick", ("--diameter-A", 120)), ("ctf", ("--voltage-kV", 300, "--cs-mm", 2.7))]
)
def test_a_job_that_can_use_no_micrograph_says_so_by_its_status_whenever_it_is_asked(tmp_path, vitreous, job, words):
    (tmp_path / "a.mrc").write_bytes(b"broken")
    for again, said in (((), "1 could not be used"), (("--resume",), "finished")):
        ended = vitreous(job, tmp_path / "a.mrc", "-o", tmp_path / "q", *words, *again)
        assert ended.code == 1
        assert said in ended.out
        assert (tmp_path / "q/report.html").is_file()


def test_a_job_that_was_stopped_goes_on_and_ends_alike(tmp_path, monkeypatch):
    monkeypatch.setattr("vitreous.micrographs.algorithm.AT_ONCE", 1)
    monkeypatch.setattr("vitreous.jobs.tasks.pick.AT_ONCE", 1)
    pattern = write_micrographs(tmp_path, 3)
    run_pick((pattern,), tmp_path / "whole", SETTINGS, QUICK)
    stopped = tmp_path / "stopped"
    from vitreous.jobs.tasks import pick

    def stop_after_the_first(listed, folder, state, write=pick._write_each):
        write(listed, folder, state)
        (folder / "RELION_JOB_ABORT_NOW").touch()

    with monkeypatch.context() as within:
        within.setattr(pick, "_write_each", stop_after_the_first)
        with pytest.raises(Interrupted):
            run_pick((pattern,), stopped, SETTINGS, QUICK)
    assert len(list(stopped.glob("picks/*_autopick.star"))) == 1
    run_pick((pattern,), stopped, SETTINGS, RunOptions(threads=1, resume=True))
    assert (stopped / "picks.star").read_bytes() == (tmp_path / "whole/picks.star").read_bytes()


def test_templates_and_wrong_ones(tmp_path, vitreous):
    pattern = write_micrographs(tmp_path, 1)
    axis = np.arange(24) - 12
    disc = (np.hypot(axis[:, None], axis) < 6).astype(np.float32)
    write_mrc_stack(tmp_path / "t.mrcs", np.stack([disc, np.zeros_like(disc)]), 10.0)
    ended = vitreous("pick", pattern, "-o", tmp_path / "o", "--templates", tmp_path / "t.mrcs", "--angles", 4)
    assert ended.code == 0
    assert "1 images of" in ended.out
    for words, said in (
        (("--pixel-size-A", 1), "too small to guess the diameter from"),
        (("--templates", tmp_path / "t.mrcs", "--map", tmp_path / "t.mrcs"), "leave one of them out"),
        (("--diameter-A", 120, "--template-pixel-size-A", 2), "there are no templates and no map"),
        (("--diameter-A", 3000, "--pixel-size-A", 10), "less than a template"),
    ):
        ended = vitreous("pick", pattern, "-o", tmp_path / "q", *words)
        assert ended.code == 1
        assert said in ended.err + ended.out
