"""A job folder says what it is, belongs to one process, and ends with the right marker."""

import json
import logging
import os
import subprocess
import sys

import pytest

from vitreous.iterate import Interrupted
from vitreous.jobs.folder import JobFinished, JobFolderError, job_status, open_job
from vitreous.jobs.history import append_history, read_history, rewind_history
from vitreous.jobs.lock import FolderInUseError
from vitreous.jobs.manifest import new_manifest, read_manifest

COMMAND = "vitreous class2d p.star -o job"


def manifest(**settings):
    return new_manifest(
        "class2d", {"classes": 50, **settings}, seed=1, inputs=["p.star"], files=["run_it[0-9]*", "run_data.star"]
    )


def markers(folder):
    return sorted(p.name for p in folder.glob("RELION_JOB_*"))


def run_job(folder, *, error=None, settings=None, **flags):
    with open_job(folder, manifest(**(settings or {})), command=COMMAND, **flags) as job:
        job.log("working")
        if error:
            raise error
        return job.resumed


def leave_interrupted(folder):
    """What kill -9 leaves behind: a manifest that says running and the lock of a dead process."""
    run_job(folder)
    content = json.loads((folder / "job.json").read_text())
    content["runs"][-1] |= {"status": "running", "ended": None}
    (folder / "job.json").write_text(json.dumps(content))
    (folder / "RELION_JOB_EXIT_SUCCESS").unlink()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    owner = {"pid": gone.pid, "host": os.uname().nodename, "born": "1"}
    (folder / ".lock").write_text(json.dumps(owner))
    (folder / ".run_data.star.x4711abc.tmp").write_text("torn")


def test_a_job_that_ends_well(tmp_path):
    assert job_status(tmp_path / "job") == "absent"
    assert run_job(tmp_path / "job") is False
    assert job_status(tmp_path / "job") == "finished"
    assert markers(tmp_path / "job") == ["RELION_JOB_EXIT_SUCCESS"]
    assert not (tmp_path / "job" / ".lock").exists()
    written = read_manifest(tmp_path / "job")
    assert written is not None
    assert written.settings == {"classes": 50}
    assert written.inputs == ("p.star",)
    assert {"python", "numpy", "torch", "vitreous"} <= set(written.versions)
    assert written.runs[0].command == COMMAND
    assert written.runs[0].ended
    assert "working" in (tmp_path / "job" / "run.log").read_text()
    assert COMMAND in (tmp_path / "job" / "note.txt").read_text()


@pytest.mark.parametrize(
    ("error", "status", "marker"),
    [
        (RuntimeError("no memory"), "failed", "RELION_JOB_EXIT_FAILURE"),
        (Interrupted(3), "aborted", "RELION_JOB_EXIT_ABORTED"),
        (KeyboardInterrupt(), "aborted", "RELION_JOB_EXIT_ABORTED"),
    ],
)
def test_a_job_that_ends_otherwise(tmp_path, error, status, marker):
    with pytest.raises(type(error)):
        run_job(tmp_path, error=error)
    assert job_status(tmp_path) == status
    assert markers(tmp_path) == [marker]
    assert run_job(tmp_path, resume=True) is True
    assert markers(tmp_path) == ["RELION_JOB_EXIT_SUCCESS"]
    assert len(read_manifest(tmp_path).runs) == 2


def test_the_traceback_is_in_the_log(tmp_path):
    with pytest.raises(RuntimeError):
        run_job(tmp_path, error=RuntimeError("no memory"))
    log = (tmp_path / "run.log").read_text()
    assert "Traceback" in log
    assert "no memory" in log


def test_a_finished_job_says_so(tmp_path):
    run_job(tmp_path)
    with pytest.raises(JobFinished, match="has finished already"):
        run_job(tmp_path)
    assert markers(tmp_path) == ["RELION_JOB_EXIT_SUCCESS"]


def test_other_settings_in_the_same_folder_are_refused_by_name(tmp_path):
    run_job(tmp_path)
    with pytest.raises(JobFolderError, match="classes: 50 -> 30"):
        run_job(tmp_path, settings={"classes": 30})
    assert run_job(tmp_path, settings={"classes": 30}, overwrite=True) is False
    assert read_manifest(tmp_path).settings == {"classes": 30}


def test_an_interrupted_job_asks_for_resume(tmp_path):
    leave_interrupted(tmp_path)
    assert job_status(tmp_path) == "interrupted"
    with pytest.raises(JobFolderError, match="--resume continues it, --overwrite"):
        run_job(tmp_path)
    assert run_job(tmp_path, resume=True) is True
    assert not (tmp_path / ".run_data.star.x4711abc.tmp").exists()


@pytest.mark.parametrize("pattern", ["../*", "../../**/*.star", "linked/*"])
def test_a_manifest_from_elsewhere_does_not_lead_out_of_its_folder(tmp_path, pattern):
    folder, outside = tmp_path / "others" / "job", tmp_path / "others" / "mine.star"
    run_job(folder)
    outside.write_text("mine")
    (folder / "linked").symlink_to(outside.parent)
    content = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps({**content, "files": [pattern]}))
    run_job(folder, overwrite=True)
    assert outside.read_text() == "mine"


def test_overwrite_removes_our_results_only(tmp_path):
    run_job(tmp_path)
    (tmp_path / "run_it001_data.star").touch()
    (tmp_path / "precious.txt").touch()
    (tmp_path / "run.out").touch()
    run_job(tmp_path, overwrite=True)
    assert not (tmp_path / "run_it001_data.star").exists()
    assert (tmp_path / "precious.txt").exists()
    assert (tmp_path / "run.out").exists()


def test_overwrite_never_removes_the_input(tmp_path):
    """A job on the results of another one, into the folder of that one: its input would go with the other results."""
    with open_job(tmp_path, new_manifest("simulate", {}, seed=0, files=["particles.*"]), command="vitreous simulate"):
        for name in ("particles.star", "particles.mrcs"):
            (tmp_path / name).write_text("mine")
    given = new_manifest("class2d", {}, seed=1, inputs=[tmp_path / "particles.star"], files=["run_data.star"])
    with (
        pytest.raises(JobFolderError, match=r"particles\.star lies in .* choose another folder"),
        open_job(tmp_path, given, command="vitreous class2d", overwrite=True),
    ):
        pass
    assert (tmp_path / "particles.star").read_text() == (tmp_path / "particles.mrcs").read_text() == "mine"
    elsewhere = new_manifest("class2d", {}, seed=1, inputs=[tmp_path / "in" / "p.star"], files=["run_data.star"])
    with open_job(tmp_path, elsewhere, command="vitreous class2d", overwrite=True):
        assert not (tmp_path / "particles.star").exists()


def test_resume_in_a_new_folder_starts(tmp_path):
    assert run_job(tmp_path, resume=True) is False


def test_a_folder_prepared_by_relion_is_accepted(tmp_path):
    for name in ("job.star", "run.out", "run.err", "note.txt"):
        (tmp_path / name).write_text("x\n")
    run_job(tmp_path)
    assert (tmp_path / "note.txt").read_text().startswith("x\n")


def test_results_of_another_program_are_never_touched(tmp_path):
    (tmp_path / "run_it025_data.star").touch()
    with pytest.raises(JobFolderError, match="not from this program"):
        run_job(tmp_path, overwrite=True)
    assert (tmp_path / "run_it025_data.star").exists()


def test_results_of_another_program_beside_a_job_of_another_kind_stay(tmp_path):
    run_job(tmp_path)
    (tmp_path / "averages.mrcs").touch()
    other = new_manifest("neighbours", {}, seed=1, files=["averages.mrcs", "run_data.star"])
    with pytest.raises(JobFolderError, match="not from this program"), open_job(tmp_path, other, command=COMMAND):
        pass
    (tmp_path / "averages.mrcs").rename(tmp_path / "mine.mrcs")
    (tmp_path / "run_data.star").touch()  # of the job that is replaced
    with open_job(tmp_path, other, command=COMMAND, overwrite=True):
        assert not (tmp_path / "run_data.star").exists()


def test_a_folder_with_nothing_but_a_report_is_not_ours(tmp_path):
    (tmp_path / "report.html").touch()
    assert job_status(tmp_path) == "other"


def test_a_file_instead_of_a_folder(tmp_path):
    (tmp_path / "job").touch()
    with pytest.raises(JobFolderError, match="is a file"):
        run_job(tmp_path / "job")


def test_a_broken_manifest_is_named(tmp_path):
    (tmp_path / "job.json").write_text('{"task": ')
    with pytest.raises(ValueError, match=r"job\.json is damaged, or not a job manifest"):
        run_job(tmp_path)


def test_a_folder_in_use_is_refused(tmp_path):
    with open_job(tmp_path, manifest(), command=COMMAND):
        assert job_status(tmp_path) == "running"
        with pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()}"):
            run_job(tmp_path, overwrite=True)
    assert job_status(tmp_path) == "finished"


@pytest.mark.parametrize("owner", ["", "{}", '{"pid": %d, "host": "%s", "born": "not this one"}'])
def test_a_stale_lock_is_taken_over(tmp_path, owner):
    (tmp_path / ".lock").write_text(owner % (os.getpid(), os.uname().nodename) if "%" in owner else owner)
    run_job(tmp_path)
    assert job_status(tmp_path) == "finished"


def test_a_lock_of_another_host_is_respected(tmp_path):
    (tmp_path / ".lock").write_text(json.dumps({"pid": 1, "host": "elsewhere", "born": None}))
    with pytest.raises(FolderInUseError, match="process 1 on elsewhere"):
        run_job(tmp_path)


def test_abort_now_is_seen_and_removed(tmp_path):
    def stop_on_request():
        with open_job(tmp_path, manifest(), command=COMMAND) as job:
            assert not job.abort_requested()
            (tmp_path / "RELION_JOB_ABORT_NOW").touch()
            assert job.abort_requested()
            raise Interrupted(1)

    with pytest.raises(Interrupted):
        stop_on_request()
    assert markers(tmp_path) == ["RELION_JOB_EXIT_ABORTED"]


def test_descriptions_accumulate(tmp_path):
    with open_job(tmp_path, manifest(), command=COMMAND) as job:
        job.describe(summary={"particles": 5}, messages=("one",))
        job.describe(summary={"classes_found": 2}, messages=("one", "two"))
    written = read_manifest(tmp_path)
    assert written.summary == {"particles": 5, "classes_found": 2}
    assert written.messages == ("one", "two")


def test_the_log_is_detached_afterwards(tmp_path):
    run_job(tmp_path)
    assert logging.getLogger("vitreous").handlers == []


def test_history_survives_a_torn_line_and_is_rewound(tmp_path):
    for i in (1, 2, 3):
        append_history(tmp_path, {"iteration": i, "score": 0.1 * i, "bad": float("nan")})
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"iteration": 4, "sco')
    assert [e["iteration"] for e in read_history(tmp_path)] == [1, 2, 3]
    assert read_history(tmp_path)[2]["score"] == 0.1 * 3
    assert read_history(tmp_path)[0]["bad"] is None
    rewind_history(tmp_path, 2)
    append_history(tmp_path, {"iteration": 3})
    assert [e["iteration"] for e in read_history(tmp_path)] == [1, 2, 3]
