"""Where boxes are cut, what is in them, and coordinates from all kinds of files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.micrographs import (
    Extract,
    ListedMicrograph,
    box_places,
    cut_boxes,
    finished_boxes,
    read_coordinates,
    within,
)
from vitreous.micrographs.of_list import with_ctf_of_list
from vitreous.particles import ParticleFileError, Table, write_star

PLACES = st.tuples(st.floats(0, 4000), st.floats(0, 4000))
SHIFTS = st.tuples(st.floats(-60, 60), st.floats(-60, 60))


@given(coordinate=PLACES, origin=SHIFTS, pixel_A=st.floats(0.5, 6))
def test_recentering_leaves_the_particle_where_it_is_and_half_a_pixel_of_shift(coordinate, origin, pixel_A):
    xy, o = np.array([coordinate]), np.array([origin])
    before, kept = box_places(xy, o, pixel_A, recenter=False)
    assert (np.abs(before - xy) <= 0.5).all()
    assert np.array_equal(kept, o)
    after, rest = box_places(xy, o, pixel_A, recenter=True)
    assert np.allclose(before - o / pixel_A, after - rest / pixel_A, atol=1e-9)  # centre - o, both times
    assert (np.abs(rest) <= 0.5 * pixel_A * (1 + 1e-9)).all()


def test_halves_are_rounded_up_as_relion_does():
    places, _ = box_places(np.array([[2.5, 3.5], [2.49, np.nan]]), np.zeros((2, 2)), 1.0, recenter=False)
    assert places[0].tolist() == [3, 4]
    assert not within(places, 4, (4000, 4000))[1]


def test_a_box_has_its_centre_at_half_its_side_and_touches_the_edges():
    picture = np.arange(20 * 30).reshape(20, 30)
    places = np.array([[4, 4], [26, 16], [3, 4], [27, 16], [26, 17]])
    assert within(places, 8, picture.shape).tolist() == [True, True, False, False, False]
    boxes = np.concatenate(list(cut_boxes(picture, places[:2], 8)))
    assert boxes[:, 4, 4].tolist() == [picture[4, 4], picture[16, 26]]
    assert np.array_equal(boxes[0], picture[:8, :8])
    assert np.array_equal(boxes[1], picture[12:, 22:])


def test_contrast_background_and_a_slope():
    rng = np.random.default_rng(0)
    axis = np.arange(32) - 16
    disc = np.hypot(axis[:, None], axis) < 6
    boxes = rng.normal(size=(5, 32, 32)) * 3 + 1000 - 20 * disc + 0.5 * axis
    images, good = finished_boxes(boxes, 32, 8.0, invert=True, normalise=True)
    outside = images[:, np.hypot(axis[:, None], axis) > 8]
    assert good.all()
    assert np.abs(outside.mean(axis=1)).max() < 1e-4
    assert np.abs(outside.std(axis=1) - 1).max() < 1e-3
    assert images[:, disc].mean() == pytest.approx(20 / 3, rel=0.1)  # of the noise
    x = np.broadcast_to(axis, (32, 32))[np.hypot(axis[:, None], axis) > 8]
    assert np.abs(outside @ x).max() < 1.0  # the slope alone would make 0.17 x^2 summed, some 15,000
    raw, _ = finished_boxes(boxes, 32, 8.0, invert=False, normalise=False)
    assert np.array_equal(raw, boxes.astype(np.float32))


def test_a_cropped_box_has_the_same_mean_and_the_coarse_detail():
    axis = np.arange(32) - 16
    blob = 1000 + np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 4.0**2))
    images, _ = finished_boxes(blob[None], 16, 4.0, invert=False, normalise=False)
    half = np.arange(16) * 2 - 16
    assert np.abs(images[0] - 1000 - np.exp(-(half[:, None] ** 2 + half**2) / 32.0)).max() < 1e-3


def test_a_constant_box_is_not_to_be_used():
    boxes = np.stack([np.full((16, 16), 7.0), np.random.default_rng(0).normal(size=(16, 16))])
    assert finished_boxes(boxes, 16, 4.0, invert=True, normalise=True)[1].tolist() == [False, True]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"box_px": 63}, "box_px: expected an even number from 8, found 63"),
        ({"box_px": 64, "downsample_to_px": 80}, "downsample_to_px: expected at most box_px, 64"),
        ({"downsample_to_px": 32, "target_pixel_size_A": 3.0}, "give one"),
    ],
)
def test_settings_that_do_not_fit(wrong, words):
    with pytest.raises(ValueError, match=words):
        Extract(**wrong)


def test_the_side_for_a_pixel_size():
    assert Extract(target_pixel_size_A=2.0).side_px(100, 1.0) == 50
    assert Extract(target_pixel_size_A=3.1).side_px(100, 1.0) == 32
    with pytest.raises(ValueError, match=r"target_pixel_size_A: 0\.5 A makes 200 of 100 pixels"):
        Extract(target_pixel_size_A=0.5).side_px(100, 1.0)


MICROGRAPHS = [ListedMicrograph(path=Path(f"m/{name}.mrc"), name=f"m/{name}.mrc") for name in ("a", "a_b", "c")]


def test_coordinate_files_belong_to_the_micrograph_of_their_name(tmp_path):
    (tmp_path / "a_b_autopick.box").write_text("10\t20\t8\t8\n30 40 8 8 0\n\n")
    write_star(tmp_path / "a.star", {"": Table.from_arrays({"rlnCoordinateX": [1.5], "rlnCoordinateY": [2.5]})})
    found = read_coordinates([tmp_path / "a_b_autopick.box", tmp_path / "a.star"], MICROGRAPHS)
    assert found.table.text("rlnMicrographName").tolist() == ["m/a_b.mrc", "m/a_b.mrc", "m/a.mrc"]
    assert found.coordinate_px.tolist() == [[14, 24], [34, 44], [1.5, 2.5]]
    assert found.box_px == 8
    (tmp_path / "other.box").write_text("1 2 8 8\n")
    with pytest.raises(ParticleFileError, match="none of the 3 micrographs has this name"):
        read_coordinates([tmp_path / "other.box"], MICROGRAPHS)
    with pytest.raises(ParticleFileError, match="give the micrographs"):
        read_coordinates([tmp_path / "other.box"], None)
    (tmp_path / "a.box").write_text("1 2 8 8\n1 2 x\n")
    with pytest.raises(ParticleFileError, match=r"a\.box:2: .*expected x, y, width and height"):
        read_coordinates([tmp_path / "a.box"], MICROGRAPHS)


def test_missing_columns_are_named(tmp_path):
    write_star(tmp_path / "t.star", {"": Table.from_arrays({"rlnMicrographName": ["a"], "rlnCoordinateX": [1.0]})})
    with pytest.raises(ParticleFileError, match="no column rlnCoordinateY, needed for cutting boxes"):
        read_coordinates([tmp_path / "t.star"], None)
    write_star(tmp_path / "a.star", {"": Table.from_arrays({"rlnImageName": ["1@a"]})})
    with pytest.raises(ParticleFileError, match="expected columns rlnCoordinateX and rlnCoordinateY"):
        read_coordinates([tmp_path / "a.star"], MICROGRAPHS)


def test_shifts_of_relion_3_0_are_pixels_of_the_boxes(tmp_path):
    columns = {"rlnMicrographName": ["a"], "rlnCoordinateX": [9.0], "rlnCoordinateY": [9.0], "rlnOriginX": [2.0],
               "rlnOriginY": [-1.0]}  # fmt: skip
    write_star(tmp_path / "t.star", {"": Table.from_arrays(columns)})
    with pytest.raises(ParticleFileError, match="no rlnImagePixelSize"):
        read_coordinates([tmp_path / "t.star"], None).origin_A()
    with_size = columns | {"rlnDetectorPixelSize": [5.0], "rlnMagnification": [10000.0]}  # 5 A
    write_star(tmp_path / "t.star", {"": Table.from_arrays(with_size)})
    assert read_coordinates([tmp_path / "t.star"], None).origin_A().tolist() == [[10.0, -5.0]]


def test_ctf_of_the_list_and_that_of_particles_which_have_one(tmp_path):
    listed = Table.from_arrays({"rlnMicrographName": ["x/a.mrc", "x/c.mrc"], "rlnOpticsGroup": [2, 1],
                                "rlnDefocusU": [11000.0, 12000.0]})  # fmt: skip
    optics = Table.from_arrays({"rlnOpticsGroup": [1, 2], "rlnVoltage": [300.0, 200.0]})
    write_star(tmp_path / "l.star", {"optics": optics, "micrographs": listed})
    place = {"rlnCoordinateX": [1.0] * 3, "rlnCoordinateY": [1.0] * 3}
    write_star(
        tmp_path / "p.star", {"": Table.from_arrays({"rlnMicrographName": ["c.mrc", "a.mrc", "z.mrc"], **place})}
    )
    found, missing = with_ctf_of_list(read_coordinates([tmp_path / "p.star"], None), [tmp_path / "l.star"])
    assert found.table.numbers("rlnDefocusU")[:2].tolist() == [12000, 11000]
    assert found.table.numbers("rlnOpticsGroup")[:2].tolist() == [1, 2]
    assert missing == {"z.mrc"}
    own = Table.from_arrays({"rlnMicrographName": ["a.mrc"] * 3, "rlnDefocusU": [5.0, 6.0, 7.0], **place})
    write_star(tmp_path / "q.star", {"": own})
    found, _ = with_ctf_of_list(read_coordinates([tmp_path / "q.star"], None), [tmp_path / "l.star"])
    assert found.table.numbers("rlnDefocusU").tolist() == [5, 6, 7]
