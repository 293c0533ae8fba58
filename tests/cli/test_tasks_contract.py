"""What every job keeps to, for all jobs of the table: its files, ``--overwrite``, its report, its guide, a dry run."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from vitreous.averages.align import Align
from vitreous.averages.class2d import Class2D
from vitreous.averages.deconvolve import Deconvolve
from vitreous.averages.denoise import Denoise
from vitreous.averages.isac import ISAC
from vitreous.averages.model_bias import ModelBias
from vitreous.averages.mra import MRA
from vitreous.averages.msa import MSA
from vitreous.averages.neighbours import Neighbours
from vitreous.averages.stability import StabilityTest
from vitreous.cli.commands import running_options
from vitreous.jobs import JobFolderError, new_manifest, open_job, read_manifest, write_report
from vitreous.jobs.folder import EVERY_JOB
from vitreous.jobs.function import function_of
from vitreous.jobs.options import RunOptions
from vitreous.jobs.report.pipeline import STAGES
from vitreous.jobs.tasks.pipeline import Pipeline
from vitreous.jobs.tasks.postprocess import PostProcess
from vitreous.jobs.tasks.project import Project
from vitreous.jobs.tasks.table import TASKS, task_of
from vitreous.micrographs import EstimateCTF, Extract, Pick
from vitreous.mixtures import InitialModel, KnownPoses, MixtureFit
from vitreous.particles import Table, read_volume, write_star, write_volume
from vitreous.structures.abinitio import Abinitio
from vitreous.structures.class3d import Class3D
from vitreous.structures.refine import Refine

GUIDES = Path(__file__).resolve().parents[2] / "docs"
SHARED = {"project", "passthrough", "ctf_applied", "pixel_size_A"}  # of the sources of several jobs
OTHERS = {"note.txt", "RELION_JOB_EXIT_SUCCESS", ".lock"}  # in every folder: commands, ending, owner
MODEL = InitialModel(
    components=20, box_px=16, counts=200, rounds=3, rounds_annealed=2, global_rotations=60, restarts=2,
    fine_components=30, fine_box_px=16, fine_counts=400, burn_in_steps=4, samples=2, steps_between=2,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """Quick settings of a job, and its input: a file of the simulation, or the folder of another job."""

    source: Callable[[Path, dict[str, Path]], Path | tuple[Path, ...]]
    settings: Any


def simulated_file(name: str) -> Callable[[Path, dict[str, Path]], Path]:
    return lambda simulated, done: simulated / name


def job(name: str) -> Callable[[Path, dict[str, Path]], Path]:
    return lambda simulated, done: done[name]


def half_maps(simulated: Path, done: dict[str, Path]) -> tuple[Path, Path]:
    """The simulated map with noise, twice."""
    true, folder = read_volume(simulated / "volume_1.mrc"), done["class2d"].parent
    for i in (1, 2):
        noise = np.random.default_rng(i).normal(size=true.data.shape) * 0.05 * true.data.max()
        write_volume(folder / f"half{i}.mrc", true.with_data(true.data + noise))
    return folder / "half1.mrc", folder / "half2.mrc"


def a_micrograph(simulated: Path, done: dict[str, Path]) -> tuple[Path, ...]:
    """A dark disc in noise, and a file that is broken."""
    folder = done["class2d"].parent
    picture = np.random.default_rng(0).normal(size=(96, 128)).astype(np.float32) + 50.0
    picture[40:50, 60:70] -= 5.0
    with mrcfile.new(folder / "one.mrc", overwrite=True) as file:
        file.set_data(picture)
        file.voxel_size = 10.0
    (folder / "two.mrc").write_bytes(b"broken")
    return folder / "one.mrc", folder / "two.mrc"


def rings(simulated: Path, done: dict[str, Path]) -> tuple[Path, ...]:
    """A list of a micrograph with the rings of a CTF, of one without, and of a file that is broken."""
    folder = done["class2d"].parent / "rings"
    folder.mkdir(exist_ok=True)
    k2 = np.fft.fftfreq(192, 3.0)[:, None] ** 2 + np.fft.rfftfreq(224, 3.0) ** 2
    transfer = np.sin(np.pi * 0.0197 * 15000.0 * k2 + 0.1)
    for i, strength in enumerate((3.0, 0.0)):
        noise = np.random.default_rng(i).normal(size=(2, 192, 224))
        image = (noise[0] + strength * np.fft.irfft2(np.fft.rfft2(noise[1]) * transfer)).astype(np.float32)
        with mrcfile.new(folder / f"{i}.mrc", overwrite=True) as file:
            file.set_data(image)
            file.voxel_size = 3.0
    (folder / "2.mrc").write_bytes(b"broken")
    columns = {"rlnVoltage": 300.0, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}
    table = {"rlnMicrographName": [f"{i}.mrc" for i in range(3)], **{name: [v] * 3 for name, v in columns.items()}}
    write_star(folder / "list.star", {"micrographs": Table.from_arrays(table)})
    return (folder / "list.star",)


def picked(simulated: Path, done: dict[str, Path]) -> tuple[Path, ...]:
    """The folder of a pick job."""
    return (done["pick"],)


PARTICLES = simulated_file("particles.star")
CASES = {  # a job comes after those that it needs
    "class2d": Case(source=PARTICLES, settings=Class2D(classes=4, iterations=4)),
    "align": Case(source=PARTICLES, settings=Align(starts=2, iterations=3, folds=4)),
    "isac": Case(source=PARTICLES, settings=ISAC(img_per_grp=24, starts=2, runs=2, generations=1)),
    "model-bias": Case(source=simulated_file("volume_1.mrc"), settings=ModelBias(fewest=16, most=32)),
    "mra": Case(source=PARTICLES, settings=MRA(classes=4, iterations=3, folds=4)),
    "msa": Case(source=job("class2d"), settings=MSA(factors=6, classes=2)),
    "stability": Case(source=job("class2d"), settings=StabilityTest(starts=2, iterations=2)),
    "abinitio": Case(source=job("class2d"), settings=Abinitio(starts=2, iterations=3, folds=4)),
    "deconvolve": Case(source=job("class2d"), settings=Deconvolve(groups=2)),
    "denoise": Case(source=PARTICLES, settings=Denoise()),
    "neighbours": Case(
        source=job("class2d"), settings=Neighbours(neighbours=6, runs=1, passes=2, averages=4, components=40)
    ),
    "initial": Case(source=job("deconvolve"), settings=MODEL),
    "reconstruct": Case(
        source=job("initial"),
        settings=KnownPoses(components=30, box_px=16, counts=500, burn_in_steps=4, samples=3, steps_between=2),
    ),
    "ctf": Case(source=rings, settings=EstimateCTF(tile_A=320.0)),
    "pick": Case(source=a_micrograph, settings=Pick(diameter_A=120.0)),
    "extract": Case(source=picked, settings=Extract(box_px=24)),
    "project": Case(source=simulated_file("volume_1.mrc"), settings=Project(views=5)),
    "postprocess": Case(source=half_maps, settings=PostProcess()),
    "refine": Case(source=simulated_file("truth.star"), settings=Refine(folds=4, iterations=2, initial_lowpass_A=30.0)),
    "class3d": Case(source=simulated_file("truth.star"), settings=Class3D(iterations=2, starts=2)),
    "mixture": Case(source=simulated_file("volume_1.mrc"), settings=MixtureFit(components=20, steps=5)),
    "run": Case(
        source=PARTICLES,
        settings=Pipeline(classes=4, min_share=0.1, worst_resolution_A=500.0, restarts=2, initial=MODEL),
    ),
}
each_task = pytest.mark.parametrize("name", TASKS)


@pytest.fixture(scope="module")
def done(simulated, tmp_path_factory) -> dict[str, Path]:
    """A finished folder of every job. Tests must not change them."""
    folders: dict[str, Path] = {}
    for name, case in CASES.items():
        folder = tmp_path_factory.mktemp("contract") / name
        function_of(task_of(name))(case.source(simulated, folders), folder, case.settings)
        folders[name] = folder
    return folders


def results(folder: Path) -> set[str]:
    """Files in a folder that are no results of every job, and not in stages within it."""
    every = {path for pattern in EVERY_JOB for path in folder.glob(pattern)}
    found = {path for path in folder.rglob("*") if path.is_file()} - every
    names = {str(path.relative_to(folder)) for path in found}
    return {name for name in names if name not in OTHERS and name.partition("/")[0] not in STAGES}


def test_every_job_has_a_case_and_a_line():
    assert set(CASES) == set(TASKS)
    for name, entry in TASKS.items():
        task = task_of(name)
        assert (task.name, entry.help[-1], entry.help.count("\n")) == (name, ".", 0)
        assert not set(task.uses) & set(task.ignores)


@each_task
def test_files_are_those_that_it_says(name, done):
    task, folder = task_of(name), done[name]
    listed = {str(path.relative_to(folder)) for pattern in task.files for path in folder.glob(pattern)}
    assert results(folder) - listed == set()
    assert read_manifest(folder).files == task.files
    assert results(folder) or name == "run"  # whose files are those of its stages


@each_task
def test_overwriting_leaves_none_of_the_earlier_files(name, done, tmp_path):
    task, copy = task_of(name), tmp_path / "copy"
    shutil.copytree(done[name], copy)
    (copy / "mine.txt").touch()
    manifest = new_manifest(name, {"other": 1}, seed=0, files=task.files)
    with open_job(copy, manifest, command="again", overwrite=True):
        assert results(copy) == {"mine.txt"}
        assert not list(copy.glob("checkpoints/*"))
        assert not (copy / "report.html").exists()


@each_task
def test_files_of_somebody_else_are_refused(name, done, tmp_path):
    task = task_of(name)
    copy = tmp_path / "copy"
    shutil.copytree(done[name], copy)
    for pattern in ("job.json", "history.jsonl", "run.log", "report.html"):
        (copy / pattern).unlink(missing_ok=True)
    shutil.rmtree(copy / "checkpoints", ignore_errors=True)
    if name == "run":  # has no files but those of every job
        (copy / "report.html").touch()
    before = results(copy)
    manifest = new_manifest(name, {}, seed=0, files=task.files)
    with (
        pytest.raises(JobFolderError, match="not from this program"),
        open_job(copy, manifest, command="again", overwrite=True),
    ):
        pass
    assert results(copy) == before


@each_task
def test_the_report_is_written_again_from_the_folder(name, done, tmp_path):
    shutil.copytree(done[name], tmp_path / "copy")
    (tmp_path / "copy" / "report.html").unlink()
    page = write_report(tmp_path / "copy").read_text()
    assert page.startswith(("<!DOCTYPE html>", "<!doctype html>"))
    assert "seed" in page
    assert f"vitreous.{function_of(task_of(name)).__name__}" in page  # the command


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"run"}))  # whose report shows whatever stages there are
def test_a_report_of_another_folder_says_what_is_missing(name, tmp_path):
    with pytest.raises(JobFolderError, match="has no"):
        task_of(name).page(tmp_path)


@each_task
def test_a_dry_run_writes_nothing_and_says_what_is_planned(name, done, simulated, tmp_path, capsys):
    case = CASES[name]
    options = RunOptions(dry_run=True, json=True)
    capsys.readouterr()
    assert function_of(task_of(name))(case.source(simulated, done), tmp_path / "o", case.settings, options) is None
    assert list(tmp_path.iterdir()) == []
    out, err = capsys.readouterr()
    event = json.loads(out)
    assert event["event"] == "plan"
    assert event["settings"]
    assert re.search("^data  ", err, re.MULTILINE)


@each_task
def test_options_are_in_its_guide(name):
    """Settings are in its table, as tests/test_docs.py says; what all sources have is explained where files are."""
    task = task_of(name)
    guide = (GUIDES / f"{name}.md").read_text()
    source = [f.name for f in fields(task.source)[1:]]
    running = {f.name for f in fields(running_options(task))} - task.ignores
    own = {*source, *running, *([] if "" in task.methods else ["method"])} - SHARED
    assert {option for option in own if f"--{option.replace('_', '-')}" not in guide} == set()
    files = (GUIDES / "files.md").read_text()
    assert {option for option in SHARED if f"--{option.replace('_', '-')}" not in files} == set()
