"""Two images: found against the pose with which one was made, against brute force, and below the grid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.alignment import align_images
from vitreous.testing import Blobs

BOX, DIAMETER_PX, REACH_PX = 32, 26.0, 5.0
SHAPE = Blobs.random(3, count=8, reach_px=8.0, width_px=1.5)
MIRRORED = Blobs(centres_px=SHAPE.centres_px * [-1, 1], heights=SHAPE.heights, width_px=1.5)


def found(images: np.ndarray, **options):
    options = {"particle_diameter_A": DIAMETER_PX, "offset_range_A": REACH_PX} | options
    return align_images(images, SHAPE.image(BOX), **options)


@settings(max_examples=5, deadline=None)
@given(psi=st.floats(-180, 180), x=st.floats(-3, 3), y=st.floats(-3, 3), mirror=st.booleans())
def test_the_pose_comes_back(psi, x, y, mirror):
    """Without noise: within half a degree, a tenth of a pixel (the mask cuts another part of either image)."""
    image = (MIRRORED if mirror else SHAPE).image(BOX, psi, (x, y))
    result = found(image[None], mirror=True)
    own = result.alignments
    assert own.mirror[0] == mirror
    assert abs((own.psi_deg[0] - psi + 180) % 360 - 180) < 0.5
    assert np.abs(own.origin_A[0] - (x, y)).max() < 0.1
    assert result.correlation[0] > 0.99


def test_no_other_pose_of_a_finer_grid_correlates_better():
    """Brute force in real space: rotations by 2 degrees and shifts by half a pixel about the pose that was found."""
    image = SHAPE.image(BOX, 73.0, (1.3, -0.8)) + 0.2 * np.random.default_rng(0).normal(size=(BOX, BOX))
    own = found(image[None]).alignments

    def distance(psi: float, origin: np.ndarray) -> float:
        return float(np.square(image - SHAPE.image(BOX, psi, tuple(origin))).sum())

    best = distance(own.psi_deg[0], own.origin_A[0])
    for turn in np.arange(-180, 180, 2.0):
        for step in ((0, 0), (0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)):
            assert best < distance(own.psi_deg[0] + turn, own.origin_A[0] + step) + 0.05


def test_coloured_noise_is_weighed():
    """Noise in a band of rings: weighting by its power finds what plain correlation does not."""
    rng, n = np.random.default_rng(1), 24
    shell = np.hypot(*np.meshgrid(np.fft.fftfreq(BOX), np.fft.rfftfreq(BOX), indexing="ij")) * BOX
    spectrum = np.where((np.arange(BOX // 2 + 1) >= 2) & (np.arange(BOX // 2 + 1) <= 4), 400.0, 0.05)
    gain = np.sqrt(np.interp(shell, np.arange(BOX // 2 + 1), spectrum))
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(n, BOX, BOX))) * gain, (BOX, BOX))
    psi = rng.uniform(-180, 180, n)
    images = np.stack([SHAPE.image(BOX, p) for p in psi]) + 0.3 * noise

    def share_right(noise_power) -> float:
        error = (found(images, noise_power=noise_power, offset_range_A=2.0).alignments.psi_deg - psi + 180) % 360 - 180
        return float((np.abs(error) < 10).mean())

    assert share_right(spectrum) > share_right(None) + 0.3


def test_what_does_not_fit_is_refused():
    image = SHAPE.image(BOX)[None]
    with pytest.raises(ValueError, match=r"images: expected \(n, L, L\) with at least one"):
        align_images(image[0], image[0], offset_range_A=1.0)
    with pytest.raises(ValueError, match="noise_power: expected 17 positive numbers, found 0 among them"):
        found(image, noise_power=np.zeros(17))
    with pytest.raises(ValueError, match=r"images: expected \(n, L, L\) with at least one image, found \(0, 32, 32\)"):
        found(image[:0])
    with pytest.raises(ValueError, match=r"references: expected \(1, 32, 32\) or \(32, 32\), found \(2, 32, 32\)"):
        align_images(image, np.concatenate([image, image]), offset_range_A=1.0)
