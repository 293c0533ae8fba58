"""``vitreous project``: images, poses, CTF, and what it says about bad input."""

import shutil
import subprocess

import numpy as np
import pytest
import torch

from vitreous.jobs import read_manifest
from vitreous.jobs.tasks.project import Project, run_project
from vitreous.particles import (
    Table,
    Volume,
    read_particles,
    read_stack,
    read_star,
    read_volume,
    write_mrc_stack,
    write_star,
    write_volume,
)
from vitreous.quality import image_correlations
from vitreous.rotations import euler_to_matrix, viewing_directions
from vitreous.simulate import phantom
from vitreous.volumes import project_map

BOX, PIXEL = 24, 6.0


@pytest.fixture(scope="module")
def map_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.mrc"
    write_volume(path, Volume(data=phantom(BOX, PIXEL, "small").numpy(), pixel_size_A=PIXEL))
    return path


def angles_of(star) -> torch.Tensor:
    table = read_star(star)["particles"]
    return torch.from_numpy(np.stack([table.numbers(f"rlnAngle{name}") for name in ("Rot", "Tilt", "Psi")], axis=1))


def test_poses_of_simulated_particles_give_their_clean_images(vitreous, simulated, tmp_path):
    ended = vitreous(
        "project", simulated / "volume_1.mrc", "--poses", simulated / "truth.star", "--ctf", "-o", tmp_path / "o"
    )
    assert ended.code == 0, ended.err
    assert "300 projections, poses of" in ended.out
    found, given = read_particles(tmp_path / "o/projections.star"), read_particles(simulated / "truth.star")
    clean, noisy = found.read(slice(None)), given.read(slice(None))
    good = given.table.text("vtrJunk") == "none"
    correlation = image_correlations(clean[good], noisy[good])
    assert correlation.mean() == pytest.approx((0.5 / 1.5) ** 0.5, abs=0.08)  # SNR 0.5
    assert set(given.table.columns) == set(found.table.columns)
    assert np.array_equal(found.table.numbers("rlnAngleRot"), given.table.numbers("rlnAngleRot"))
    assert np.allclose(found.origin_A, given.origin_A)
    assert found.pixel_size_A == 12.0
    assert read_manifest(tmp_path / "o").summary["projections"] == 300


def test_without_ctf_there_are_no_columns_of_it(vitreous, simulated, tmp_path):
    assert vitreous(
        "project", simulated / "volume_1.mrc", "--poses", simulated / "truth.star", "-o", tmp_path / "o"
    ).code == 0  # fmt: skip
    found = read_particles(tmp_path / "o/projections.star")
    assert not found.has_ctf
    assert "rlnDefocusU" not in found.table.columns


@pytest.mark.parametrize("directions", ["even", "random"])
def test_views_are_spread_over_the_sphere(map_path, tmp_path, directions):
    run_project(map_path, tmp_path / "o", Project(views=60, directions=directions, seed=3))
    angles = angles_of(tmp_path / "o/projections.star")
    views = viewing_directions(euler_to_matrix(angles)).numpy()
    assert np.linalg.norm(views.mean(axis=0)) < (0.02 if directions == "even" else 0.3)
    second_moments = views.T @ views / 60
    assert np.abs(second_moments - np.eye(3) / 3).max() < (0.02 if directions == "even" else 0.15)
    images = read_stack(tmp_path / "o/projections.mrcs")
    expected = project_map(read_volume(map_path), euler_to_matrix(angles).numpy())
    assert np.abs(images * PIXEL - expected).max() < 1e-3 * expected.max()  # sums, not integrals
    run_project(map_path, tmp_path / "again", Project(views=60, directions=directions, seed=3))
    assert np.array_equal(images, read_stack(tmp_path / "again/projections.mrcs"))


def test_pixels_of_the_map_are_taken_and_said(vitreous, map_path, tmp_path):
    write_mrc_stack(tmp_path / "a.mrcs", np.ones((2, 8, 8)), 5.0)
    poses = {f"rlnAngle{name}": [0.0, 10.0] for name in ("Rot", "Tilt", "Psi")}
    optics = Table.from_arrays({"rlnOpticsGroup": [1], "rlnImagePixelSize": [5.0]})
    particles = Table.from_arrays({"rlnImageName": ["1@a.mrcs", "2@a.mrcs"], "rlnOpticsGroup": [1, 1], **poses})
    write_star(tmp_path / "a.star", {"optics": optics, "particles": particles})
    ended = vitreous("project", map_path, "--poses", tmp_path / "a.star", "-o", tmp_path / "o")
    assert ended.code == 0
    assert "have pixels of 5 Å and the map voxels of 6 Å" in ended.out
    found = read_particles(tmp_path / "o/projections.star")
    assert (found.pixel_size_A, found.box_px, len(found)) == (6.0, BOX, 2)


def test_errors_teach(vitreous, map_path, simulated, tmp_path):
    def words(*given) -> str:
        ended = vitreous("project", *given, "-o", tmp_path / "o")
        assert ended.code == 1
        assert not (tmp_path / "o").exists()
        return ended.err

    assert "give one with --poses" in words(map_path, "--ctf")
    assert "no column rlnAngleRot, rlnAngleTilt" in words(map_path, "--poses", simulated / "particles.star")
    write_volume(tmp_path / "flat.mrc", Volume(data=np.ones((4, 8, 8)), pixel_size_A=1.0))
    assert "expected a cubic map, found 8 x 8 x 4" in words(tmp_path / "flat.mrc")
    data = np.ones((8, 8, 8))
    data[0, 0, 0] = np.nan
    write_volume(tmp_path / "nan.mrc", Volume(data=data, pixel_size_A=1.0))
    assert "nan.mrc: holds 1 value(s) that are NaN" in words(tmp_path / "nan.mrc")
    assert "views: expected at least 1, found 0" in words(map_path, "--views", "0")
    assert "none.mrc does not exist; expected an MRC map" in words(tmp_path / "none.mrc")


@pytest.mark.skipif(shutil.which("relion_project") is None, reason="relion_project is not installed")
def test_relion_projects_the_same(map_path, tmp_path):
    run_project(map_path, tmp_path / "o", Project(views=20, directions="random"))
    command = f"relion_project --i {map_path} --o theirs --ang o/projections.star --angpix {PIXEL}"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    ours, theirs = read_stack(tmp_path / "o/projections.mrcs"), read_stack(tmp_path / "theirs.mrcs")
    assert image_correlations(ours, theirs).min() > 0.9999
    assert (ours * theirs).sum() / (theirs**2).sum() == pytest.approx(1.0, rel=1e-3)
