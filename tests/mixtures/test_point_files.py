"""Points from files, and what is said about files that hold something else."""

import gzip

import gemmi
import numpy as np
import pytest

from vitreous.mixtures import PointCloud, read_points

POINTS = np.array([[1.5, -2.0, 3.25], [0.0, 10.0, -4.0], [7.0, 8.0, 9.0]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "x,y,z\n1.5,-2,3.25\n0,10,-4\n7,8,9\n"),
        ("a.csv", "\ufeff1.5; -2; 3.25\r\n\r\n0;10;-4\r\n7;8;9"),
        ("a.txt", "# made by hand\n1.5 -2.0  3.25\n 0\t1e1 -4 # second\n7 8 9"),
    ],
)
def test_tables(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    found = read_points(tmp_path / name)
    assert np.array_equal(found.points_A, POINTS)
    assert (found.times == 1).all()
    assert found.centred().points_A.mean(0) == pytest.approx(np.zeros(3), abs=1e-12)


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", POINTS.astype(np.float32))
    np.savez(tmp_path / "a.npz", anything=POINTS)
    np.savez(tmp_path / "b.npz", other=np.zeros(3), points=POINTS)
    for name in ("a.npy", "a.npz", "b.npz"):
        assert np.array_equal(read_points(tmp_path / name).points_A, POINTS)


@pytest.mark.parametrize("name", ["m.pdb", "m.pdb.gz", "m.cif"])
def test_atoms_count_by_their_electrons(tmp_path, name):
    structure = gemmi.read_pdb_string(
        "ATOM      1  CA  ALA A   1       1.500  -2.000   3.250  1.00 20.00           C\n"
        "ATOM      2  SG  CYS A   2       0.000  10.000  -4.000  0.50 20.00           S\n"
        "ATOM      3  HA  CYS A   2       0.000  11.000  -4.000  1.00 20.00           H\n"
        "ATOM      4  CB  CYS A   2       5.000  11.000  -4.000  0.00 20.00           C\n"
        "HETATM    5  O   HOH A   3       9.000   9.000   9.000  1.00 20.00           O\n"
    )
    structure.setup_entities()
    text = structure.make_mmcif_document().as_string() if name.endswith("cif") else structure.make_pdb_string()
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    found = read_points(tmp_path / name)
    assert np.allclose(found.points_A, POINTS[:2])
    assert found.times.tolist() == [6, 8]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "1,2,3\n1,2,nan\n", "line 2, column 3: nan"),
        ("a.csv", "x,y,z\n1,2,inf\n", "line 2, column 3: inf"),
        ("a.txt", "1 2 3\n\n4 five 6\n", "line 3, column 2: expected a number, found 'five'"),
        ("a.txt", "1 2 3 4\n", "line 1: expected three columns .* found 4"),
        ("a.csv", "1,2,3\n1,2\n", "line 2: expected three columns .* found 2"),
        ("a.csv", "x,y,z\nx,y,z\n", "line 2, column 1: expected a number, found 'x'"),
        ("a.txt", "", "holds no points"),
        ("a.txt", "# nothing\n x y z\n", "holds no points"),
        ("a.txt", b"\xff\xfe\x00\x01", "not a text file"),
        ("a.npy", b"\x93NUMPY rubbish", "no array can be read"),
        ("a.npz", b"rubbish", "no arrays can be read"),
        ("m.pdb", "REMARK nothing\n", "no atoms"),
    ],
)
def test_bad_files_are_explained(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=words) as found:
        read_points(path)
    assert name in str(found.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4)), "shape"),
        (np.zeros((0, 3)), "shape"),
        (np.zeros(3), "shape"),
        (np.array([["a", "b", "c"]]), "numbers"),
        (np.array([[0, 0, 0], [1, np.nan, 1]]), "1 of 2 points .* point 2"),
        (np.array([[0, 0, None]], dtype=object), "no array can be read"),
    ],
)
def test_bad_arrays_are_explained(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=words):
        read_points(tmp_path / "a.npy")


def test_other_bad_points_are_explained(tmp_path):
    np.savez(tmp_path / "a.npz", one=POINTS, two=POINTS)
    with pytest.raises(ValueError, match="found one, two"):
        read_points(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError, match=r"absent\.csv"):
        read_points(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="points_A"):
        PointCloud(points_A=np.zeros((2, 2)), times=np.ones(2, int))
    with pytest.raises(ValueError, match="times"):
        PointCloud(points_A=np.zeros((2, 3)), times=np.zeros(2, int))
