"""``vitreous deconvolve``: folder, files, report, resume."""

import json
import shutil

import numpy as np
import pytest

from vitreous.averages.deconvolve import Deconvolve, prepare_deconvolution
from vitreous.iterate import Interrupted
from vitreous.jobs import job_status, read_manifest
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.deconvolve import run_deconvolve
from vitreous.particles import open_stack, read_particles, read_star, write_mrc_stack, write_star

FILES = ("deconvolved.mrcs", "deconvolved_unmasked.mrcs", "deconvolved_masks.mrcs", "deconvolved_plain.mrcs")


def pixels(path) -> np.ndarray:
    stack = open_stack(path)
    return stack.read(np.arange(len(stack)))


@pytest.fixture(scope="module")
def folder(classified, tmp_path_factory):
    """A finished job on classified particles."""
    path = tmp_path_factory.mktemp("deconvolved") / "out"
    run_deconvolve(classified, path)
    return path


def test_files_and_report(classified, folder):
    averages = pixels(folder / "deconvolved.mrcs")
    assert averages.min() == 0
    assert averages.max() > 0
    particles = read_particles(folder / "deconvolved.star")
    assert (particles.pixel_size_A, particles.box_px, len(particles)) == (12.0, 24, len(averages))
    assert np.array_equal(particles.read(slice(None)), averages)
    before = read_particles(classified / "run_data.star").table["rlnClassNumber"]
    assert list(particles.table["vtrPopulation"]) == [(before == k).sum() for k in particles.table["rlnClassNumber"]]
    assert [len(pixels(folder / name)) for name in FILES] == [len(averages)] * 4
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png") == 3 * len(averages)
    assert "masked" in page
    assert job_status(folder) == "finished"


def test_what_the_classification_knew_is_taken_over(classified, folder):
    used = read_manifest(classified).summary["particle_diameter_used_A"]
    assert read_manifest(folder).settings["particle_diameter_A"] == used


def test_command_and_a_finished_folder(vitreous, classified, folder, tmp_path):
    ended = vitreous("deconvolve", classified / "run_data.star", "-o", tmp_path / "o", "--groups", 2, "--json")
    assert ended.code == 0, ended.err
    assert [event["event"] for event in ended.events][-1] == "end"
    again = vitreous("deconvolve", classified / "run_data.star", "-o", tmp_path / "o", "--groups", 2)
    assert (again.code, "finished already" in again.out) == (0, True)
    other = vitreous("deconvolve", classified / "run_data.star", "-o", tmp_path / "o", "--groups", 3)
    assert (other.code, "groups: 2 -> 3" in other.err) == (1, True)
    dry = vitreous("deconvolve", classified, "-o", tmp_path / "dry", "--dry-run")
    assert (dry.code, (tmp_path / "dry").exists(), "4 classes" in dry.out) == (0, False, True)


def test_interrupted_and_resumed_it_ends_alike(classified, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("vitreous.averages.deconvolve.task.STEP_BYTES", 1)  # one class in a step

    def stop_after_two(job):
        return job.path.joinpath("history.jsonl").is_file() and len(lines(job.path)) == 2

    def lines(path):
        return [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]

    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", stop_after_two)
        with pytest.raises(Interrupted):
            run_deconvolve(classified, tmp_path / "o", options=RunOptions())
    assert job_status(tmp_path / "o") == "aborted"
    run_deconvolve(classified, tmp_path / "o", options=RunOptions(resume=True))
    assert [entry["iteration"] for entry in lines(tmp_path / "o")] == [1, 2, 3, 4]
    run_deconvolve(classified, tmp_path / "whole", options=RunOptions())
    assert np.array_equal(pixels(tmp_path / "o" / FILES[0]), pixels(tmp_path / "whole" / FILES[0]))


def test_single_averages(vitreous, classified, tmp_path):
    ended = vitreous("deconvolve", classified / "run_classes.mrcs", "--single", "-o", tmp_path / "o")
    assert ended.code == 0, ended.err
    assert len(pixels(tmp_path / "o" / FILES[0])) == 4


def test_stack_without_classes_says_what_to_do(vitreous, classified, tmp_path):
    ended = vitreous("deconvolve", classified / "run_classes.mrcs", "-o", tmp_path / "o")
    assert ended.code == 1
    assert "single" in ended.err
    assert not (tmp_path / "o").exists()


def test_overwrite_removes_only_our_files(classified, folder, tmp_path):
    copy = tmp_path / "o"
    shutil.copytree(folder, copy)
    write_mrc_stack(copy / "mine.mrcs", np.ones((1, 4, 4)), 1.0)
    run_deconvolve(classified, copy, Deconvolve(groups=2), RunOptions(overwrite=True))
    assert (copy / "mine.mrcs").is_file()
    assert read_manifest(copy).settings["groups"] == 2


def test_classes_that_are_solved_together_are_few_in_large_boxes(classified, monkeypatch):
    particles = read_particles(classified / "run_data.star")
    assert prepare_deconvolution(particles, Deconvolve()).steps == 1
    monkeypatch.setattr("vitreous.averages.deconvolve.task.STEP_BYTES", 1)
    assert prepare_deconvolution(particles, Deconvolve()).steps == 4


def test_classes_of_noise_are_not_made_into_averages(vitreous, classified, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(classified, copy)
    content = json.loads((copy / "job.json").read_text())
    content["summary"]["found_signal"] = False
    (copy / "job.json").write_text(json.dumps(content))
    ended = vitreous("deconvolve", copy, "-o", tmp_path / "o")
    assert (ended.code, "a classification that found nothing" in ended.err) == (1, True)


def test_dark_particles_are_turned_over(vitreous, simulated, classified, tmp_path):
    """What is nowhere negative would otherwise be a picture of what surrounds the particle."""
    images, blocks = pixels(simulated / "particles.mrcs"), read_star(classified / "run_data.star")
    found = {}
    for name, sign in (("white", 1), ("dark", -1)):
        write_mrc_stack(tmp_path / f"{name}.mrcs", sign * images, 12.0)
        names = [f"{i + 1:06d}@{name}.mrcs" for i in range(len(images))]
        table = blocks["particles"].with_columns({"rlnImageName": names})
        write_star(tmp_path / f"{name}.star", {**blocks, "particles": table})
        ended = vitreous("deconvolve", tmp_path / f"{name}.star", "-o", tmp_path / name)
        assert ended.code == 0, ended.err
        assert ("were turned over" in ended.out) == (sign < 0)
        found[name] = pixels(tmp_path / name / FILES[0])
    assert np.array_equal(found["white"], found["dark"])
    assert any("were turned over" in text for text in read_manifest(tmp_path / "dark").messages)
