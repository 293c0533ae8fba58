"""``vitreous class2d``, ``select`` and ``report`` from end to end."""

import json
import shutil

import mrcfile
import numpy as np
import pytest
import starfile

from conftest import SMALL
from vitreous.averages.class2d import Class2D, class2d
from vitreous.jobs import Job, job_status, read_history, read_manifest
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.class2d import run_class2d
from vitreous.particles import Table, read_particles, read_star, write_mrc_stack, write_star

FEW = ("--K", 3, "--iter", 2)


def test_the_folder_is_complete(classified):
    names = {path.name for path in classified.iterdir()}
    assert {"job.json", "history.jsonl", "run.log", "report.html", "examples.npz", "RELION_JOB_EXIT_SUCCESS"} <= names
    for kind in ("data.star", "model.star", "optimiser.star", "sampling.star", "classes.mrcs"):
        assert {f"run_{kind}", *(f"run_it{i:03d}_{kind}" for i in (6,))} <= names
    assert "prepared" not in names
    assert [entry["iteration"] for entry in read_history(classified)] == [1, 2, 3, 4, 5, 6]


def test_the_manifest_tells_the_settings_and_the_data(classified, simulated):
    manifest = read_manifest(classified)
    assert (manifest.task, manifest.status, manifest.seed) == ("class2d", "finished", 0)
    assert (manifest.settings["classes"], manifest.settings["iterations"]) == (4, 6)
    assert manifest.inputs == (str(simulated / "particles.star"),)
    assert (manifest.summary["particles"], manifest.summary["box_px"], manifest.summary["pixel_size_A"]) == (
        300,
        24,
        12,
    )
    assert manifest.summary["found_signal"] is True
    assert manifest.summary["ctf_corrected"] is True


def test_files_hold_what_python_returns(classified, simulated):
    result = class2d(read_particles(simulated / "particles.star"), Class2D(classes=4, iterations=6))
    table = starfile.read(classified / "run_data.star")["particles"]
    np.testing.assert_array_equal(table["rlnClassNumber"], result.class_number)
    np.testing.assert_allclose(table["rlnAnglePsi"], result.psi_deg, atol=1e-5)
    with mrcfile.open(classified / "run_classes.mrcs") as file:
        np.testing.assert_array_equal(file.data, result.averages)


def test_files_of_an_iteration_are_readable(classified):
    table = starfile.read(classified / "run_it006_data.star")["particles"]
    assert set(table["rlnClassNumber"]) <= {0, 1, 2, 3, 4}  # 0: the jury, which waits for the final pass
    assert "vtrTrueAngleRot" in table
    model = starfile.read(classified / "run_it006_model.star")
    assert model["model_classes"]["rlnClassDistribution"].sum() == pytest.approx(1, abs=1e-5)
    with mrcfile.open(classified / "run_it006_classes.mrcs") as file:
        assert file.data.shape == (4, 24, 24)
        assert np.isfinite(file.data).all()


def test_a_finished_job_says_so(vitreous, classified, simulated):
    ended = vitreous("class2d", simulated / "particles.star", "-o", classified, "--K", 4, "--iter", 6)
    assert ended.code == 0
    assert "finished already" in ended.out
    assert str(classified / "report.html") in ended.out


def test_other_settings_in_the_folder_are_refused(vitreous, classified, simulated):
    ended = vitreous("class2d", simulated / "particles.star", "-o", classified, "--K", 5, "--iter", 6)
    assert ended.code == 1
    assert "classes: 4 -> 5" in ended.err


def test_first_screen_iterations_and_last_line(vitreous, simulated, tmp_path):
    ended = vitreous("class2d", simulated / "particles.star", "-o", tmp_path / "out", *FEW, "--threads", 1)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    for text in (
        "300 particles, 24 x 24 pixels",
        "12 Å/pixel",
        "3 classes",
        "CTF corrected",
        "memory 4.0 GB",
        "1 thread",
    ):
        assert any(text in line for line in lines[:5]), text
    assert [line.split()[1] for line in lines if line.startswith("iteration")] == ["1/2", "2/2"]
    assert [line.split()[0] for line in lines[-2:]] == ["report", "results"]


def test_json_lines(vitreous, simulated, tmp_path):
    ended = vitreous("class2d", simulated / "particles.star", "-o", tmp_path / "out", *FEW, "--json")
    kinds = [event["event"] for event in ended.events]
    assert kinds.count("iteration") == 2
    assert kinds[-1] == "end"
    plan = next(event for event in ended.events if event["event"] == "plan")
    assert (plan["n_particles"], plan["settings"]["classes"]) == (300, 3)
    assert "300 particles" in ended.err


def test_dry_run_touches_nothing(vitreous, simulated, tmp_path):
    words = ("class2d", simulated / "particles.star", "-o", tmp_path / "out", "--dry-run")
    ended = vitreous(*words)
    assert ended.code == 0
    assert "prepared images" in ended.out
    assert [event["event"] for event in vitreous(*words, "--json").events] == ["plan"]
    assert not (tmp_path / "out").exists()


def test_relions_command_line(vitreous, simulated, tmp_path):
    ended = vitreous(
        "class2d", "--i", simulated / "particles.star", "--o", tmp_path / "job001" / "run", "--K", 3, "--iter", 1,
        "--tau2_fudge", 2, "--particle_diameter", 250, "--offset_range", 2, "--psi_step", 6, "--zero_mask", "--ctf",
        "--norm", "--j", 1, "--random_seed", 5,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    manifest = read_manifest(tmp_path / "job001")
    settings = manifest.settings
    assert (settings["tau2_fudge"], settings["particle_diameter_A"], manifest.seed) == (2.0, 250.0, 5)
    assert settings["offset_range_A"] == pytest.approx(2 * SMALL.pixel_size_A)
    assert "offset_range_px" not in settings  # the same job as with --offset-range-A
    assert ended.err.count("note:") == 4


def test_files_of_every_third_iteration(simulated, tmp_path):
    run_class2d(simulated / "particles.star", tmp_path / "out", Class2D(classes=2, iterations=4), RunOptions(every=3))
    assert [p.name for p in sorted((tmp_path / "out").glob("run_it*_data.star"))] == ["run_it003_data.star"]


def test_overwrite(vitreous, simulated, tmp_path):
    words = ("class2d", simulated / "particles.star", "-o", tmp_path / "out")
    assert vitreous(*words, *FEW).code == 0
    assert vitreous(*words, "--K", 2, "--iter", 1, "--overwrite").code == 0
    assert not (tmp_path / "out" / "run_it002_data.star").exists()
    assert read_manifest(tmp_path / "out").settings["classes"] == 2


def test_small_memory_uses_the_disk_and_cleans_up(vitreous, simulated, tmp_path):
    words = ("class2d", simulated / "particles.star", *FEW)
    ended = vitreous(*words, "-o", tmp_path / "disk", "--memory", "1M")
    assert ended.code == 0, ended.err
    assert "on disk" in ended.out
    assert not (tmp_path / "disk" / "prepared").exists()
    assert vitreous(*words, "-o", tmp_path / "memory").code == 0
    one, other = (read_star(tmp_path / name / "run_data.star")["particles"] for name in ("disk", "memory"))
    np.testing.assert_array_equal(one["rlnClassNumber"], other["rlnClassNumber"])


def test_noise_gives_nothing_and_says_so(vitreous, tmp_path):
    noise = np.random.default_rng(4).standard_normal((300, 24, 24)).astype(np.float32)
    write_mrc_stack(tmp_path / "noise.mrcs", noise, 5.0)
    ended = vitreous("class2d", tmp_path / "noise.mrcs", "-o", tmp_path / "out", "--K", 4, "--iter", 5)
    assert ended.code == 0, ended.err
    assert "nothing was found" in ended.out
    assert read_manifest(tmp_path / "out").summary["found_signal"] is False


def test_bad_particles_are_carried_through(vitreous, simulated, tmp_path):
    particles = read_particles(simulated / "particles.star")
    images = particles.read(slice(None))
    images[7], images[8] = np.nan, 3.0
    write_mrc_stack(tmp_path / "particles.mrcs", images, 12.0)
    shutil.copy(simulated / "particles.star", tmp_path / "particles.star")
    ended = vitreous("class2d", tmp_path / "particles.star", "-o", tmp_path / "out", *FEW)
    assert ended.code == 0, ended.err
    assert "2 particles were refused" in ended.out
    table = read_star(tmp_path / "out" / "run_data.star")["particles"]
    assert list(np.flatnonzero(table["rlnClassNumber"] == 0)) == [7, 8]


def test_dark_particles_are_noticed(vitreous, simulated, tmp_path):
    particles = read_particles(simulated / "particles.star")
    write_mrc_stack(tmp_path / "particles.mrcs", -particles.read(slice(None)), 12.0)
    shutil.copy(simulated / "particles.star", tmp_path / "particles.star")
    words = ("class2d", tmp_path / "particles.star", "-o", tmp_path / "out", "--dry-run")
    assert "--invert-contrast makes them white" in vitreous(*words).out
    assert "dark on light" not in vitreous(*words, "--invert-contrast").out
    upright = ("class2d", simulated / "particles.star", "-o", tmp_path / "out", "--dry-run", "--invert-contrast")
    assert "makes them dark" in vitreous(*upright).out


def test_without_ctf_columns(vitreous, simulated, tmp_path):
    blocks = read_star(simulated / "particles.star")
    columns = [name for name in blocks["particles"].names if name.startswith("rlnDefocus")]
    write_star(tmp_path / "p.star", {**blocks, "particles": blocks["particles"].without(columns)})
    ended = vitreous("class2d", tmp_path / "p.star", "-o", tmp_path / "out", "--project", simulated, *FEW)
    assert ended.code == 0, ended.err
    assert "no CTF correction" in ended.out


def broken(kind: str, folder, simulated):
    """A particle file with one fault."""
    blocks, path = read_star(simulated / "particles.star"), folder / "particles.star"
    if kind == "missing":
        return path
    if kind == "directory":
        return folder
    if kind == "text":
        path.write_text("these are not particles\n")
        return path
    if kind == "empty":
        write_star(path, {**blocks, "particles": blocks["particles"].take(np.zeros(0, int))})
        return path
    if kind == "truncated":
        (folder / "particles.mrcs").write_bytes((simulated / "particles.mrcs").read_bytes()[:2000])
    elif kind == "beyond":
        blocks["particles"] = blocks["particles"].with_columns(
            {"rlnImageName": [f"{i + 900}@{simulated}/particles.mrcs" for i in range(300)]}
        )
    elif kind != "no stack":
        shutil.copy(simulated / "particles.mrcs", folder)
    if kind == "no pixel size":
        blocks["optics"] = blocks["optics"].without(["rlnImagePixelSize"])
    elif kind == "no images":
        blocks["particles"] = blocks["particles"].without(["rlnImageName"])
    elif kind == "defocus":
        blocks["particles"] = blocks["particles"].with_columns({"rlnDefocusU": ["deep"] * 300})
    write_star(path, blocks)
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "does not exist"),
        ("directory", "is a directory"),
        ("text", "not a STAR file"),
        ("empty", "is empty"),
        ("truncated", "particles.mrcs"),
        ("no stack", "particles.mrcs"),
        ("beyond", "beyond"),
        ("no pixel size", "pixel size"),
        ("no images", "rlnImageName"),
        ("defocus", "expected a number"),
    ],
)
def test_broken_input_is_one_sentence_and_leaves_no_folder(vitreous, simulated, tmp_path, kind, said):
    ended = vitreous("class2d", broken(kind, tmp_path, simulated), "-o", tmp_path / "out")
    assert ended.code == 1
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--K", 0], "classes"),
        (["--K", 400], "400 classes"),
        (["--particle-diameter-A", 280], "background"),
        (["--particle-diameter-A", -3], "--particle-diameter-A: expected"),
        (["--tau2_fudge", 0], "--tau2-fudge: expected"),
        (["--resume", "--overwrite"], "choose one"),
        (["--every", 0], "every"),
        (["--threads", 0], "threads"),
        (["--pixel-size-A", 0], "--pixel-size-A: expected"),
    ],
)
def test_wrong_settings_are_one_sentence(vitreous, simulated, tmp_path, words, said):
    ended = vitreous("class2d", simulated / "particles.star", "-o", tmp_path / "out", *words)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert said in ended.err


def test_a_file_or_foreign_results_at_the_output(vitreous, simulated, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert vitreous("class2d", simulated / "particles.star", "-o", tmp_path / "file").code == 1
    (tmp_path / "run_it001_data.star").write_text("mine")
    ended = vitreous("class2d", simulated / "particles.star", "-o", tmp_path)
    assert (ended.code, "not from this program" in ended.err) == (1, True)


def test_an_abort_file_stops_the_job_and_resume_finishes_it(vitreous, simulated, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = ("class2d", simulated / "particles.star", "-o", out, *FEW)

    def save_then_ask_to_stop(job, state, save=Job.save):
        save(job, state)
        if state.iteration == 1:
            (job.path / "RELION_JOB_ABORT_NOW").touch()

    with monkeypatch.context() as patch:
        patch.setattr(Job, "save", save_then_ask_to_stop)
        stopped = vitreous(*words)
    assert stopped.code == 130
    assert "--resume goes on" in stopped.err
    assert job_status(out) == "aborted"
    refused = vitreous(*words)
    assert (refused.code, "--resume continues it" in refused.err) == (1, True)
    resumed = vitreous(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert "going on after iteration 1" in resumed.out
    assert (out / "RELION_JOB_EXIT_SUCCESS").exists()
    assert not (out / "RELION_JOB_EXIT_ABORTED").exists()


def test_select_and_report(vitreous, classified, tmp_path):
    folder = tmp_path / "job"
    shutil.copytree(classified, folder)
    number = read_star(folder / "run_data.star")["particles"]["rlnClassNumber"]
    ended = vitreous("select", folder, "--classes", "1,3")
    assert ended.code == 0, ended.err
    kept = read_star(folder / "selected.star")["particles"]
    assert len(kept) == np.isin(number, [1, 3]).sum()
    found = json.loads(vitreous("select", folder, "--min-size", 1, "--max-resolution", 200, "--json").out)
    assert found["selected_count"] + found["excluded_count"] == 300
    (folder / "report.html").unlink()
    assert vitreous("report", folder).out.strip() == str(folder / "report.html")
    assert (folder / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "at least one condition"),
        (["--classes", "9"], "class 9 does not exist"),
        (["--classes", "x"], "such as 1,4,9"),
        (["--min-size", "1000"], "no class"),
    ],
)
def test_impossible_selections(vitreous, classified, words, said):
    ended = vitreous("select", classified, *words)
    assert (ended.code, said in ended.err) == (1, True)


def test_select_and_report_need_a_finished_job(vitreous, tmp_path):
    for words in (["select", tmp_path, "--classes", "1"], ["report", tmp_path]):
        ended = vitreous(*words)
        assert (ended.code, "not the folder of a" in ended.err) == (1, True)


def test_a_table_of_two_particles(vitreous, tmp_path):
    write_mrc_stack(tmp_path / "two.mrcs", np.random.default_rng(1).standard_normal((2, 24, 24)), 5.0)
    table = Table.from_arrays({"rlnImageName": ["1@two.mrcs", "2@two.mrcs"]})
    write_star(tmp_path / "two.star", {"particles": table})
    ended = vitreous("class2d", tmp_path / "two.star", "-o", tmp_path / "out", "--pixel-size-A", 5)
    assert (ended.code, "too few" in ended.err) == (1, True)
