"""Files as other programs and systems leave them: read where that is easy, else answered with what to do."""

import gzip

import mrcfile
import numpy as np
import pytest

from vitreous.particles import (
    ParticleFileError,
    Volume,
    check_particles,
    read_particles,
    read_star,
    read_volume,
    write_mrc_stack,
    write_volume,
)

STAR = "data_particles\n\nloop_\n_rlnImageName #1\n_rlnDefocusU #2\n1@a.mrcs 12000\n2@a.mrcs 13000\n"


@pytest.mark.parametrize(
    "content",
    [
        STAR.encode(),
        b"\xef\xbb\xbf" + STAR.encode(),
        STAR.encode("utf-16"),
        STAR.replace("\n", "\r").encode(),
        STAR.replace("\n", "\r\n").encode(),
    ],
    ids=["plain", "byte-order mark", "UTF-16", "CR", "CRLF"],
)
def test_encodings_and_line_ends(tmp_path, content):
    (tmp_path / "p.star").write_bytes(content)
    table = read_star(tmp_path / "p.star")["particles"]
    assert table.names == ("rlnImageName", "rlnDefocusU")
    assert table["rlnDefocusU"].tolist() == [12000, 13000]
    assert table.text("rlnImageName").tolist() == ["1@a.mrcs", "2@a.mrcs"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.hdf", b"\x89HDF\r\n\x1a\n", "e2proc2d.py a.hdf a.mrcs"),
        ("b.dat", b"\x89HDF\r\n\x1a\n", "an HDF file of EMAN2"),
        ("a.hed", bytes(1024), "an IMAGIC stack"),
        ("a.spi", bytes(1024), "a SPIDER stack"),
        ("a.csg", b"results: {}", "give the .cs file that it names"),
        ("project.db", b"SQLite format 3\0", "a database of cisTEM"),
        ("p.star.gz", gzip.compress(STAR.encode(), mtime=0), "gunzip p.star.gz"),
    ],
)
def test_what_is_not_read_is_answered_with_what_to_do(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ParticleFileError, match=f"{name}: .*{said}"):
        read_particles(tmp_path / name)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_a_compressed_map_is_the_map(tmp_path, dtype):
    data = np.random.default_rng(0).integers(-9, 9, (6, 5, 4)).astype(dtype)
    with mrcfile.new(tmp_path / "m.mrc", data) as file:
        file.voxel_size = 2.5
    with mrcfile.new(tmp_path / "m.map.gz", data, compression="gzip") as file:
        file.voxel_size = 2.5
    plain, packed = read_volume(tmp_path / "m.mrc"), read_volume(tmp_path / "m.map.gz")
    assert np.array_equal(packed.data, data)
    assert np.array_equal(packed.data, plain.data)
    assert packed.pixel_size_A == plain.pixel_size_A == 2.5


def test_damaged_and_boasting_compressed_maps_are_errors_with_their_name(tmp_path):
    write_volume(tmp_path / "m.mrc", Volume(data=np.random.default_rng(0).random((8, 8, 8)), pixel_size_A=2.0))
    whole = (tmp_path / "m.mrc").read_bytes()
    packed = gzip.compress(whole)
    boasting = bytearray(whole)
    boasting[0:12] = np.array([60000, 60000, 60000], "<i4").tobytes()  # 860 terabytes
    for content, said in (
        (packed[:-200], "damaged"),
        (packed[:20] + b"xxxxxxxx" + packed[28:], "damaged"),
        (gzip.compress(whole[:-100]), "truncated"),
        (gzip.compress(bytes(boasting)), "does not hold"),
        (gzip.compress(b"hello"), "header alone"),
    ):
        (tmp_path / "m.map.gz").write_bytes(content)
        with pytest.raises(ParticleFileError, match=f"m.map.gz: .*{said}"):
            read_volume(tmp_path / "m.map.gz")


@pytest.mark.parametrize("name", ["a.hdf", "a.hed", "a.spi"])
def test_stacks_and_maps_of_others_are_answered_too(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2000) if name == "a.hdf" else bytes(2000))
    with pytest.raises(ParticleFileError, match=f"{name}: an? .*e2proc3d.py {name} a.mrc"):
        read_volume(tmp_path / name)
    (tmp_path / "p.star").write_text(f"data_\n\nloop_\n_rlnImageName\n1@{name}\n")
    report = check_particles(read_particles(tmp_path / "p.star", pixel_size_A=2.0))
    assert not report.can_run
    assert any(f"e2proc2d.py {name} a.mrcs" in text for text in report.warnings)


def test_a_volume_is_no_stack(tmp_path):
    write_volume(tmp_path / "map.mrc", Volume(data=np.random.default_rng(0).random((8, 8, 8)), pixel_size_A=2.0))
    with pytest.raises(ParticleFileError, match="a map of 8 x 8 x 8 voxels"):
        read_particles(tmp_path / "map.mrc")
    (tmp_path / "p.star").write_text("data_\n\nloop_\n_rlnImageName\nmap.mrc\n")
    report = check_particles(read_particles(tmp_path / "p.star", pixel_size_A=2.0))
    assert not report.can_run
    assert any("a map of 8 cubed voxels" in text for text in report.warnings)
    write_mrc_stack(tmp_path / "cube.mrcs", np.random.default_rng(0).random((8, 8, 8)), 2.0)
    assert len(read_particles(tmp_path / "cube.mrcs")) == 8, "a stack may be a cube, too"


def test_a_format_behind_a_colon_is_not_the_name(tmp_path):
    images = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    write_mrc_stack(tmp_path / "part.mrc", images, 2.0)
    (tmp_path / "p.star").write_text("data_\n\nloop_\n_rlnImageName\n3@part.mrc:mrcs\n1@part.mrc:mrcs\n")
    p = read_particles(tmp_path / "p.star", pixel_size_A=2.0)
    assert np.array_equal(p.read([0, 1]), images[[2, 0]])
    (tmp_path / "elsewhere").mkdir()
    p.write(tmp_path / "elsewhere" / "q.star")
    again = read_particles(tmp_path / "elsewhere" / "q.star")
    assert np.array_equal(again.read([0, 1]), images[[2, 0]])
    assert again.table.text("rlnImageName")[0].endswith("part.mrc:mrcs")
