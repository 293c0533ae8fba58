"""A new job of 110 lines has a command, a dry run, resume, a report, and a list of files that belong to it."""

import json
from inspect import signature

import cyclopts
import numpy as np
import pytest
import tiny_job
from made_up import PARTICLES, made_up_particles

from vitreous.cli.commands import command_of
from vitreous.iterate import Interrupted
from vitreous.jobs import JobFolderError, job_status, read_history, read_manifest, write_report
from vitreous.jobs.function import function_of
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.table import TASKS, Entry
from vitreous.particles import open_stack


@pytest.fixture
def run_mean(monkeypatch):
    """The job in the table, as a function."""
    monkeypatch.setitem(TASKS, "mean", Entry(module="tiny_job", help="The mean image of particles, in two halves."))
    return function_of(tiny_job.TASK)


@pytest.fixture
def star(tmp_path):
    return made_up_particles(tmp_path).path


@pytest.fixture
def command(run_mean):
    """The job as a command: called with the words of a command line."""
    app = cyclopts.App(result_action="return_value")
    app.command(command_of(tiny_job.TASK), name="mean")
    return lambda *words: app(["mean", *map(str, words)], exit_on_error=False, print_error=False)


def halves(folder) -> np.ndarray:
    return open_stack(folder / tiny_job.HALVES).read(np.arange(2))


def test_files_record_and_report(run_mean, star, tmp_path):
    report = run_mean(star, tmp_path / "o", tiny_job.Mean(seed=3), pixel_size_A=5.0)
    images = open_stack(tmp_path / "stack.mrcs").read(np.arange(PARTICLES))
    np.testing.assert_allclose(halves(tmp_path / "o").mean(0), images.mean(0), atol=1e-6)  # of float32 means
    manifest = read_manifest(tmp_path / "o")
    assert (manifest.task, manifest.seed, manifest.inputs) == ("mean", 3, (str(star),))
    assert manifest.settings == {"invert_contrast": False, "pixel_size_A": 5.0}
    assert manifest.runs[0].command == "vitreous.run_mean"
    assert set(manifest.summary) == {"correlation_of_halves", "seconds"}
    page = report.read_text()
    assert "Two halves of the particles" in page
    assert page.count("data:image/png") == 2
    report.unlink()
    assert write_report(tmp_path / "o") == report
    assert "Two halves of the particles" in report.read_text()


def test_the_function_says_what_it_takes(run_mean):
    assert list(signature(run_mean).parameters)[:4] == ["particles", "output", "settings", "options"]
    assert {"command", "project", "passthrough", "pixel_size_A"} <= set(signature(run_mean).parameters)
    assert run_mean.__doc__.startswith("The mean image of particles, in two halves.")
    assert "Pixel size of the images" in run_mean.__doc__
    with pytest.raises(TypeError, match="settings of mean: expected Mean, found int"):
        run_mean("p.star", "o", 4)
    with pytest.raises(ValueError, match="mean runs on the processor"):
        run_mean("p.star", "o", options=RunOptions(device="cuda"))


def test_a_dry_run_writes_nothing(command, star, tmp_path, capsys):
    command(star, "-o", tmp_path / "o", "--dry-run", "--json")
    out, err = capsys.readouterr()
    assert (json.loads(out)["event"], f"{PARTICLES} particles" in err) == ("plan", True)
    assert not (tmp_path / "o").exists()


def test_its_command_runs_and_does_not_run_again(command, star, tmp_path, capsys):
    command(star, "-o", tmp_path / "o", "--seed", 2, "--invert-contrast")
    assert "done in" in capsys.readouterr().out
    assert read_manifest(tmp_path / "o").settings["invert_contrast"] is True
    before = halves(tmp_path / "o")
    command(star, "-o", tmp_path / "o", "--seed", 2, "--invert-contrast")
    assert "finished already" in capsys.readouterr().out
    assert len(read_manifest(tmp_path / "o").runs) == 1
    with pytest.raises(JobFolderError, match="seed: 2 -> 4"):
        command(star, "-o", tmp_path / "o", "--seed", 4, "--invert-contrast")
    command(star, "-o", tmp_path / "o", "--seed", 4, "--overwrite")
    assert not np.array_equal(halves(tmp_path / "o"), before)


def test_an_option_of_another_job_is_refused(command, star, tmp_path):
    with pytest.raises(cyclopts.CycloptsError, match="every"):
        command(star, "-o", tmp_path / "o", "--every", 2)


def test_stopped_and_resumed_it_ends_with_the_same_bits(run_mean, star, tmp_path, monkeypatch):
    run_mean(star, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: len(read_history(job.path)) == 1)
        with pytest.raises(Interrupted):
            run_mean(star, tmp_path / "o")
    assert (job_status(tmp_path / "o"), (tmp_path / "o" / tiny_job.HALVES).exists()) == ("aborted", False)
    run_mean(star, tmp_path / "o", options=RunOptions(resume=True))
    assert halves(tmp_path / "o").tobytes() == halves(tmp_path / "whole").tobytes()
    assert [entry["iteration"] for entry in read_history(tmp_path / "o")] == [1, 2]


def test_a_file_of_somebody_else_is_not_overwritten(run_mean, star, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / tiny_job.HALVES).touch()
    with pytest.raises(JobFolderError, match="not from this program"):
        run_mean(star, tmp_path / "o", options=RunOptions(overwrite=True))
