"""``vitreous class3d``: files and columns, where it may start from, what goes on from it, and bad input."""

import numpy as np
import pytest

from vitreous.jobs import read_history, read_manifest
from vitreous.jobs.results.class3d import class_star, read_class3d
from vitreous.jobs.tasks.class3d import run_class3d
from vitreous.particles import read_particles, read_star, read_volume, write_volume
from vitreous.structures.class3d import Class3D

SETTINGS = Class3D(iterations=2, starts=1, resolution_limit_A=40.0)
QUICK = ("--iterations", "2", "--starts", "1", "--resolution-limit-A", "40", "--threads", "1")


@pytest.fixture(scope="module")
def folder(simulated, tmp_path_factory):
    path = tmp_path_factory.mktemp("class3d") / "out"
    run_class3d(simulated / "truth.star", path, SETTINGS)
    return path


def test_files_say_who_is_in_which_class(folder, simulated):
    found, given = read_class3d(folder), read_particles(simulated / "truth.star")
    table = read_star(folder / "run_data.star")["particles"]
    assert set(given.table.columns) <= set(table.columns)
    both = np.stack([table.numbers(f"vtrClassProbability{k}") for k in (1, 2)], 1)
    np.testing.assert_allclose(both.sum(1), 1.0, atol=1.1e-4)  # two numbers of four digits
    assert (both.argmax(1) + 1 == found.number).all()
    np.testing.assert_allclose(both.max(1), found.probability, atol=6e-5)
    for number, one in enumerate(found.classes, start=1):
        members = int((found.number == number).sum())
        assert int(found.table.numbers("vtrParticles")[number - 1]) == members
        assert one.map.data.shape == (given.box_px,) * 3
        assert (folder / class_star(number)).is_file() == (members > 0)
        if members:
            assert len(read_particles(folder / class_star(number))) == members
    halves = [read_volume(folder / f"run_class001_half{half}_unfil.mrc").data for half in (1, 2)]
    assert np.abs(halves[0] - halves[1]).max() > 0
    assert np.array(found.common).sum() == len(found.number)
    assert next(entry["stage"] for entry in read_history(folder)) == "mean map"
    assert sum(read_manifest(folder).summary["class_particles"]) == len(found.number)


def test_its_folder_goes_on(folder, vitreous, tmp_path):
    ended = vitreous("class3d", folder, "-o", tmp_path / "again", *QUICK, "--dry-run")
    assert ended.code == 0, ended.err
    assert "poses of the file" in ended.out
    ended = vitreous("refine", folder / class_star(1), "-o", tmp_path / "one", "--folds", "4", "--dry-run")
    assert ended.code == 0, ended.err


def test_bad_input_is_named(simulated, folder, vitreous, tmp_path):
    reference = read_volume(simulated / "volume_1.mrc")
    write_volume(tmp_path / "map.mrc", reference.with_data(reference.data[2:-2, 2:-2, 2:-2]))
    particles, one = simulated / "particles.star", ("--reference", tmp_path / "map.mrc")
    for words, said in (
        ((particles,), "and no reference is given; give a map as --reference, or particles with poses"),
        ((particles, *one, *one, *one), "expected one reference, or one for each of the 2 classes; found 3"),
        ((simulated / "truth.star", "--classes", "500"), "are too few for 500 classes"),
        ((simulated / "truth.star", "--folds", "4"), "folds: expected at least 8, found 4"),
        ((tmp_path,), "has none of abinitio_data.star, refined_data.star, run_data.star"),
    ):
        ended = vitreous("class3d", *words, "-o", tmp_path / "o", *QUICK)
        assert ended.code != 0
        assert said in " ".join(ended.err.split()), ended.err
    ended = vitreous("class3d", particles, *one, "-o", tmp_path / "o", *QUICK, "--dry-run")
    assert ended.code == 0, ended.err
    assert "was resampled to the grid of the particles" in ended.out
    assert "refined in one map first" in ended.out
