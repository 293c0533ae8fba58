"""Pure classes are stable, mixed ones and noise are not, and what cannot be tested is said."""

from dataclasses import replace

import numpy as np
import pytest
from sets import PIXEL_A, SHAPES, simulate

from vitreous.averages.stability import StabilityTest, prepare_stability, stability
from vitreous.matching import Alignments

SETTINGS = StabilityTest(particle_diameter_A=130.0, offset_range_A=12.0, starts=8)


def labelled(label: np.ndarray, truth) -> Alignments:
    """Classes with the poses that a good classification would have found."""
    psi = np.deg2rad(truth.psi_deg)
    return replace(Alignments.unknown(len(label)), reference=label, psi_rad=psi, origin_A=truth.origin_px * PIXEL_A)


@pytest.mark.parametrize("mirror", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_pure_classes_are_stable_and_mixed_ones_are_not(mirror):
    particles, truth = simulate(240, 0.4, 11, shapes=SHAPES[:2])
    one, two = (np.flatnonzero(truth.label == k) for k in (0, 1))
    label = np.empty(240, np.int64)
    label[one[:60]], label[two[:60]] = 0, 1
    label[one[60:90]] = label[two[60:90]] = 2
    label[one[90:]] = label[two[90:]] = 3
    found = stability(particles, SETTINGS, alignments=labelled(label, truth), mirror=mirror)
    assert found.stable.tolist() == [True, True, False, False]
    assert found.error_A[:2].max() < 0.3 * PIXEL_A
    assert (found.tested == 60).all()
    assert np.isfinite(found.particle_error_A).all()


def test_noise_is_not_stable():
    particles, truth = simulate(80, 0, 12)
    found = stability(particles, SETTINGS, alignments=labelled(np.zeros(80, np.int64), truth))
    assert not found.stable.any()
    assert found.error_A[0] > 2 * PIXEL_A


def test_small_classes_and_large_ones():
    """Five members are not tested; of sixty, twenty are."""
    particles, truth = simulate(65, 0.5, 13, shapes=SHAPES[:1])
    label = np.where(np.arange(65) < 5, 1, 0)
    found = stability(particles, replace(SETTINGS, members=20), alignments=labelled(label, truth))
    assert found.tested.tolist() == [20, 0]
    assert found.population.tolist() == [60, 5]
    assert np.isinf(found.error_A[1])
    assert np.isfinite(found.particle_error_A).sum() == 20
    assert found.alignments.known.sum() == 20


def test_what_cannot_be_tested_is_refused():
    particles, truth = simulate(40, 0.5, 14)
    none = labelled(np.full(40, -1), truth)
    with pytest.raises(ValueError, match="no particle has a class"):
        prepare_stability(particles, SETTINGS, alignments=none)
    many = labelled(np.arange(40), truth)
    with pytest.raises(ValueError, match="the largest class has 1 usable particle; expected at least 12"):
        prepare_stability(particles, SETTINGS, alignments=many)
    with pytest.raises(ValueError, match="starts: expected at least 2"):
        StabilityTest(starts=1)
