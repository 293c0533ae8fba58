"""One average of particles of one view: angles, agreement of starts, and what is said of noise and of wrong input."""

from dataclasses import replace

import numpy as np
import pytest
from sets import PIXEL_A, SHAPES, angle_error_deg, simulate

from vitreous.alignment import (
    Groups,
    Matching,
    align_once,
    alignment_criteria,
    pyramid_alignments,
    random_alignments,
    sums_of_folds,
)
from vitreous.averages.align import Align, AlignResult, align, prepare_alignment
from vitreous.matching import Alignments, ImagePreparation, aligned_images, prepare_particles

ONE_VIEW = {"particle_diameter_A": 130.0, "offset_range_A": 12.0, "starts": 2, "folds": 4}


@pytest.mark.parametrize(
    ("method", "weights"),
    [
        ("free", "noise"),
        ("pyramidal", "plain"),
        pytest.param("free", "plain", marks=pytest.mark.slow),
        pytest.param("pyramidal", "noise", marks=pytest.mark.slow),
        ("reference", "noise"),
    ],
)
def test_every_method_finds_the_alignment(method, weights):
    particles, truth = simulate(80, 0.3, 3, shapes=SHAPES[:1])
    reference = SHAPES[0].image(particles.box_px) if method == "reference" else None
    found = align(particles, Align(method=method, weights=weights, **ONE_VIEW), reference=reference)
    assert found.found_signal
    assert np.median(angle_error_deg(found.alignments.psi_deg, truth.psi_deg)) < 4.0  # degrees; a step is 8
    assert 2 * PIXEL_A < found.resolution_A < 8 * PIXEL_A
    if method != "reference":
        assert found.mean_error_A < 0.5 * PIXEL_A
        assert found.start_averages.shape[0] == 2


def test_mirror_images_are_found():
    shape = SHAPES[0]
    flipped = type(shape)(centres_px=shape.centres_px * [-1, 1], heights=shape.heights, width_px=shape.width_px)
    particles, truth = simulate(120, 0.3, 4, shapes=[shape, flipped])
    found = align(particles, Align(mirror=True, **ONE_VIEW))
    agree = (found.alignments.mirror == (truth.label == 1)).mean()
    assert max(agree, 1 - agree) > 0.97


def test_aligning_climbs_the_criterion():
    """Passes raise the norm of the sum of the images, from random angles."""
    particles, _ = simulate(60, 0.5, 5, shapes=SHAPES[:1])
    preparation = ImagePreparation.for_box(particles.box_px, PIXEL_A, 130.0)
    data = prepare_particles(particles.read, 60, preparation, rings=8, ctf=None)
    groups = Groups.of_labels(np.zeros(60, np.int64))
    matching, folds = Matching(offset_range_A=10.0), groups.folds(4, 1)
    at = random_alignments(groups, 1, mirror=False)
    parts = sums_of_folds(data, groups, folds, at, data.group_power)
    norms = []
    for _ in range(4):
        aligned = np.concatenate([i.numpy() for _, i, _ in aligned_images(particles.read, preparation, None, at)])
        norms.append(alignment_criteria(aligned).norm)
        done = align_once(data, groups, folds, parts, at, data.group_power, matching, 8)
        at, parts = done.alignments, done.parts
    assert norms == sorted(norms)
    assert norms[-1] > 2 * norms[0]


def test_groups_do_not_see_each_other():
    """Two groups in one call end as each alone, to rounding: a group is aligned to its own average only."""
    particles, truth = simulate(80, 0.5, 6, shapes=SHAPES[:2])
    preparation = ImagePreparation.for_box(particles.box_px, PIXEL_A, 130.0)
    data = prepare_particles(particles.read, 80, preparation, rings=8, ctf=None)
    matching = Matching(offset_range_A=10.0, weighted=False)
    both = Groups.of_labels(truth.label)
    folds, start = both.folds(4, 1), random_alignments(both, 1, mirror=False)
    parts = sums_of_folds(data, both, folds, start, data.group_power)
    together = align_once(data, both, folds, parts, start, data.group_power, matching, 8)
    for k in (0, 1):
        rows = np.flatnonzero(both.group == k)
        place = np.full(len(both), -1)
        place[rows] = np.arange(len(rows))
        alone = Groups(particle=both.particle[rows], group=np.zeros(len(rows), np.int64), count=1)
        mine = tuple(place[f][place[f] >= 0] for f in folds)
        own = start.take(rows)
        own = type(own)(**{**vars(own), "reference": np.zeros(len(rows), np.int64)})
        sums = sums_of_folds(data, alone, mine, own, data.group_power)
        found = align_once(data, alone, mine, sums, own, data.group_power, matching, 8)
        assert (np.abs(found.alignments.psi_rad - together.alignments.psi_rad[rows]) < 1e-6).mean() > 0.95


def test_noise_is_called_so():
    particles, _ = simulate(100, 0, 7)
    found = align(particles, Align(**ONE_VIEW))
    assert not found.found_signal
    assert found.resolution_A == np.inf
    assert "aligned noise" in found.messages[0]
    assert found.mean_error_A > PIXEL_A  # starts end anywhere


def test_identical_images_do_not_break_it():
    particles, _ = simulate(40, np.inf, 8, shapes=SHAPES[:1])
    same = type(particles)(images=np.repeat(particles.images[:1], 40, 0), pixel_size_A=PIXEL_A)
    assert np.isfinite(align(same, Align(normalise=False, **ONE_VIEW)).average).all()


def test_what_does_not_fit_is_refused():
    particles, _ = simulate(40, 0.5, 9)
    with pytest.raises(ValueError, match='method "reference" needs an image'):
        prepare_alignment(particles, Align(method="reference"))
    with pytest.raises(ValueError, match="reference: expected 32 x 32 pixels"):
        prepare_alignment(particles, Align(method="reference"), reference=np.ones((8, 8)))
    with pytest.raises(ValueError, match="reference: expected an image with contrast"):
        prepare_alignment(particles, Align(method="reference"), reference=np.ones((32, 32)))
    with pytest.raises(ValueError, match="reference: not used by method free"):
        prepare_alignment(particles, Align(), reference=np.ones((32, 32)))
    with pytest.raises(ValueError, match="method: expected one of free, reference, pyramidal, found tree"):
        Align(method="tree")
    few, _ = simulate(6, 0.5, 9)
    with pytest.raises(ValueError, match="6 usable particles are too few"):
        prepare_alignment(few, Align())
    with pytest.raises(ValueError, match=r"of which 32 are aligned .* too few for 33 folds; ask for fewer"):
        prepare_alignment(particles, Align(folds=33))


def test_held_out_images_do_not_count_as_mirror_stable():
    """Of 10 images two were held out, and four of the eight others changed their mirror state in every start."""
    stable = np.array([True] * 4 + [False] * 4 + [True] * 2)
    error = np.array([1.0] * 4 + [np.nan] * 6)
    image, none = np.zeros((8, 8), np.float32), np.zeros(1)
    found = AlignResult(
        pixel_size_A=2.0, particle_diameter_A=12.0, average=image, halves=np.stack([image, image]), frc=np.zeros(5),
        resolution_A=8.0, alignments=Alignments.unknown(10), pixel_error_A=error, mirror_stable=stable,
        start_evidence=none, start_error_A=none, start_averages=image[None], found_signal=True,
    )  # fmt: skip
    assert found.mirror_stable_share == 0.5
    assert np.isnan(
        replace(found, pixel_error_A=np.full(10, np.nan), mirror_stable=np.ones(10, bool)).mirror_stable_share
    )


def test_a_pyramid_does_not_stop_short_for_a_group_without_images():
    """Group 1 of three is empty: the others, of 12 and of 2 images, end as they do without it."""
    particles, _ = simulate(14, 0.5, 5, shapes=SHAPES[:1])
    preparation = ImagePreparation.for_box(particles.box_px, PIXEL_A, 130.0)
    data = prepare_particles(particles.read, 14, preparation, rings=5, ctf=None)
    label, matching = (np.arange(14) >= 12).astype(np.int64), Matching(offset_range_A=10.0)
    close, apart = Groups.of_labels(label), Groups.of_labels(2 * label)
    ends = [pyramid_alignments(data, groups, data.group_power, matching, 5, 1) for groups in (close, apart)]
    assert len(np.unique(ends[0].psi_rad)) == 14 - 2 + 1  # the two roots have angle 0, and all others their own
    np.testing.assert_array_equal(ends[0].psi_rad, ends[1].psi_rad)
    assert ends[1].reference.tolist() == (2 * label).tolist()
