"""``vitreous denoise``: folder, files, report, resume, and what it says to bad input."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from test_kill import KILLED

from vitreous.iterate import Interrupted
from vitreous.jobs import job_status, read_history, read_manifest
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.denoise import run_denoise
from vitreous.particles import Table, open_stack, read_particles, read_star, write_mrc_stack, write_star


def pixels(path) -> np.ndarray:
    stack = open_stack(path)
    return stack.read(np.arange(len(stack)))


@pytest.fixture(scope="module")
def folder(simulated, tmp_path_factory):
    """A finished job."""
    path = tmp_path_factory.mktemp("denoised") / "out"
    run_denoise(simulated / "particles.star", path)
    return path


def test_files_and_report(simulated, folder):
    before, after = read_particles(simulated / "particles.star"), read_particles(folder / "denoised.star")
    assert (len(after), after.box_px, after.pixel_size_A) == (300, 24, 12.0)
    assert np.array_equal(after.read(slice(None)), pixels(folder / "denoised.mrcs"))
    gone = {"rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnCtfBfactor"} & set(before.table.names)
    assert gone
    assert set(after.table.names) == set(before.table.names) - gone | {"vtrSourceImage", "vtrWeight"}
    assert list(after.table["vtrSourceImage"]) == list(before.table.text("rlnImageName"))
    assert list(after.table["vtrTrueVolume"]) == list(before.table["vtrTrueVolume"])
    assert not after.has_ctf
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png") > 2 * 30
    assert "rise above the noise" in page
    assert job_status(folder) == "finished"
    assert read_manifest(folder).summary["particles"] == 300
    assert not (folder / ".prepared").exists()


def test_report_again_for_every_kind_of_job(vitreous, folder, classified, simulated, tmp_path):
    first = (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    assert vitreous("report", folder).out.strip() == str(folder / "report.html")
    assert (folder / "report.html").read_text().count("data:image") == first.count("data:image")
    assert vitreous("deconvolve", classified, "-o", tmp_path / "d", "--groups", 2).code == 0
    ended = vitreous("report", tmp_path / "d")
    assert (ended.code, ended.out.strip()) == (0, str(tmp_path / "d" / "report.html"))
    refused = vitreous("report", simulated)
    assert (refused.code, "simulate job, which has no report" in refused.err) == (1, True)


def test_without_ctf_correction_its_columns_stay(vitreous, simulated, tmp_path):
    ended = vitreous("denoise", simulated / "particles.star", "-o", tmp_path / "o", "--no-ctf", "--json")
    assert ended.code == 0, ended.err
    assert ended.events[-1]["event"] == "end"
    assert read_particles(tmp_path / "o" / "denoised.star").has_ctf


def test_bare_stack_and_bad_particles(vitreous, simulated, tmp_path):
    images = pixels(simulated / "particles.mrcs")
    images[5], images[6] = np.nan, 0.0
    write_mrc_stack(tmp_path / "p.mrcs", images, 12.0)
    ended = vitreous("denoise", tmp_path / "p.mrcs", "-o", tmp_path / "o")
    assert ended.code == 0, ended.err
    table = read_star(tmp_path / "o" / "denoised.star")["particles"]
    assert np.flatnonzero(table.numbers("vtrWeight") == 0).tolist() == [5, 6]
    assert not pixels(tmp_path / "o" / "denoised.mrcs")[[5, 6]].any()
    report = (tmp_path / "o" / "report.html").read_text()
    assert "1 particle with NaN or infinite pixels (6): not used" in report
    assert "1 particle with all pixels equal (7): not used" in report


def test_finished_dry_and_other_settings(vitreous, simulated, folder, tmp_path):
    star = simulated / "particles.star"
    again = vitreous("denoise", star, "-o", folder)
    assert (again.code, "finished already" in again.out) == (0, True)
    other = vitreous("denoise", star, "-o", folder, "--components", 3)
    assert (other.code, "components: None -> 3" in other.err) == (1, True)
    dry = vitreous("denoise", star, "-o", tmp_path / "dry", "--dry-run")
    assert (dry.code, (tmp_path / "dry").exists(), "300 particles" in dry.out) == (0, False, True)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    write_mrc_stack(copy / "mine.mrcs", np.ones((1, 4, 4)), 1.0)
    assert vitreous("denoise", star, "-o", copy, "--components", 3, "--overwrite").code == 0
    assert (copy / "mine.mrcs").is_file()
    assert read_manifest(copy).summary["components_found"] == 3


def test_broken_input(vitreous, simulated, tmp_path):
    missing = vitreous("denoise", tmp_path / "none.star", "-o", tmp_path / "o")
    assert (missing.code, "none.star" in missing.err) == (1, True)
    blocks = read_star(simulated / "particles.star")
    defocus = blocks["particles"].numbers("rlnDefocusU")
    defocus[4] = np.nan
    broken = {**blocks, "particles": blocks["particles"].with_columns({"rlnDefocusU": defocus})}
    write_star(tmp_path / "broken.star", broken)
    shutil.copy(simulated / "particles.mrcs", tmp_path)
    ended = vitreous("denoise", tmp_path / "broken.star", "-o", tmp_path / "o")
    assert (ended.code, "1 particle with CTF parameters that are not finite (5)" in ended.out) == (0, True)
    zeros = {"particles": Table.from_arrays({"rlnImageName": ["1@z.mrcs"], "rlnOpticsGroup": [1]})}
    write_mrc_stack(tmp_path / "z.mrcs", np.zeros((1, 24, 24)), 12.0)
    write_star(tmp_path / "z.star", {"optics": blocks["optics"], **zeros})
    ended = vitreous("denoise", tmp_path / "z.star", "-o", tmp_path / "z", "--no-ctf")
    assert (ended.code, "every image is constant" in ended.err) == (1, True)
    assert not (tmp_path / "z").exists()


def test_a_request_to_stop_leaves_nothing_half_written(simulated, folder, tmp_path, monkeypatch):
    def stop_after_five(job):
        return len(read_history(job.path)) == 5

    monkeypatch.setattr("vitreous.averages.denoise.task.BATCH_BYTES", 1)  # many steps
    small = RunOptions()
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", stop_after_five)
        with pytest.raises(Interrupted):
            run_denoise(simulated / "particles.star", tmp_path / "o", options=small)
    assert job_status(tmp_path / "o") == "aborted"
    assert [p.name for p in (tmp_path / "o").glob("*denoised*")] == []
    assert not (tmp_path / "o" / ".prepared").exists()
    run_denoise(simulated / "particles.star", tmp_path / "o", options=RunOptions(resume=True))
    run_denoise(simulated / "particles.star", tmp_path / "whole", options=small)
    assert np.array_equal(pixels(tmp_path / "o" / "denoised.mrcs"), pixels(tmp_path / "whole" / "denoised.mrcs"))
    steps = [[entry["iteration"] for entry in read_history(tmp_path / name)] for name in ("o", "whole")]
    assert steps[0] == steps[1] == list(range(1, 21))  # the model, and 19 times 16 images


@pytest.mark.parametrize(
    "moment",
    [
        4,  # fitted
        pytest.param(6, marks=pytest.mark.slow),  # images made, the table not written
        pytest.param(8, marks=pytest.mark.slow),  # all but the stack
    ],
)
def test_killed_and_resumed_it_ends_alike(vitreous, simulated, folder, tmp_path, monkeypatch, moment):
    words = ["denoise", str(simulated / "particles.star"), "-o", "o", "--resume"]
    command = [sys.executable, "-c", KILLED, str(moment), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert job_status(tmp_path / "o") == "interrupted"
    monkeypatch.chdir(tmp_path)
    assert vitreous(*words).code == 0
    for name in ("denoised.star", "denoised.mrcs"):
        assert (tmp_path / "o" / name).read_bytes()[1024:] == (folder / name).read_bytes()[1024:]
    assert not list((tmp_path / "o").glob(".*.tmp"))
