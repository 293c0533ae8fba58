"""``torchrun -m vitreous``: one folder and one screen, results as of one process, and what happens when one dies."""

import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vitreous.jobs import job_status, read_history
from vitreous.jobs.manifest import read_manifest
from vitreous.particles import open_stack, read_star, read_volume

sys.path.insert(0, str(Path(__file__).parents[1] / "jobs"))

from several import start

FAST = ("--classes", "4", "--iterations", "5", "--threads", "1", "--seed", "3")


def command(name: str, *words: object) -> list[str]:
    return ["-m", "vitreous", name, *map(str, words)]


def ended(processes) -> list[tuple[int, str, str]]:
    said = [process.communicate(timeout=300) for process in processes]
    return [(process.returncode, *words) for process, words in zip(processes, said, strict=True)]


@pytest.fixture(scope="module")
def by_two(simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "out"
    words = command("class2d", simulated / "particles.star", "-o", folder, *FAST)
    return words, folder, ended(start(words, 2))


def test_the_first_process_has_folder_and_screen(by_two):
    _, folder, ((code, out, err), (other_code, other_out, other_err)) = by_two
    assert (code, other_code) == (0, 0), (err, other_err)
    assert "done in" in out
    assert other_out == ""
    assert job_status(folder) == "finished"
    assert len(read_history(folder)) == 5
    assert not (folder / ".prepared").exists()
    assert read_manifest(folder).summary["processes"] == 2


def test_two_processes_find_what_one_finds(by_two, vitreous, simulated, tmp_path):
    _, folder, _ = by_two
    assert vitreous("class2d", simulated / "particles.star", "-o", tmp_path / "one", *FAST).code == 0
    one, two = (read_star(f / "run_data.star")["particles"] for f in (tmp_path / "one", folder))
    assert (one["rlnClassNumber"] == two["rlnClassNumber"]).mean() > 0.97
    a, b = (open_stack(f / "run_classes.mrcs").read(np.arange(4)) for f in (tmp_path / "one", folder))
    assert [np.corrcoef(x.ravel(), y.ravel())[0, 1] > 0.99 for x, y in zip(a, b, strict=True)] == [True] * 4


def test_a_finished_job_is_not_done_again_and_nobody_waits(by_two):
    words, _, _ = by_two
    (code, out, err), (other_code, other_out, _) = ended(start(words, 2))
    assert (code, other_code) == (0, 0), err
    assert "has finished already" in out
    assert other_out == ""


def test_a_folder_of_something_else_ends_all_processes(by_two):
    words, folder, _ = by_two
    (code, _, err), (other_code, _, _) = ended(start([*words, "--tau2-fudge", "2"], 2))
    assert code == 1
    assert other_code == 0
    assert "holds a job with other settings" in err
    assert job_status(folder) == "finished"


def test_a_dry_run_says_it_once_and_writes_nothing(by_two, tmp_path):
    words, _, _ = by_two
    words = [*words[:5], str(tmp_path / "dry"), *words[6:], "--dry-run"]
    (code, out, err), (other_code, other_out, _) = ended(start(words, 2))
    assert (code, other_code) == (0, 0), err
    assert out.count("settings") == 1
    assert other_out == ""
    assert not (tmp_path / "dry").exists()


def test_what_cannot_share_its_work_says_so(simulated, tmp_path):
    words = command("denoise", simulated / "particles.star", "-o", tmp_path / "o")
    for rank, (code, _, err) in enumerate(ended(start(words, 2))):
        assert code == 1
        assert f"vitreous, process {rank}: denoise works in one process" in err


def test_a_killed_process_ends_the_job_with_a_clear_word_and_it_goes_on_with_any_number(simulated, vitreous, tmp_path):
    folder = tmp_path / "out"
    slow = ("--classes", 12, "--iterations", 25, "--threads", 1, "--seed", 3)
    words = ("class2d", simulated / "particles.star", "-o", folder, *slow)
    processes = start(command(*words), 2)
    while len(read_history(folder) if (folder / "history.jsonl").exists() else []) < 2:
        assert processes[0].poll() is None, processes[0].communicate()
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGKILL)
    code, _, err = ended(processes)[0]
    assert code == 1
    assert "another process of this job has ended" in err
    assert "--resume goes on" in err
    assert job_status(folder) == "failed"
    reached = len(read_history(folder))
    resumed = vitreous(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert (
        f"going on after iteration {reached}" in resumed.out or f"going on after iteration {reached - 1}" in resumed.out
    )
    assert job_status(folder) == "finished"


@pytest.mark.slow
def test_structures_from_the_first_to_the_last_by_two_processes_and_by_one(simulated, vitreous, tmp_path):
    """A few passes of ab initio, refinement from it, and a map from its poses: every job by two and by one."""

    def by_two_and_one(name: str, source: Path, *options: object) -> tuple[Path, Path]:
        two, one = tmp_path / f"{name}_two", tmp_path / f"{name}_one"
        (code, _, err), (other_code, other_out, other_err) = ended(
            start(command(name, source, "-o", two, "--threads", 1, *options), 2)
        )
        assert (code, other_code, other_out) == (0, 0, ""), (err, other_err)
        assert read_manifest(two).status == "finished"
        alone = vitreous(name, source, "-o", one, "--threads", 1, *options)
        assert alone.code == 0, alone.err
        return two, one

    def maps_agree(folders: tuple[Path, Path], name: str) -> bool:
        a, b = (read_volume(folder / name).data.ravel() for folder in folders)
        return bool(np.corrcoef(a, b)[0, 1] > 0.99)

    first = by_two_and_one("abinitio", simulated / "particles.star", "--starts", 1, "--iterations", 3)
    assert maps_agree(first, "abinitio.mrc")
    assert read_manifest(first[0]).summary["processes"] == 2
    finer = by_two_and_one("refine", first[1], "--iterations", 2, "--folds", 4)
    assert maps_agree(finer, "refined_unfil.mrc")
    assert maps_agree(by_two_and_one("reconstruct", finer[1] / "refined_data.star"), "reconstruction.mrc")
