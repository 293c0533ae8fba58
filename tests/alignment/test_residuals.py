"""Residuals: a sum of squares of noise where images are their average, and more where something is beside them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vitreous.alignment import Groups, Matching, residuals, standardised
from vitreous.matching import Alignments, ImagePreparation, prepare_particles
from vitreous.testing import Blobs

BOX, N = 32, 240


def test_members_are_near_and_one_with_a_neighbour_is_far():
    rng = np.random.default_rng(0)
    shape, other = Blobs.random(1, count=6, reach_px=5.0), Blobs.random(2, count=4, reach_px=3.0)
    psi = rng.uniform(-180, 180, N)
    clean = np.stack([shape.image(BOX, p) for p in psi])
    clean[:20] += 2 * np.stack([other.image(BOX, p, (6.0, 4.0)) for p in psi[:20]])
    images = (clean + rng.normal(size=clean.shape)).astype(np.float32)
    preparation = ImagePreparation.for_box(BOX, 1.0, 26.0, normalise=False)
    data = prepare_particles(lambda index: images[index], N, preparation, rings=8, ctf=None)
    at = replace(Alignments.unknown(N), reference=np.zeros(N, np.int64), psi_rad=np.deg2rad(psi))
    noise = torch.full((1, 8), data.white_noise_power)
    groups, tau2 = Groups.of_labels(np.zeros(N, np.int64)), torch.full((8,), 1e6)
    found = residuals(data, groups, at, noise, tau2, Matching(offset_range_A=3.0), 8)
    dof = float(data.basis.ring_weight.sum())
    assert np.median(found[20:]) == pytest.approx(dof, rel=0.15)  # independent coefficients
    far = standardised(found)
    assert far[:20].min() > 3
    assert np.mean(far[20:] > 3) < 0.03


def test_no_spread_is_no_outlier():
    assert standardised(np.ones(5)).tolist() == [0.0] * 5
