"""Settings and files beyond all limits, and what is said about them: one sentence, in the words of the command line."""

import gzip
import zipfile

import numpy as np
import pytest

from vitreous.averages.covariance import defocus_groups
from vitreous.optics import CTFParameters
from vitreous.particles import read_star, write_mrc_stack
from vitreous.words import printable


@pytest.mark.parametrize(
    "words", [("--tau2-fudge", "nan"), ("--offset-range-A", "nan"), ("--particle-diameter-A", "inf")]
)
def test_settings_that_are_no_numbers_are_named_as_they_were_typed(vitreous, simulated, tmp_path, words):
    ended = vitreous("class2d", simulated / "particles.star", "-o", tmp_path / "o", *words)
    assert ended.code == 1
    assert ended.err == f"vitreous: {words[0]}: expected a finite number, found {words[1]}\n"


def test_a_range_that_leads_out_of_the_box(vitreous, simulated, tmp_path):
    ended = vitreous("class2d", simulated / "particles.star", "-o", tmp_path / "o", "--offset-range-A", 1e5)
    assert ended.code == 1
    assert "--offset-range-A: 100000 A leads out of the box of 288 A; expected at most 144" in ended.err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("option", ["-o", "--output", "--o"])
def test_an_empty_name_is_no_folder(vitreous, simulated, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    ended = vitreous("class2d", simulated / "particles.star", option, "")
    assert (ended.code, "the name of the folder is empty" in ended.err) == (2, True)
    attached = vitreous("class2d", simulated / "particles.star", f"{option}=")
    assert (attached.code, "the name of the folder is empty" in attached.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(vitreous, simulated, tmp_path):
    (tmp_path / "file").write_text("of the user")
    ended = vitreous("class2d", simulated / "particles.star", "-o", tmp_path / "file" / "out")
    assert (ended.code, f"{tmp_path}/file/out cannot be made" in ended.err) == (1, True)
    assert (tmp_path / "file").read_text() == "of the user"


@pytest.mark.parametrize("command", ["abinitio", "project", "check"])
def test_an_empty_name_is_no_input(vitreous, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    ended = vitreous(command, "", "-o", "out")
    assert (ended.code, "the name of its input is empty" in ended.err) == (2, True)


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("points.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 26, 3)})
        for _ in range(11):
            file.write(bytes(1 << 20))


DAMAGED = {
    "a.npz": b"PK\x03\x04garbage",
    "b.npz": b"PK\x05\x06" + bytes(18),
    "c.npy": b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8'(\n",
    "d.npy": b"",
    "e.cif": b"",
    "f.cif.gz": gzip.compress(b"data_x\n")[:-4],
    "g.pdb.gz": b"not compressed",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_points_are_one_sentence(vitreous, tmp_path, name):
    (tmp_path / name).write_bytes(DAMAGED[name])
    ended = vitreous("mixture", tmp_path / name, "-o", tmp_path / "o")
    assert ended.code == 1
    assert ended.err.startswith(f"vitreous: {tmp_path / name}")
    assert "_M_range_check" not in ended.err
    assert ended.err.count("\n") == 1


def test_archives_that_would_fill_the_memory_are_refused(vitreous, tmp_path, monkeypatch):
    monkeypatch.setattr("vitreous.particles.arrays.MOST_BYTES", 1 << 20)  # a thousandth, and so is the archive
    bomb(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_size < 32 << 10
    ended = vitreous("mixture", tmp_path / "a.npz", "-o", tmp_path / "o")
    assert (ended.code, "expands to 11,534,464 bytes" in ended.err) == (1, True)
    monkeypatch.setattr("vitreous.simulate.atoms._MOST_BYTES", 1 << 20)
    (tmp_path / "a.pdb.gz").write_bytes(gzip.compress(b" " * (3 << 20)))
    ended = vitreous("mixture", tmp_path / "a.pdb.gz", "-o", tmp_path / "o")
    assert (ended.code, "expands to more than" in ended.err) == (1, True)


def test_names_do_not_command_the_terminal(vitreous, tmp_path):
    assert printable("ok\n\ttab \u00c5 \x1b]0;title\x07\x9b2J") == "ok\n\ttab \u00c5 \\x1b]0;title\\x07\\x9b2J"
    star = tmp_path / "p.star"
    star.write_bytes(b"data_particles\n\nloop_\n_rlnImageName\n1@\x1b[31mred.mrcs\n")
    assert "\x1b" not in vitreous("check", star).out
    ended = vitreous("class2d", star, "-o", tmp_path / "o")
    assert ended.code == 1
    assert "\x1b" not in ended.err


def test_a_header_of_sixty_thousand_columns(tmp_path):
    names = [f"rlnColumn{i}" for i in range(60_000)]
    text = "data_particles\n\nloop_\n" + "".join(f"_{name}\n" for name in names) + " ".join(["1"] * len(names)) + "\n"
    (tmp_path / "wide.star").write_text(text)
    assert read_star(tmp_path / "wide.star")["particles"].names == tuple(names)


def test_a_phase_shift_for_every_micrograph_makes_few_groups():
    """300 micrographs at a phase plate: groups are fewer than 200, and the error of phases is reported."""
    rng = np.random.default_rng(0)
    n, ones = 3000, np.ones(3000)
    micrograph = np.arange(n) % 300
    ctf = CTFParameters(
        defocus_u_A=(6000 + 200 * rng.normal(size=300))[micrograph],
        defocus_v_A=(6000 + 200 * rng.normal(size=300))[micrograph],
        defocus_angle_deg=0 * ones,
        voltage_kV=300 * ones,
        cs_mm=2.7 * ones,
        amplitude_contrast=0.1 * ones,
        phase_shift_deg=(30 + 100 * rng.random(300))[micrograph],
        b_factor_A2=(50 * rng.random(300))[micrograph],
    )
    groups = defocus_groups(ctf, 3.0, 0.2)
    assert len(groups) <= 200
    error = np.deg2rad(np.abs(ctf.phase_shift_deg - groups.ctf.phase_shift_deg[groups.index]))
    assert error.max() <= groups.phase_error_rad
    assert groups.phase_error_rad < 1.0


def test_too_few_usable_particles_are_explained(vitreous, tmp_path):
    """Twelve times the same image is one particle, and the words say where the others went."""
    image = np.random.default_rng(5).normal(size=(24, 24)).astype(np.float32)
    write_mrc_stack(tmp_path / "same.mrcs", np.repeat(image[None], 12, 0), 5.0)
    for job in (("align",), ("isac", "--img-per-grp", 24), ("mra", "--classes", 2), ("msa",)):
        ended = vitreous(job[0], tmp_path / "same.mrcs", "-o", tmp_path / job[0], *job[1:])
        assert ended.code == 1
        assert "1 usable particle of 12 (11 particles" in ended.err
