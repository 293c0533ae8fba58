"""The application itself: help, version, exit codes, import time, public names."""

import json
import os
import subprocess
import sys

import pytest

import vitreous as vt
from vitreous.cli.app import COMMANDS, GROUPS, main
from vitreous.jobs.function import function_of
from vitreous.jobs.tasks.table import TASKS, task_of


def python(code: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout


def test_public_names_are_those_of_the_stub_and_every_job_is_one():
    assert dir(vt) == vt.__all__
    assert {function_of(task_of(name)).__name__ for name in TASKS} <= set(vt.__all__)
    assert {"__version__", "class2d", "read_particles"} <= set(vt.__all__)


@pytest.mark.parametrize("name", vt.__all__)
def test_public_names_are_there_and_documented(name):
    value = getattr(vt, name)
    assert name == "__version__" or value.__doc__


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="class4d"):
        _ = vt.class4d


def test_importing_and_help_leave_heavy_packages_alone():
    heavy = "{'torch', 'numpy', 'scipy', 'numba', 'gemmi', 'mrcfile', 'jinja2'} & set(sys.modules)"
    assert python(f"import sys, vitreous; print({heavy})").strip() == "set()"
    code = f"import sys; from vitreous.cli import main; main(['--help']); main(['--version']); print({heavy})"
    assert python(code).splitlines()[-1] == "set()"


def test_a_lazy_name_is_the_real_one():
    from vitreous.particles import read_particles

    assert vt.read_particles is read_particles


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(vitreous, words):
    ended = vitreous(*words)
    assert ended.code == 0
    assert all(name in ended.out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(vitreous, command):
    ended = vitreous(command, "--help")
    assert ended.code == 0
    assert f"Usage: vitreous {command}" in ended.out


def test_help_of_class2d_comes_from_the_settings(vitreous):
    text = vitreous("class2d", "--help").out
    for part in ("--particle-diameter-A", "--particle_diameter", "--K", "circular mask", "--memory", "4G", "--no-ctf"):
        assert part in text


def test_help_of_simulate_defines_the_snr(vitreous):
    text = " ".join(vitreous("simulate", "--help").out.replace("│", " ").split())
    assert "divided by the variance of the noise" in text


def test_version(vitreous):
    assert vitreous("--version").out.strip() == f"vitreous {vt.__version__}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["clas2d"], 'Did you mean "class2d"'),
        (["class2d", "p.star", "-o", "x", "--clases", "4"], "Did you mean --classes"),
        (["class2d", "p.star", "-o", "x", "--K", "many"], "many"),
        (["class2d", "p.star", "-o", "x", "--memory", "lots"], "8G or 500M"),
        (["class2d", "p.star", "-o", "x", "--device", "tpu"], "cuda"),
        (["class2d", "p.star", "-o", "x", "--skip_align"], "--skip_align"),
        (["class2d", "p.star", "-o", "x", "--helical_rise", "4"], "--helical_rise"),
        (["class2d", "p.star"], "--output"),
        (["class2d", "-o", "x"], "particles"),
        (["simulate", "-o", "x", "-n", "1.5"], "1.5"),
        (["select"], "job"),
    ],
)
def test_wrong_command_lines_exit_with_2(vitreous, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    ended = vitreous(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said.lower() in ended.err.lower()
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_errors_are_one_sentence_and_a_traceback_only_when_asked_for(vitreous, tmp_path):
    ended = vitreous("check", tmp_path / "none.star")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "none.star does not exist" in ended.err
    with pytest.raises(FileNotFoundError, match=r"none\.star"):
        vitreous("check", tmp_path / "none.star", "--debug")


def test_errors_are_events_too(vitreous, tmp_path):
    ended = vitreous("class2d", tmp_path / "none.star", "-o", tmp_path / "out", "--json")
    assert ended.code == 1
    assert [event["event"] for event in ended.events] == ["error"]
    assert "none.star" in json.loads(ended.out)["message"]


def test_interruption_exits_with_130(vitreous, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vitreous.cli.report.write_report", interrupted)
    ended = vitreous("report", tmp_path)
    assert (ended.code, ended.err) == (130, "vitreous: interrupted\n")


def test_the_help_of_every_job_has_an_example_and_a_group(capsys):
    assert all(entry.example and entry.group in GROUPS for entry in TASKS.values())
    assert main(["neighbors", "--help"]) == 0
    out = capsys.readouterr().out
    assert "For example: vitreous neighbours" in out
    assert "Particles must be centred" in out  # what the job says about itself
