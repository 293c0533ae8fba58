"""A map against its turned, shifted and mirrored copy: the last alignment is as good as the detail allows."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitreous.mixtures import Mixture, evaluate, mirror, rotate, translate
from vitreous.particles import Volume
from vitreous.quality import MapAlignment, align_finely, compare_maps

PIXEL_A, BOX = 4.0, 32


def blobs(sigma_A: float = 5.0) -> Mixture:
    rng = np.random.default_rng(2)
    return Mixture(
        means_A=rng.normal(size=(40, 3)) * 14, weights=rng.dirichlet(np.full(40, 4)), precision_per_A2=sigma_A**-2
    )


def as_map(mixture: Mixture, box: int = BOX, pixel_A: float = PIXEL_A) -> Volume:
    return Volume(data=evaluate(mixture, box, pixel_A).astype(np.float32), pixel_size_A=pixel_A)


def degrees_apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.rad2deg(Rotation.from_matrix(a.T @ b).magnitude()))


def start_near(turn: Rotation, shift: np.ndarray, degrees: float, hand: bool) -> MapAlignment:
    """What a coarse alignment leaves: so many degrees and 1.5 A off."""
    off = Rotation.from_rotvec(np.deg2rad(degrees) * np.array([0.36, 0.48, 0.8]))
    return MapAlignment(
        rotation=(off * turn).as_matrix(), shift_A=shift + np.array([1.0, -1.0, 0.5]), other_hand=hand, correlation=0.0
    )


@pytest.mark.parametrize("hand", [False, True])
@pytest.mark.parametrize("grid", [(32, 4.0), (36, 3.5)])
def test_known_rotations_are_found_within_hundredths_of_a_degree(hand, grid):
    turn, shift = Rotation.random(rng=7), np.array([2.0, -1.5, 1.0])
    there = as_map(translate(rotate(mirror(blobs()) if hand else blobs(), turn.as_matrix()), shift))
    found = align_finely(as_map(blobs(), *grid), there, start_near(turn, shift, 5.0, hand), resolution_A=10.0)
    # The best rotation of maps between whose grid points splines lie is up to 0.033 degrees off: 0.02 A at the rim.
    assert degrees_apart(found.rotation, turn.as_matrix()) < 0.05
    assert np.abs(found.shift_A - shift).max() < 0.02  # A, 1/200 of a pixel
    assert found.correlation > 0.97  # splines of order 3 take some of what is close to Nyquist


def test_noise_moves_the_rotation_by_less_than_half_a_degree():
    """White noise of an eighth of the variance of the map; the coarse alignment was 3 degrees off."""
    turn, shift = Rotation.from_rotvec([0.4, -0.2, 0.1]), np.zeros(3)
    here, there = as_map(blobs()), as_map(rotate(blobs(), turn.as_matrix()))
    noise = np.random.default_rng(5).normal(size=here.data.shape) * here.data.std() * 0.35
    noisy = here.with_data(here.data + noise.astype(np.float32))
    found = align_finely(noisy, there, start_near(turn, shift, 3.0, False), resolution_A=12.0)
    assert 0.0 < degrees_apart(found.rotation, turn.as_matrix()) < 0.5
    assert np.abs(found.shift_A).max() < 0.3


def test_a_copy_agrees_to_the_last_shells_and_its_hand_is_told():
    """FSC of a map with its turned and mirrored copy: only the splines that turn it take something from it."""
    turn = Rotation.random(rng=3).as_matrix()
    agreement, aligned = compare_maps(as_map(mirror(rotate(blobs(), turn))), as_map(blobs()))
    assert agreement.other_hand
    assert agreement.resolution_A < 9.0  # Nyquist is 8 A
    assert min(agreement.fsc[1 : BOX // 4]) > 0.99  # to 16 A
    assert agreement.correlation > 0.999 > agreement.mirrored_correlation
    assert np.corrcoef(aligned.data.ravel(), as_map(blobs()).data.ravel())[0, 1] == pytest.approx(agreement.correlation)


def test_a_map_without_detail_is_refused():
    flat = Volume(data=np.full((16, 16, 16), 1.0, np.float32), pixel_size_A=4.0)
    start = MapAlignment(rotation=np.eye(3), shift_A=np.zeros(3), other_hand=False, correlation=0.0)
    with pytest.raises(ValueError, match="nothing between its box and 10 A"):
        align_finely(flat, flat, start, resolution_A=10.0)


def test_maps_that_agree_on_nothing_within_the_smaller_box_stay_as_they_were_aligned():
    """A ball in a box of half the size: their FSC is below 0.5 before the first ring that the small box has."""
    z, y, x = np.indices((32,) * 3) - 16
    ball = Volume(data=(x**2 + y**2 + z**2 < 13**2).astype(np.float32), pixel_size_A=8.0)
    small = as_map(blobs(), 16, 8.0)
    start = MapAlignment(rotation=np.eye(3), shift_A=np.zeros(3), other_hand=False, correlation=0.0)
    with pytest.raises(ValueError, match="nothing between its box and 200 A"):
        align_finely(small, ball, start, resolution_A=200.0)
    agreement, _ = compare_maps(small, ball)
    assert agreement.resolution_A > 128.0  # the small box
