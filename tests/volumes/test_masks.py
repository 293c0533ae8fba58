"""Masks: what they cover, how they fall off, and what is no mask."""

import shutil
import subprocess

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from vitreous.particles import Volume, read_volume, write_volume
from vitreous.simulate import phantom
from vitreous.volumes import (
    apply_mask,
    automatic_mask,
    automatic_threshold,
    check_mask,
    low_pass,
    resample,
    spherical_mask,
    threshold_mask,
)

PIXEL = 5.0


def particle(n: int = 32, pixel: float = PIXEL) -> Volume:
    return Volume(data=phantom(n, pixel, "small").numpy(), pixel_size_A=pixel, origin_A=(1.0, 2.0, 3.0))


def test_a_ball_falls_off_as_a_cosine():
    like = Volume(data=np.zeros((20, 24, 22)), pixel_size_A=2.0, origin_A=(5.0, 0.0, 0.0))
    mask = spherical_mask(like, 20.0, edge_A=8.0)
    profile = mask.data[10, 12, 11:]
    radius = 2.0 * np.arange(11)
    assert np.allclose(profile, 0.5 * (1 + np.cos(np.pi * np.clip((radius - 10.0) / 8.0, 0, 1))), atol=1e-6)
    assert (mask.origin_A, mask.pixel_size_A) == (like.origin_A, 2.0)
    assert mask.data[10, 12, 11] == mask.data[10, 7, 11] == 1.0
    assert spherical_mask(like, 20.0).data[10, 12, 11 + 9] > 0  # 18 A: within five voxels of the edge
    with pytest.raises(ValueError, match=r"a ball of 200 A covers 100% of the box"):
        spherical_mask(like, 200.0)
    with pytest.raises(ValueError, match="diameter_A: expected a positive number"):
        spherical_mask(like, -5.0)


def test_a_threshold_grows_and_softens_by_distance():
    data = np.zeros((16, 16, 16))
    data[8, 8, 8] = 1.0
    mask = threshold_mask(Volume(data=data, pixel_size_A=2.0), 0.5, extend_A=6.5, edge_A=4.0)
    assert mask.data[8, 8, 8:].tolist() == pytest.approx([1, 1, 1, 1, 0.5, 0, 0, 0], abs=1e-6)
    assert mask.data[8 + 2, 8 + 2, 8 + 1] == 1.0  # 6 A away
    from_the_last = 2.0 * 2.0**0.5  # at (2, 2, 1)
    assert mask.data[11, 10, 10] == pytest.approx(0.5 * (1 + np.cos(np.pi * from_the_last / 4.0)), abs=1e-6)


def test_only_the_largest_piece_without_its_holes():
    data = np.zeros((16, 16, 16))
    data[3:9, 3:9, 3:9] = 1.0
    data[5, 5, 5] = 0.0
    data[12:14, 12:14, 12:14] = 1.0
    volume = Volume(data=data, pixel_size_A=1.0)
    plain = threshold_mask(volume, 0.5, extend_A=0.0, edge_A=0.0).data
    assert np.array_equal(plain, data)
    filled = threshold_mask(volume, 0.5, extend_A=0.0, edge_A=0.0, largest_piece=True, fill_holes=True).data
    assert filled.sum() == 6**3


@pytest.mark.parametrize(
    ("threshold", "words"), [(9.0, "nothing is above the threshold 9"), (-9.0, "everything is above")]
)
def test_thresholds_beyond_the_map_are_refused_with_its_range(threshold, words):
    with pytest.raises(ValueError, match=words + r".*the map lies in"):
        threshold_mask(particle(), threshold, extend_A=0.0, edge_A=0.0)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_the_automatic_mask_holds_the_particle_and_little_else(noise):
    clean = particle()
    peak = float(clean.data.max())
    volume = clean.with_data(clean.data + noise * peak * np.random.default_rng(1).normal(size=clean.data.shape))
    mask = automatic_mask(volume)
    inside = (clean.data * mask.data).sum() / clean.data.sum()
    assert inside > 0.95  # of the mass: the phantom has loose ends
    distance = distance_transform_edt(clean.data < 0.02 * peak) * PIXEL
    assert mask.data[distance > 3 * PIXEL + 5 * PIXEL + 15.0].max() == 0.0  # grown, with its edge; filtered at 20 A
    assert mask.data[0].max() == 0.0
    assert mask.origin_A == volume.origin_A


def test_the_threshold_does_not_depend_on_scale_and_background():
    volume = low_pass(particle(), 20.0)
    threshold = automatic_threshold(volume)
    other = automatic_threshold(volume.with_data(3.0 * volume.data + 7.0))
    assert other == pytest.approx(3.0 * threshold + 7.0, rel=1e-3)
    with pytest.raises(ValueError, match="the same everywhere"):
        automatic_threshold(volume.with_data(np.ones((4, 4, 4))))


def test_masks_of_other_maps_are_refused():
    like = particle()
    mask = spherical_mask(like, 100.0)
    assert check_mask(mask, like) is mask
    assert np.array_equal(apply_mask(like, mask).data, like.data * mask.data)
    smaller = resample(mask, 16, 10.0)
    with pytest.raises(ValueError, match=r"16 x 16 x 16 voxels and the map 32 x 32 x 32; .*resample"):
        check_mask(smaller, like)
    with pytest.raises(ValueError, match=r"voxels of 4.2 A and the map of 5 A"):
        check_mask(Volume(data=mask.data, pixel_size_A=4.2), like)
    with pytest.raises(ValueError, match="is it a map"):
        apply_mask(like, like.with_data(5.0 * like.data))
    with pytest.raises(ValueError, match=r"half\.mrc covers nothing"):
        check_mask(mask.with_data(0.3 * mask.data), like, name="half.mrc")
    with pytest.raises(ValueError, match="covers 100% of the box"):
        check_mask(mask.with_data(np.ones_like(mask.data)), like)


@pytest.mark.skipif(shutil.which("relion_mask_create") is None, reason="relion_mask_create is not installed")
def test_relion_makes_the_same_mask(tmp_path):
    volume = particle()
    threshold = 0.2 * float(volume.data.max())
    write_volume(tmp_path / "map.mrc", volume)
    command = f"relion_mask_create --i map.mrc --o mask.mrc --ini_threshold {threshold} --extend_inimask 2 --angpix 5"
    subprocess.run([*command.split(), "--width_soft_edge", "4"], cwd=tmp_path, check=True, capture_output=True)
    theirs = read_volume(tmp_path / "mask.mrc").data
    ours = threshold_mask(volume, threshold, extend_A=2 * PIXEL, edge_A=4 * PIXEL).data
    assert np.abs(ours - theirs).max() < 1e-4
