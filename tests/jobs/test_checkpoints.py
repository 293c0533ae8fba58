"""Checkpoints are atomic, verified, and a killed run ends with the bits of an uninterrupted one."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_job
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_job import STEPS, ToyState

from vitreous.iterate import Interrupted, state_to_arrays
from vitreous.jobs import checkpoints
from vitreous.jobs.checkpoints import load_newest, save_checkpoint
from vitreous.jobs.folder import job_status
from vitreous.jobs.history import read_history


def state(iteration: int) -> ToyState:
    return ToyState(iteration=iteration, mean=torch.arange(50.0) * iteration, total=iteration / 7)


def same(a: ToyState, b: ToyState) -> bool:
    x, y = state_to_arrays(a), state_to_arrays(b)
    return x.keys() == y.keys() and all(x[k].tobytes() == y[k].tobytes() for k in x)


def test_the_last_two_are_kept_and_the_newest_is_loaded(tmp_path):
    for i in (0, 1, 2, 11):
        save_checkpoint(tmp_path, state(i))
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["it000002.npz", "it000011.npz"]
    loaded = load_newest(tmp_path, ToyState, say=pytest.fail)
    assert loaded is not None
    assert same(loaded, state(11))


def test_nothing_to_load(tmp_path):
    assert load_newest(tmp_path, ToyState, say=pytest.fail) is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 1200))
def test_a_torn_file_is_skipped_with_a_message(tmp_path, length):
    save_checkpoint(tmp_path, state(4))
    newest = save_checkpoint(tmp_path, state(5))
    content = newest.read_bytes()
    newest.write_bytes(content[: min(length, len(content) - 1)])
    messages: list[str] = []
    loaded = load_newest(tmp_path, ToyState, say=messages.append)
    assert loaded is not None
    assert same(loaded, state(4))
    assert len(messages) == 1
    assert "it000005.npz cannot be used" in messages[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_flipped_byte_never_becomes_a_wrong_state(tmp_path, position, flip):
    save_checkpoint(tmp_path, state(4))
    newest = save_checkpoint(tmp_path, state(5))
    content = bytearray(newest.read_bytes())
    content[position % len(content)] ^= flip
    newest.write_bytes(content)
    loaded = load_newest(tmp_path, ToyState, say=lambda text: None)
    assert loaded is not None
    assert same(loaded, state(loaded.iteration))


def test_a_failed_write_leaves_the_earlier_files(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, state(1))

    def full_disk(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.np, "savez", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, state(2))
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["it000001.npz"]


def test_a_run_killed_at_random_moments_ends_with_the_same_bits(tmp_path):
    expected = toy_job.main(tmp_path / "whole", 0.0)
    folder, rng = tmp_path / "killed", random.Random(4)
    kills = 0
    for _ in range(4):
        process = start(folder, pause=0.02)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        kills += process.wait() == -signal.SIGKILL
        assert job_status(folder) == "interrupted"
    assert kills == 4
    toy_job.main(folder, 0.0)
    assert job_status(folder) == "finished"
    assert np.load(folder / "result.npy").tobytes() == expected.tobytes()
    entries = read_history(folder)
    assert [e["iteration"] for e in entries] == list(range(1, STEPS + 1))
    assert [e["total"] for e in entries] == [e["total"] for e in read_history(tmp_path / "whole")]


def start(folder: Path, *, pause: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, toy_job.__file__, str(folder), str(pause)], stdout=subprocess.PIPE, text=True
    )


def test_abort_now_stops_the_run_and_it_continues_to_the_same_bits(tmp_path, monkeypatch):
    expected = toy_job.main(tmp_path / "whole", 0.0)
    folder = tmp_path / "aborted"
    original = toy_job.toy

    def asking_at_seven(pause):
        algorithm = original(pause)

        def step(s):
            if s.iteration == 6:
                (folder / "RELION_JOB_ABORT_NOW").touch()
            return algorithm.step(s)

        return replace(algorithm, step=step)

    monkeypatch.setattr(toy_job, "toy", asking_at_seven)
    with pytest.raises(Interrupted, match="after iteration 7"):
        toy_job.main(folder, 0.0)
    assert job_status(folder) == "aborted"
    monkeypatch.setattr(toy_job, "toy", original)
    assert toy_job.main(folder, 0.0).tobytes() == expected.tobytes()
