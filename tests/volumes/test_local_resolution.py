"""Local resolution where it is known: two regions of different fall-off under one noise."""

from dataclasses import replace

import numpy as np
import pytest

from vitreous.particles import Volume
from vitreous.volumes import (
    apply_b_factor,
    half_map_fsc,
    local_filter,
    local_resolution,
    low_pass,
    postprocess,
    spherical_mask,
)

N, PIXEL, LEVEL = 48, 2.0, 0.15
AXIS = (np.arange(N) - N // 2) * PIXEL
SHARP_B, BLURRED_B = 250.0, 700.0


def white(seed: int) -> Volume:
    return Volume(data=np.random.default_rng(seed).normal(size=(N, N, N)), pixel_size_A=PIXEL)


@pytest.fixture(scope="module")
def halves() -> tuple[Volume, Volume]:
    """White signal, blurred little at x < 0 and much at x > 0, in white noise."""
    sharp, blurred = (apply_b_factor(white(0), b).data for b in (SHARP_B, BLURRED_B))
    share = 1.0 / (1.0 + np.exp(AXIS / 4.0))
    true = share * sharp + (1.0 - share) * blurred
    return tuple(white(0).with_data(true + LEVEL * white(i).data) for i in (1, 2))


def expected_A(b: float, fsc: float = 0.143) -> float:
    """Where ``exp(-B k^2 / 2) / LEVEL^2 = fsc / (1 - fsc)``."""
    return 1.0 / np.sqrt(2.0 / b * np.log((1.0 - fsc) / fsc / LEVEL**2))


def test_two_regions_have_their_own_resolution(halves):
    mask = spherical_mask(halves[0], 0.8 * N * PIXEL)
    found = local_resolution(*halves, mask)
    for side, b in ((AXIS < -16.0, SHARP_B), (AXIS > 16.0, BLURRED_B)):
        values = found.volume.data[:, :, side][found.inside[:, :, side]]
        assert np.median(values) == pytest.approx(expected_A(b), rel=0.12)
        assert np.quantile(values, 0.9) / np.quantile(values, 0.1) < 1.35
    whole = half_map_fsc(*halves, mask).resolution_A
    assert found.quantile(0.05) < whole < found.quantile(0.95)
    assert found.unresolved == 0.0
    outside = found.volume.data[~found.inside]
    assert np.allclose(outside, found.tested_A[0])  # the coarsest
    assert found.tested_A[-1] == pytest.approx(2 * PIXEL)


@pytest.mark.parametrize(("sixth_of_the_box", "is_local"), [(0.9, True), (1.1, False)])
def test_what_the_box_has_no_room_for_is_left_out(halves, sixth_of_the_box, is_local):
    """Images that held nothing finer than a sixth of the box still give a map."""
    found = postprocess(*halves, spherical_mask(halves[0], 80.0), finest_A=sixth_of_the_box * N * PIXEL / 6)
    assert found.fsc.resolution_A < np.inf
    assert (found.local is not None) == is_local
    assert (found.locally_filtered is not None) == is_local


def test_noise_is_nowhere_resolved():
    found = local_resolution(white(5), white(6), threshold=0.3)
    assert found.unresolved > 0.95
    assert (found.volume.data == np.float32(found.tested_A[0])).mean() > 0.95


def test_filtering_follows_the_map_of_resolutions(halves):
    resolution = halves[0].with_data(np.broadcast_to(np.where(AXIS < 0, 6.0, 16.0)[None, None], (N, N, N)))
    found = local_filter(halves[0], resolution)
    fine, coarse = low_pass(halves[0], 6.0).data, low_pass(halves[0], 16.0).data
    assert np.abs(found.data[:, :, AXIS < 0] - fine[:, :, AXIS < 0]).max() < 1e-3
    assert np.abs(found.data[:, :, AXIS > 0] - coarse[:, :, AXIS > 0]).max() < 1e-3
    even = local_filter(halves[0], resolution.with_data(np.full((N, N, N), 10.0)))
    assert np.abs(even.data - low_pass(halves[0], 10.0).data).max() < 1e-5
    ramp = local_filter(halves[0], resolution.with_data(np.broadcast_to(np.linspace(6, 16, N), (N, N, N))))
    assert coarse.std() < ramp.data.std() < fine.std()


def test_what_cannot_be_compared_is_refused(halves):
    with pytest.raises(ValueError, match="nothing lies between 3 A"):
        local_resolution(*halves, coarsest_A=3.0)
    with pytest.raises(ValueError, match="both are the same map"):
        local_resolution(halves[0], halves[0])
    with pytest.raises(ValueError, match="resample brings it"):
        local_resolution(*halves, spherical_mask(Volume(data=np.zeros((8, 8, 8)), pixel_size_A=2.0), 6.0))
    with pytest.raises(ValueError, match="expected the shape of the map"):
        local_filter(halves[0], Volume(data=np.ones((8, 8, 8)), pixel_size_A=2.0))
    with pytest.raises(ValueError, match="is it a map of resolutions"):
        local_filter(halves[0], replace(halves[0], data=np.zeros((N, N, N))))
