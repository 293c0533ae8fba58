"""Maps on other grids: origins, Fourier crop and pad, exact pixel sizes, point groups."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.fourier import centred_irfft2, centred_rfft2, fourier_crop, fourier_pad
from vitreous.particles import Volume, read_volume, write_volume
from vitreous.rotations import symmetry_matrices
from vitreous.volumes import fourier_resize, resample, resize_box, symmetrise


def gaussians(n: int, pixel: float, *, sigma: float = 8.0) -> Volume:
    """Three blobs at fixed places in Angstrom from the centre."""
    axis = (np.arange(n) - n // 2) * pixel
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    places = ((10.0, 0.0, 5.0), (-12.0, 8.0, 0.0), (3.0, -14.0, -9.0))
    data = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / (2 * sigma**2)) for a, b, c in places)
    return Volume(data=data, pixel_size_A=pixel)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(5, 12), m=st.integers(5, 12), seed=st.integers(0, 99))
def test_fourier_resize_is_that_of_images_on_every_axis(n, m, seed):
    data = np.random.default_rng(seed).normal(size=(n, n, n)).astype(np.float32)
    ours = fourier_resize(Volume(data=data, pixel_size_A=2.0), m)
    change = fourier_crop if m <= n else fourier_pad

    def planes(values: torch.Tensor) -> torch.Tensor:
        return centred_irfft2(change(centred_rfft2(values), n, m), m)

    two = planes(torch.from_numpy(data).double())  # (n, m, m)
    lines = (
        two.permute(1, 2, 0).reshape(m * m, 1, n).expand(-1, n, -1)
    )  # the last axis, as images that are constant in y
    three = planes(lines)[:, m // 2].reshape(m, m, m).permute(2, 0, 1)
    assert np.abs(ours.data - three.numpy()).max() < 1e-5
    assert ours.pixel_size_A == pytest.approx(2.0 * n / m)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(4, 12), more=st.integers(0, 9))
def test_cropping_undoes_padding(n, more):
    data = np.random.default_rng(n).normal(size=(n, n, n)).astype(np.float32)
    there = fourier_resize(Volume(data=data, pixel_size_A=1.5), n + more)
    assert np.abs(fourier_resize(there, n).data - data).max() < 1e-5


@pytest.mark.parametrize(("n", "m", "pixel"), [(24, 31, 4.37), (25, 20, 6.1), (24, 40, 3.0)])
def test_a_smooth_map_is_resampled_exactly_about_its_centre(n, m, pixel):
    found = resample(gaussians(n, 5.0), m, pixel)
    expected = gaussians(m, pixel).data
    inside = np.abs((np.arange(m) - m // 2) * pixel) < 0.4 * n * 5.0
    cube = np.ix_(inside, inside, inside)
    assert np.abs(found.data[cube] - expected[cube]).max() < 0.01  # periodic images of the tails
    assert (found.data.shape, found.pixel_size_A) == ((m, m, m), pixel)


def test_what_lies_outside_the_field_is_zero():
    wide = resample(Volume(data=np.ones((8, 8, 8)), pixel_size_A=2.0), 20, 1.5)
    inside = np.abs((np.arange(20) - 10) * 1.5) <= 8.0  # half of 8 voxels of 2 A
    assert np.abs(wide.data[np.ix_(inside, inside, inside)] - 1.0).max() < 1e-5
    assert not wide.data[~inside].any()


def test_boxes_of_any_shape_become_cubes_about_the_same_voxel():
    data = np.zeros((7, 10, 4), np.float32)
    data[3, 5, 2] = 1.0  # n // 2
    for box in (3, 8, 12):
        cube = resize_box(Volume(data=data, pixel_size_A=2.0), box)
        assert np.argwhere(cube.data).tolist() == [[box // 2] * 3]
    with pytest.raises(ValueError, match="at least 1 voxel, found 0"):
        resize_box(Volume(data=data, pixel_size_A=2.0), 0)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(4, 11), m=st.integers(4, 11), pixel=st.sampled_from([1.5, 2.0, 2.7]))
def test_the_centre_stays_where_it_is(n, m, pixel):
    volume = Volume(data=np.ones((n, n, n)), pixel_size_A=2.0, origin_A=(10.0, -4.0, 0.5), symmetry="D2")
    for changed in (resize_box(volume, m), resample(volume, m, pixel), fourier_resize(volume, m)):
        assert np.allclose(changed.centre_A, volume.centre_A, atol=1e-4)
        assert changed.symmetry == "D2"


def test_origin_survives_the_file(tmp_path):
    volume = Volume(data=np.ones((4, 5, 6)), pixel_size_A=2.5, origin_A=(-10.0, 3.5, 100.25), symmetry="C3")
    write_volume(tmp_path / "a.mrc", volume)
    again = read_volume(tmp_path / "a.mrc")
    assert (again.origin_A, again.symmetry) == (volume.origin_A, "C1")
    raw = (tmp_path / "a.mrc").read_bytes()
    assert np.frombuffer(raw[196:208], "<f4").tolist() == [-10.0, 3.5, 100.25]
    write_volume(tmp_path / "b.mrc", Volume(data=np.ones((4, 4, 4)), pixel_size_A=2.5))
    assert not any((tmp_path / "b.mrc").read_bytes()[196:208])  # as RELION writes it


def test_start_indices_are_an_origin_where_there_is_none(tmp_path):
    path = tmp_path / "a.mrc"
    write_volume(path, Volume(data=np.ones((4, 4, 4)), pixel_size_A=2.0))
    raw = bytearray(path.read_bytes())
    raw[16:28] = np.array([-2, 3, 5], "<i4").tobytes()
    raw[64:76] = np.array([3, 1, 2], "<i4").tobytes()  # columns run along z, rows along x, sections along y
    path.write_bytes(raw)
    assert read_volume(path).origin_A == (6.0, 10.0, -4.0)
    raw[196:208] = np.array([7, 8, 9], "<f4").tobytes()
    path.write_bytes(raw)
    assert read_volume(path).origin_A == (7.0, 8.0, 9.0)
    raw[208:212] = bytes(4)  # no MAP: a file from before 2000
    path.write_bytes(raw)
    assert read_volume(path).origin_A == (6.0, 10.0, -4.0)


def test_volumes_that_are_none_are_refused():
    data = np.zeros((4, 4, 4))
    with pytest.raises(ValueError, match="origin_A: expected three finite numbers"):
        Volume(data=data, pixel_size_A=1.0, origin_A=(0.0, np.nan, 0.0))
    with pytest.raises(ValueError, match="symmetry group"):
        Volume(data=data, pixel_size_A=1.0, symmetry="Q7")
    with pytest.raises(ValueError, match="expected a cubic map, found 4 x 4 x 2"):
        _ = Volume(data=data[:2], pixel_size_A=1.0).box_px


@pytest.mark.parametrize("group", ["C1", "C2", "C4", "D2", "O"])
@pytest.mark.parametrize("n", [12, 13])
def test_turns_that_keep_the_grid_are_exact(group, n):
    data = np.random.default_rng(3).normal(size=(n, n, n)).astype(np.float32)
    found = symmetrise(Volume(data=data, pixel_size_A=2.0), group)
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    inside = x**2 + y**2 + z**2 < (n / 2) ** 2
    points = np.stack([x[inside], y[inside], z[inside]])
    turned = [np.round(turn @ points).astype(int)[::-1] + n // 2 for turn in symmetry_matrices(group).numpy()]
    expected = np.mean([data[tuple(index)] for index in turned], axis=0)
    assert np.abs(found.data[inside] - expected).max() < 2e-4
    assert found.symmetry == group


@pytest.mark.parametrize("group", ["C3", "D7", "I"])
def test_a_symmetric_map_stays_and_any_map_becomes_symmetric(group):
    volume = gaussians(32, 3.0, sigma=5.0)
    once = symmetrise(volume, group)
    again = symmetrise(once, group)
    inside = gaussians(32, 3.0, sigma=12.0).data > 0.2
    assert np.abs(again.data - once.data)[inside].max() < 2e-3 * once.data.max()
    assert once.data.sum() == pytest.approx(volume.data.sum(), rel=1e-2)
