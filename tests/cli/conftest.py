"""The command in this process, and small simulated particles to run it on."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from vitreous.cli import main
from vitreous.jobs.tasks.simulate import run_simulate
from vitreous.simulate import SimulateSettings

SMALL = SimulateSettings(particles=300, box_px=24, pixel_size_A=12.0, snr=0.5, defocus_groups=3, shift_max_px=1.0)


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def vitreous(capsys):
    """Call the command line: ``vitreous("check", path)`` -> exit code, standard output, standard error."""

    def call(*words) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    """300 particles of 24 x 24 pixels. Tests must not change them."""
    folder = tmp_path_factory.mktemp("simulated")
    run_simulate(folder, SMALL)
    return folder


@pytest.fixture(scope="session")
def classified(simulated, tmp_path_factory) -> Path:
    """A finished job on them. Tests must not change it."""
    folder = tmp_path_factory.mktemp("jobs") / "class2d"
    assert main(["class2d", f"{simulated}/particles.star", "-o", str(folder), "--K", "4", "--iter", "6"]) == 0
    return folder
