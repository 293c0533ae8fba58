"""Killed at any moment, a job resumes and ends with the files of an uninterrupted one."""

import os
import signal
import subprocess
import sys

import pytest

from vitreous.jobs import job_status, read_history

KILLED = """
import os, signal, sys
from vitreous.cli import main

replace, left = os.replace, [int(sys.argv[1])]

def replace_or_die(source, target, **kwargs):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    replace(source, target, **kwargs)

os.replace = replace_or_die
sys.exit(main(sys.argv[2:]))
"""
WORDS = ("-o", "job", "--K", "4", "--iter", "5", "--threads", "1")


def killed_before(replacement: int, words: list[str], folder) -> None:
    """Run the command in ``folder`` and kill it when it is about to put its n-th file (from 0) in its place."""
    command = [sys.executable, "-c", KILLED, str(replacement), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def results(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("run*") if path.name != "run.log"}


@pytest.mark.parametrize("moments", [(0, 6, 14), pytest.param((3, 11, 30), marks=pytest.mark.slow)])
def test_kill_and_resume(vitreous, simulated, tmp_path, monkeypatch, moments):
    words = ["class2d", str(simulated / "particles.star"), *WORDS]
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    assert vitreous(*words).code == 0
    monkeypatch.chdir(tmp_path / "killed")
    for moment in moments:
        killed_before(moment, [*words, "--resume"], tmp_path / "killed")
        assert job_status("job") in ("absent", "interrupted")
    ended = vitreous(*words, "--resume")
    assert ended.code == 0, ended.err
    assert job_status("job") == "finished"
    whole, killed = results(tmp_path / "whole" / "job"), results(tmp_path / "killed" / "job")
    assert len(whole) == 11, "the files of the last iteration, and the result"
    assert [name for name in {**whole, **killed} if whole.get(name) != killed.get(name)] == []
    assert [entry["iteration"] for entry in read_history("job")] == [1, 2, 3, 4, 5]
