"""Defocus groups, averages of aligned members by group, and masks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sets import defocus

from vitreous.averages.deconvolve import automatic_mask, average_groups, defocus_groups
from vitreous.matching import Alignments, ImagePreparation, mirrored
from vitreous.optics import ctf_2d
from vitreous.testing import Blobs, with_ctf

BOX, PIXEL_A = 32, 5.0
PREPARATION = ImagePreparation(box_px=BOX, pixel_size_A=PIXEL_A, particle_diameter_A=140.0, normalise=False)


@given(
    defocus_A=st.lists(st.integers(50, 300), min_size=1, max_size=60).map(lambda v: 100.0 * np.array(v)),
    groups=st.integers(1, 9),
)
def test_groups_are_ordered_without_gaps_and_keep_equal_values_together(defocus_A, groups):
    group = defocus_groups(defocus_A, groups)
    values = np.unique(defocus_A)
    assert set(group) == set(range(group.max() + 1))
    assert group.max() < groups
    of_value = [np.unique(group[defocus_A == v]) for v in values]
    assert all(len(g) == 1 for g in of_value)
    assert (np.diff(np.concatenate(of_value)) >= 0).all()
    if len(values) <= groups:
        assert group.max() + 1 == len(values)


def test_groups_of_continuous_defocus_are_quantiles():
    group = defocus_groups(np.random.default_rng(1).lognormal(9.5, 0.3, 7000), 7)
    assert np.abs(np.bincount(group) - 1000).max() <= 1


def test_a_defocus_that_is_no_number_is_named():
    with pytest.raises(ValueError, match="particle 2: the defocus is nan"):
        defocus_groups(np.array([1e4, np.nan]), 3)


@pytest.mark.parametrize("box", [7, 8])
def test_mirror_keeps_the_centre(box):
    image = torch.zeros(box, box)
    image[2, box // 2 + 2] = 1.0
    expected = torch.zeros(box, box)
    expected[2, box // 2 - 2] = 1.0
    assert torch.equal(mirrored(image), expected)


def seen(shape: Blobs, n: int, seed: int):
    """(images, members, groups, ctf) of a class: turned, shifted, half of them mirrored, astigmatic, without noise."""
    rng = np.random.default_rng(seed)
    psi, origin, mirror = 360 * rng.random(n), rng.normal(size=(n, 2)), np.arange(n) % 2 == 1
    ctf = defocus(n, seed, astigmatism_A=3000.0)
    reflected = replace(shape, centres_px=shape.centres_px * [-1, 1])
    clean = [(reflected if m else shape).image(BOX, p, tuple(o)) for m, p, o in zip(mirror, psi, origin, strict=True)]
    images = np.stack([with_ctf(image, ctf, i, PIXEL_A) for i, image in enumerate(clean)]).astype(np.float32)
    members = Alignments(
        particle=np.arange(n),
        reference=np.zeros(n, np.int64),
        psi_rad=np.deg2rad(psi),
        origin_A=origin * PIXEL_A,
        mirror=mirror,
    )
    return images, members, defocus_groups((ctf.defocus_u_A + ctf.defocus_v_A) / 2, 2), ctf


def test_a_group_average_is_the_class_under_the_mean_ctf_of_its_members():
    shape = Blobs.random(4, count=7, reach_px=7.0)
    images, members, group, ctf = seen(shape, 40, 5)
    averages = average_groups(lambda rows: images[rows], PREPARATION, ctf, members, group, 1, 2)
    assert averages.count.sum() == 40
    truth = torch.from_numpy(shape.image(BOX)).float()
    ft = torch.fft.rfft2(torch.fft.ifftshift(truth))
    expected = torch.fft.fftshift(torch.fft.irfft2(ft * averages.ctf[0], s=(BOX, BOX)), dim=(-2, -1))
    inside = slice(BOX // 8, -BOX // 8)  # fringes leave the box on one side and come back on the other
    difference = (averages.images[0] - expected)[:, inside, inside]
    assert difference.abs().max() < 0.03 * truth.max()


def test_without_ctf_a_group_average_is_the_class():
    shape = Blobs.random(6, count=7, reach_px=7.0)
    _, members, _, _ = seen(shape, 12, 7)
    members = replace(members, mirror=np.zeros(12, bool))
    poses = zip(np.rad2deg(members.psi_rad), members.origin_A / PIXEL_A, strict=True)
    images = np.stack([shape.image(BOX, p, tuple(o)) for p, o in poses]).astype(np.float32)
    averages = average_groups(lambda rows: images[rows], PREPARATION, None, members, np.zeros(12, np.int64), 1, 1)
    assert (averages.ctf == 1).all()
    assert averages.plain[0].numpy() == pytest.approx(shape.image(BOX), abs=0.02)


def test_phase_flipped_particles_have_the_absolute_ctf():
    images, members, group, ctf = seen(Blobs.random(8), 6, 9)
    one = members.of_references(0, 1)
    averages = average_groups(lambda rows: images[rows], PREPARATION, ctf, one, group, 1, 2, phase_flipped=True)
    assert (averages.ctf >= 0).all()
    signed = average_groups(lambda rows: images[rows], PREPARATION, ctf, one, group, 1, 2)
    assert (signed.ctf < 0).any()


def test_bad_images_do_not_count():
    images, members, group, ctf = seen(Blobs.random(10), 8, 11)
    images[3] = np.nan
    averages = average_groups(lambda rows: images[rows], PREPARATION, ctf, members, group, 1, 2)
    others = np.delete(np.arange(8), 3)
    expected = average_groups(lambda rows: images[rows], PREPARATION, ctf, members.take(others), group[others], 1, 2)
    assert torch.equal(averages.count, expected.count)
    assert torch.allclose(averages.images, expected.images, atol=1e-6)
    assert torch.allclose(averages.ctf, expected.ctf, atol=1e-6)
    unit = ctf_2d(ctf.take(np.array([0])), BOX, PIXEL_A).abs().max()
    assert averages.ctf.abs().max() <= unit + 1e-6


def test_mask_keeps_the_heaviest_object_and_fills_it():
    y, x = np.indices((48, 48)) - 24
    ring = np.exp(-((np.hypot(x, y) - 8) ** 2) / 8)
    stray = np.exp(-((x - 17) ** 2 + (y + 17) ** 2) / 4)
    mask = automatic_mask(ring + stray, 5.0, 21.0)
    assert mask[24, 24] == 1  # the hole of the ring
    assert mask[24, 24 + 8] == 1
    assert mask[24 - 17, 24 + 17] == 0
    assert ((mask > 0) & (mask < 1)).any()
    assert (mask >= 0).all()
    assert (mask <= 1).all()


def test_mask_keeps_domains_within_the_circle_only():
    y, x = np.indices((64, 64)) - 32
    body, domain, neighbour = (np.exp(-((x - a) ** 2 + y**2) / 12) for a in (-6, 8, 29))
    mask = automatic_mask(body + 0.4 * domain + 0.9 * neighbour, 5.0, 20.0)
    assert mask[32, 32 - 6] == mask[32, 32 + 8] == 1
    assert mask[32, 32 + 29] == 0


def test_mask_stays_out_of_the_noise():
    rng = np.random.default_rng(3)
    y, x = np.indices((48, 48)) - 24
    image = np.exp(-(x**2 + y**2) / 50) + 0.2 * np.abs(rng.normal(size=(48, 48)))
    assert automatic_mask(image, 5.0, 18.0, threshold=0.01)[np.hypot(x, y) > 18].mean() < 0.02


def test_mask_of_nothing_is_nothing():
    assert not automatic_mask(np.zeros((16, 16)), 5.0, 7.0).any()
