"""Alignment of maps: known rotations, shifts and hands are found again."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitreous.mixtures import Mixture, evaluate, mirror, rotate, translate
from vitreous.quality import align_maps, resample_aligned


def blobs() -> Mixture:
    rng = np.random.default_rng(2)
    return Mixture(
        means_A=rng.normal(size=(10, 3)) * 15, weights=rng.dirichlet(np.full(10, 4)), precision_per_A2=7.0**-2
    )


@pytest.mark.parametrize("hand", [False, True])
def test_frame_and_hand_are_found(hand):
    turn, shift = Rotation.random(rng=7).as_matrix(), np.array([6.0, -4.0, 3.0])
    source = mirror(blobs()) if hand else blobs()
    reference = evaluate(translate(rotate(source, turn), shift), 28, 5.0)
    found = align_maps(evaluate(blobs(), 32, 4.0), 4.0, reference, 5.0, resolution_A=20.0)
    assert found.other_hand == hand
    assert found.correlation > 0.99
    assert np.rad2deg(Rotation.from_matrix(found.rotation.T @ turn).magnitude()) < 3.0
    assert np.abs(found.shift_A - shift).max() < 1.5
    aligned = resample_aligned(evaluate(blobs(), 32, 4.0), 4.0, found, 28, 5.0)
    assert np.corrcoef(aligned.ravel(), reference.ravel())[0, 1] > 0.98


def test_one_hand_only_and_bad_maps():
    density = evaluate(mirror(blobs()), 20, 6.0)
    found = align_maps(evaluate(blobs(), 20, 6.0), 6.0, density, 6.0, resolution_A=20.0, hands=(False,))
    assert not found.other_hand
    assert found.correlation < 0.97
    with pytest.raises(ValueError, match="positive density"):
        align_maps(-density, 6.0, density, 6.0, resolution_A=20.0)
    holed = density.copy()
    holed[3, 4, 5] = np.nan
    for pair in ((holed, density), (density, holed)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            align_maps(pair[0], 6.0, pair[1], 6.0, resolution_A=20.0)
    with pytest.raises(ValueError, match="the same everywhere in the ball"):
        align_maps(density, 6.0, np.pad(np.ones((1, 1, 1)), (0, 19)), 6.0, resolution_A=1.0)  # one corner
    with pytest.raises(ValueError, match="hands"):
        align_maps(density, 6.0, density, 6.0, resolution_A=20.0, hands=())
