"""Jobs that the system ends, that go on with other data, and folders that hold files of the user."""

import json
import shutil
import signal
import subprocess
import sys
import time

from vitreous.jobs import job_status
from vitreous.jobs.folder import STORE
from vitreous.particles import read_stack, read_star, write_mrc_stack, write_star

RUN = "import sys; from vitreous.cli import main; sys.exit(main(sys.argv[1:]))"
WORDS = ("--K", "4", "--iter", "4", "--threads", "1")


def test_sigterm_leaves_a_mark_and_names_resume(simulated, tmp_path):
    command = [sys.executable, "-c", RUN, "class2d", f"{simulated}/particles.star", "-o", "job", *WORDS[:2]]
    process = subprocess.Popen(
        [*command, "--iter", "60", "--threads", "1"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while not (tmp_path / "job" / "checkpoints" / "it000001.npz").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "--resume goes on in job" in said.decode()
    assert (tmp_path / "job" / "RELION_JOB_EXIT_ABORTED").exists()
    assert job_status(tmp_path / "job") == "aborted"


def test_a_job_on_other_data_is_not_continued(vitreous, simulated, tmp_path):
    for name in ("particles.star", "particles.mrcs"):
        shutil.copy(simulated / name, tmp_path)
    star, job = tmp_path / "particles.star", tmp_path / "job"
    assert vitreous("class2d", star, "-o", job, *WORDS).code == 0
    assert "finished already" in vitreous("class2d", star, "-o", job, *WORDS).out
    before, blocks = star.read_bytes(), read_star(star)
    defocus = blocks["particles"].numbers("rlnDefocusU")
    write_star(star, {**blocks, "particles": blocks["particles"].with_columns({"rlnDefocusU": defocus + 1})})
    changed = vitreous("class2d", star, "-o", job, *WORDS, "--resume")
    assert (changed.code, "other data" in changed.err, "particles.star has changed" in changed.err) == (1, True, True)
    star.write_bytes(before)
    images = read_stack(tmp_path / "particles.mrcs")
    images[7, 3, 3] += 0.5
    write_mrc_stack(tmp_path / "particles.mrcs", images, 12.0)
    changed = vitreous("class2d", star, "-o", job, *WORDS, "--resume")
    assert (changed.code, "what the images show has changed" in changed.err) == (1, True)


def test_another_version_is_said_when_a_job_goes_on(vitreous, simulated, tmp_path):
    job = tmp_path / "job"
    assert vitreous("class2d", simulated / "particles.star", "-o", job, *WORDS).code == 0
    content = json.loads((job / "job.json").read_text())
    content["versions"]["vitreous"] = "0.0.1"
    content["runs"][-1] |= {"status": "failed"}
    (job / "job.json").write_text(json.dumps(content))
    assert vitreous("class2d", simulated / "particles.star", "-o", job, *WORDS, "--resume").code == 0
    assert any("begun by version 0.0.1" in text for text in json.loads((job / "job.json").read_text())["messages"])


def test_files_of_the_user_are_never_removed(vitreous, simulated, tmp_path):
    job = tmp_path / "job"
    mine = ["prepared/notes.txt", ".backup.tmp", "run_it2_notes.docx", "denoised_paper.docx", "checkpoints/item.npz"]
    words = ["class2d", simulated / "particles.star", "-o", job, *WORDS]
    assert vitreous(*words).code == 0
    for name in mine:
        (job / name).parent.mkdir(exist_ok=True)
        (job / name).write_text("mine")
    assert vitreous(*words[:-4], "--iter", 2, "--overwrite").code == 0
    assert [name for name in mine if not (job / name).exists()] == []
    (job / STORE).mkdir()
    (job / STORE / "thesis.tex").write_text("mine")
    refused = vitreous(*words, "--overwrite")
    assert (refused.code, "was not made by this program" in refused.err) == (1, True)
    assert (job / STORE / "thesis.tex").exists()


def test_what_a_killed_writer_has_left_is_removed_from_a_finished_job(vitreous, simulated, tmp_path):
    words = ["class2d", simulated / "particles.star", "-o", tmp_path, *WORDS]
    assert vitreous(*words).code == 0
    left, mine = tmp_path / ".report.html.abcd1234.tmp", tmp_path / ".thesis.tex.abcd1234.tmp"
    left.touch()
    mine.touch()
    assert "finished already" in vitreous(*words).out
    assert (left.exists(), mine.exists()) == (False, True)


def test_iteration_files_are_those_of_the_newest_and_every_tenth(vitreous, simulated, tmp_path, monkeypatch):
    monkeypatch.setattr("vitreous.jobs.run_task.KEPT_EVERY", 3)  # a tenth iteration would take its time
    words = ["class2d", simulated / "particles.star", "--K", 4, "--threads", 1, "--iter", 5]
    for every, expected in ((1, [3, 5]), (2, [2, 4])):
        assert vitreous(*words, "--every", every, "-o", tmp_path / str(every)).code == 0
        assert sorted(int(p.name[6:9]) for p in (tmp_path / str(every)).glob("run_it*_data.star")) == expected


def test_relions_continuation_needs_no_input_and_may_go_on_for_longer(vitreous, simulated, tmp_path):
    job = tmp_path / "job"
    words = [
        "class2d",
        simulated / "particles.star",
        "-o",
        job,
        "--K",
        4,
        "--threads",
        1,
        "--seed",
        3,
        "--no-normalise",
    ]
    assert vitreous(*words, "--iter", 2).code == 0
    optimiser = job / "run_it002_optimiser.star"
    again = vitreous("class2d", "--continue", optimiser, "--threads", 1)
    assert (again.code, "finished already" in again.out) == (0, True)
    longer = vitreous("class2d", "--continue", optimiser, "--iter", 4, "--threads", 1)
    assert longer.code == 0, longer.err
    content = json.loads((job / "job.json").read_text())
    assert (content["settings"]["iterations"], content["settings"]["classes"], content["seed"]) == (4, 4, 3)
    assert len((job / "history.jsonl").read_text().splitlines()) == 4
    fewer = vitreous(*words, "--iter", 3, "--resume")
    assert (fewer.code, "iterations: 4 -> 3" in fewer.err) == (1, True)
