"""What was made from files of RELION 3.0, of cryoSPARC and from bare stacks is read by RELION's own programs."""

import shutil
import subprocess

import numpy as np
import pytest
from made_up import SEARCH, made_up_result

from vitreous.jobs.results.class2d_relion import write_final
from vitreous.particles import (
    Table,
    complete_optics,
    in_relion_form,
    open_stack,
    read_particles,
    read_star,
    write_mrc_stack,
    write_star,
)

BOX, PIXEL, N = 32, 4.0, 60


def _images() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((N, BOX, BOX)).astype(np.float32)


def _relion_30(folder, stack="part.mrc"):
    """As RELION 3.0 and Frealign's converters leave it: no optics table, shifts in pixels, a stack named .mrc."""
    write_mrc_stack(folder / stack, _images(), PIXEL)
    fixed = {
        "rlnVoltage": 300.0,
        "rlnSphericalAberration": 2.7,
        "rlnAmplitudeContrast": 0.1,
        "rlnDetectorPixelSize": PIXEL,
        "rlnMagnification": 10000.0,
        "rlnAngleRot": 10.0,
        "rlnAngleTilt": 20.0,
        "rlnAnglePsi": 30.0,
        "rlnOriginX": 1.5,
        "rlnOriginY": -0.5,
    }
    columns = {"rlnImageName": [f"{i + 1:06d}@{stack}" for i in range(N)], "rlnDefocusU": np.full(N, 15000.0)}
    columns |= {"rlnDefocusV": np.full(N, 15000.0), "rlnDefocusAngle": np.zeros(N)}
    table = Table.from_arrays(columns | {name: np.full(N, value) for name, value in fixed.items()})
    write_star(folder / "old.star", {"images": table})
    return read_particles(folder / "old.star")


def _cryosparc(folder):
    write_mrc_stack(folder / "cs.mrc", _images(), PIXEL)
    kinds = [("uid", "<u8"), ("blob/path", "S20"), ("blob/idx", "<u4"), ("blob/shape", "<u4", (2,))]
    kinds += [("blob/psize_A", "<f4"), ("ctf/exp_group_id", "<u4"), ("ctf/accel_kv", "<f4"), ("ctf/cs_mm", "<f4")]
    kinds += [("ctf/amp_contrast", "<f4"), ("ctf/df1_A", "<f4"), ("ctf/df2_A", "<f4"), ("ctf/df_angle_rad", "<f4")]
    rows = np.zeros(N, dtype=kinds)
    rows["uid"], rows["blob/path"], rows["blob/idx"] = np.arange(N), b"cs.mrc", np.arange(N)
    rows["blob/shape"], rows["blob/psize_A"], rows["ctf/exp_group_id"] = (BOX, BOX), PIXEL, 4
    rows["ctf/accel_kv"], rows["ctf/cs_mm"], rows["ctf/amp_contrast"] = 300, 2.7, 0.1
    rows["ctf/df1_A"] = rows["ctf/df2_A"] = 15000
    with (folder / "particles.cs").open("wb") as file:
        np.save(file, rows)
    return read_particles(folder / "particles.cs")


def _bare(folder):
    write_mrc_stack(folder / "bare.mrc", _images(), PIXEL)
    return read_particles(folder / "bare.mrc")


SOURCES = {"RELION 3.0": _relion_30, "cryoSPARC": _cryosparc, "stack": _bare}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_optics_table_is_complete_and_stacks_are_said_to_be_some(tmp_path, source):
    particles = in_relion_form(source(tmp_path), rlnClassNumber=np.ones(N, int))
    particles.write(tmp_path / "new.star")
    blocks = read_star(tmp_path / "new.star")
    assert list(blocks) == ["optics", "particles"]
    optics, table = blocks["optics"], blocks["particles"]
    assert optics["rlnImageSize"].tolist() == [BOX]
    assert optics["rlnImageDimensionality"].tolist() == [2]
    assert optics.numbers("rlnImagePixelSize").tolist() == [PIXEL]
    assert set(table["rlnOpticsGroup"].tolist()) == {1}
    assert all(name.endswith(".mrc:mrcs") for name in table.text("rlnImageName"))
    np.testing.assert_array_equal(read_particles(tmp_path / "new.star").read(slice(None)), _images())


def test_shifts_in_pixels_follow_those_in_angstrom(tmp_path):
    particles = _relion_30(tmp_path)
    kept = in_relion_form(particles)
    assert set(kept.table.numbers("rlnOriginXAngst")) == {1.5 * PIXEL}
    moved = in_relion_form(particles, rlnOriginXAngst=np.full(N, 8.0), rlnOriginYAngst=np.zeros(N))
    assert set(moved.table.numbers("rlnOriginX")) == {2.0}
    assert set(moved.table.numbers("rlnOriginY")) == {0.0}


def test_what_is_there_stays(tmp_path):
    in_relion_form(_relion_30(tmp_path, "part.mrcs")).write(tmp_path / "new.star")
    again = read_particles(tmp_path / "new.star")
    assert complete_optics(again).names == again.optics.names
    in_relion_form(again).write(tmp_path / "newer.star")
    assert (tmp_path / "new.star").read_bytes() == (tmp_path / "newer.star").read_bytes()


@pytest.mark.skipif(shutil.which("relion_stack_create") is None, reason="RELION is not installed here")
@pytest.mark.parametrize("source", [_relion_30, _cryosparc])  # of a bare stack nobody knows the voltage
def test_relion_makes_a_stack_of_them(tmp_path, source):
    (tmp_path / "job").mkdir()
    write_final(tmp_path / "job", made_up_result(), source(tmp_path), search=SEARCH)
    _run(tmp_path, "relion_stack_create", "--i", "job/run_data.star", "--o", "copied")
    stack = open_stack(tmp_path / "copied.mrcs")
    np.testing.assert_allclose(stack.read(np.arange(N)), _images(), atol=1e-6)


@pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed here")
def test_relion_reconstructs_from_poses_of_a_file_of_version_30(tmp_path):
    """Angles and shifts count: the same map as from the file of 3.0, which RELION converts itself."""
    particles = _relion_30(tmp_path, "part.mrcs")
    in_relion_form(particles).write(tmp_path / "new.star")
    for name in ("old", "new"):
        _run(tmp_path, "relion_reconstruct", "--i", f"{name}.star", "--o", f"{name}.mrc", "--ctf", "--pad", "1")
    old, new = (open_stack(tmp_path / f"{name}.mrc").read(np.arange(BOX)) for name in ("old", "new"))
    assert np.abs(old).max() > 0
    np.testing.assert_allclose(new, old, atol=1e-5 * np.abs(old).max())


def _run(folder, *command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
