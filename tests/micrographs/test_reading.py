"""Micrographs from files and lists, and files that are none."""

import warnings

import mrcfile
import numpy as np
import pytest

from vitreous.micrographs import list_micrographs, read_micrograph
from vitreous.particles import ParticleFileError, Table, write_star


def write(path, data, pixel_A=1.5):
    with warnings.catch_warnings(action="ignore"), mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        file.voxel_size = pixel_A
    return path


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.float32, np.uint16, np.float16])
def test_all_modes_of_mrc(tmp_path, kind):
    data = np.random.default_rng(0).integers(0, 100, size=(40, 56)).astype(kind)
    found = read_micrograph(write(tmp_path / "a.mrc", data))
    assert found.data.dtype == np.float32
    assert np.array_equal(found.data, data.astype(np.float32))
    assert found.pixel_size_A == pytest.approx(1.5)
    assert read_micrograph(tmp_path / "a.mrc", pixel_size_A=2.0).pixel_size_A == 2.0


@pytest.mark.parametrize(("name", "kind"), [("a.png", np.uint8), ("a.png", np.uint16), ("a.tif", np.float32)])
def test_grey_pictures(tmp_path, name, kind):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    data = np.random.default_rng(0).integers(0, 200, size=(40, 56)).astype(kind)
    image.fromarray(data).save(tmp_path / name)
    assert np.array_equal(read_micrograph(tmp_path / name, pixel_size_A=1.0).data, data.astype(np.float32))
    with pytest.raises(ParticleFileError, match="no pixel size; give pixel_size_A"):
        read_micrograph(tmp_path / name)


def test_pictures_in_colours_and_broken_ones(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "rgb.png")
    with pytest.raises(ParticleFileError, match="a picture of kind RGB; expected grey levels"):
        read_micrograph(tmp_path / "rgb.png", pixel_size_A=1.0)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ParticleFileError, match="no picture can be read"):
        read_micrograph(tmp_path / "text.png", pixel_size_A=1.0)
    frames = [image.fromarray(np.full((40, 40), k, np.uint8)) for k in (1, 2, 3)]
    frames[0].save(tmp_path / "movie.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(ParticleFileError, match="3 frames: a movie"):
        read_micrograph(tmp_path / "movie.tif", pixel_size_A=1.0)


NOISE = np.random.default_rng(1).normal(size=(40, 40)).astype(np.float32)


@pytest.mark.parametrize(
    ("data", "pixel_A", "words"),
    [
        (np.full((40, 40), 3.0, np.float32), 1.0, "all pixels are 3: an empty micrograph"),
        (np.where(NOISE > 0.2, 9.0, NOISE).astype(np.float32), 1.0, None),
        (np.where(NOISE > -0.5, 9.0, NOISE).astype(np.float32), 1.0, "have the brightest value, 9: saturated"),
        (np.where(NOISE > 0.5, np.nan, NOISE).astype(np.float32), 1.0, "pixels are NaN or infinite"),
        (np.stack([NOISE, NOISE, NOISE]), 1.0, "3 images of 40 x 40 pixels: a movie or a stack"),
        (NOISE, 0.0, "no pixel size; give pixel_size_A"),
        (NOISE[:20], 1.0, "40 x 20 pixels; expected a micrograph of 32"),
    ],
)
def test_what_is_no_micrograph_is_refused_in_words(tmp_path, data, pixel_A, words):
    path = write(tmp_path / "a.mrc", data, pixel_A)
    if words is None:
        assert read_micrograph(path).data.shape == (40, 40)
        return
    with pytest.raises(ParticleFileError, match=words):
        read_micrograph(path)


def test_a_few_broken_pixels_become_the_median(tmp_path):
    data = NOISE.copy()
    data[3, 4], data[5, 6] = np.nan, 1e30
    found = read_micrograph(write(tmp_path / "a.mrc", data))
    assert found.broken == 2
    assert np.abs(found.data).max() < 1e3


def listing(path, names, **columns):
    optics = {
        "rlnOpticsGroup": [1], "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1],
        "rlnMicrographPixelSize": [1.2],
    }  # fmt: skip
    table = {"rlnMicrographName": names, "rlnOpticsGroup": [1] * len(names), **columns}
    write_star(path, {"optics": Table.from_arrays(optics), "micrographs": Table.from_arrays(table)})
    return path


def test_lists_give_names_pixel_sizes_and_ctf(tmp_path):
    write(tmp_path / "a.mrc", NOISE)
    names = ["a.mrc", "b.mrc", "a.mrc"]  # particles repeat their micrograph
    path = listing(tmp_path / "m.star", names, rlnDefocusU=[9e3, 1e4, 9e3], rlnDefocusV=[8e3, 1e4, 8e3])
    one, other = list_micrographs([path])
    assert (one.path, one.stem, one.pixel_size_A) == (tmp_path / "a.mrc", "a", 1.2)
    assert (one.ctf.defocus_u_A[0], one.ctf.defocus_v_A[0], one.ctf.voltage_kV[0]) == (9e3, 8e3, 300.0)
    assert other.name == "b.mrc"
    assert list_micrographs([path], pixel_size_A=3.0)[0].pixel_size_A == 3.0
    assert list_micrographs([listing(tmp_path / "n.star", ["a.mrc"])])[0].ctf is None


def test_the_pixel_size_of_boxes_is_not_that_of_micrographs(tmp_path):
    columns = {"rlnMicrographName": ["a.mrc"], "rlnImageName": ["1@a.mrcs"], "rlnImagePixelSize": [4.0]}
    write_star(tmp_path / "p.star", {"particles": Table.from_arrays(columns)})
    assert list_micrographs([tmp_path / "p.star"])[0].pixel_size_A is None
    write_star(tmp_path / "p.star", {"particles": Table.from_arrays({**columns, "rlnMicrographPixelSize": [1.0]})})
    assert list_micrographs([tmp_path / "p.star"])[0].pixel_size_A == 1.0


def test_patterns_and_wrong_lists(tmp_path):
    for name in ("b.mrc", "a.mrc"):
        write(tmp_path / name, NOISE)
    assert [m.stem for m in list_micrographs([tmp_path / "*.mrc"])] == ["a", "b"]
    with pytest.raises(FileNotFoundError, match="no file fits this pattern"):
        list_micrographs([tmp_path / "*.tif"])
    with pytest.raises(ParticleFileError, match="occur twice, such as a"):
        list_micrographs([tmp_path / "a.mrc", tmp_path / "sub" / "a.mrc"])
    write_star(tmp_path / "x.star", {"particles": Table.from_arrays({"rlnCoordinateX": [1.0]})})
    with pytest.raises(ParticleFileError, match="no block has rows with the column rlnMicrographName"):
        list_micrographs([tmp_path / "x.star"])
    with pytest.raises(ParticleFileError, match="no micrographs were given"):
        list_micrographs([])
