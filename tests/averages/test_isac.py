"""ISAC: equal groups, what is accepted of good particles and of junk, and what is said of noise."""

from dataclasses import replace

import numpy as np
import pytest
from sets import PIXEL_A, SHAPES, adjusted_rand_index, simulate

from vitreous.alignment import Groups, kmeans_pass, random_sums
from vitreous.averages.isac import ISAC, algorithm, isac, prepare_isac, task
from vitreous.averages.isac.members import MemberTest, judged_members
from vitreous.matching import ImagePreparation, deal, prepare_particles
from vitreous.testing import ArrayParticles, Blobs

SETTINGS = ISAC(particle_diameter_A=130.0, offset_range_A=12.0, img_per_grp=40, starts=3, runs=3, generations=2)


def prepared(particles: ArrayParticles, rings: int = 8):
    preparation = ImagePreparation.for_box(particles.box_px, PIXEL_A, 130.0)
    return prepare_particles(particles.read, len(particles), preparation, rings=rings, ctf=None)


def test_groups_are_equal_in_every_run_and_find_the_shapes():
    """160 images, four shapes: every class has 40 members in every pass (10 of each fold), and they become pure."""
    particles, truth = simulate(160, 0.4, 21)
    data = prepared(particles)
    folds = deal(np.arange(160), 4, 1).folds
    parts, label = random_sums(data, folds, 1, 4, data.group_power, 1), None
    for rings in (5, 5, 5, 5, 6, 6, 7, 8):
        parts, index, found = kmeans_pass(data, folds, parts, 1, data.group_power, 12.0, rings)
        label = found.label[np.argsort(index), 0]
        assert np.bincount(label, minlength=4).tolist() == [40] * 4
    assert adjusted_rand_index(label, truth.label) > 0.7


@pytest.mark.slow
def test_noise_among_the_particles_is_not_accepted():
    """Four shapes at SNR 0.4 and as many images of noise as there are of one shape."""
    particles, truth = simulate(200, 0.4, 22)
    rng = np.random.default_rng(1)
    noise = particles.images.std() * rng.normal(size=(50, 32, 32)).astype(np.float32)
    every = ArrayParticles(images=np.concatenate([particles.images, noise]), pixel_size_A=PIXEL_A)
    found = isac(every, SETTINGS)
    good = np.arange(250) < 200
    assert found.accounted[good].mean() > 0.5
    assert found.accounted[~good].sum() <= 0.05 * found.accounted.sum()
    inside = found.accounted & good
    assert adjusted_rand_index(found.alignments.reference[inside], truth.label[inside[:200]]) > 0.5
    assert found.error_A.max() < PIXEL_A
    assert (found.particle_error_A[found.accounted] < PIXEL_A).all()
    assert np.bincount(found.alignments.reference[found.accounted]).tolist() == found.population.tolist()
    assert found.population.tolist() == sorted(found.population, reverse=True)


def test_many_groups_begin_as_few_and_are_split(monkeypatch):
    """With "many" set to three: two groups of 80 for six passes, then four of 40, of which an image meets two."""
    monkeypatch.setattr(algorithm, "FEW_GROUPS", 3)
    monkeypatch.setattr(algorithm, "NEAR_GROUPS", 2)
    particles, truth = simulate(160, 0.4, 21)
    prepared_run = prepare_isac(particles, SETTINGS, threads=1)
    steps, state, groups = prepared_run.algorithm, prepared_run.algorithm.init(1), []
    while state.passes < 12:
        groups.append(len(state.parts[0].members) // SETTINGS.runs)
        state, _ = steps.step(state)
        for label in state.label.T:
            assert len(set(np.bincount(label).tolist())) == 1
    assert groups == [2] * 6 + [4] * 6
    assert adjusted_rand_index(state.label[:, 0], truth.label) > 0.5
    assert prepared_run.steps == 13 * SETTINGS.generations


def accepted_of_one_group(shapes: list[Blobs], seed: int):
    """(accepted (48,), shape (48,), share of members with one mirror state) of a group with these shapes."""
    particles, truth = simulate(48, 1.0, seed, shapes=shapes)
    data, test = prepared(particles), MemberTest(offset_range_A=12.0, starts=4, rings=8, residual_rings=8, seed=1)
    judged = judged_members(Groups.of_labels(np.zeros(48, np.int64)), data, data.group_power, test)
    assert not judged.alignments.mirror.any()
    return judged.accepted(PIXEL_A), truth.label, float(judged.stability.mirror_share[0])


def test_members_seen_from_behind_are_not_accepted_and_a_mirror_image_of_itself_is():
    """A shape but for one blob of eleven its own mirror image; of a class a third are its mirror images."""
    half = Blobs.random(7, count=5, reach_px=8.0)
    both = np.concatenate([half.centres_px, half.centres_px * [-1, 1]])
    same = Blobs(centres_px=both, heights=np.tile(half.heights, 2))
    front = Blobs(centres_px=np.r_[both, [[6.0, -3.0]]], heights=np.r_[same.heights, 1.0])
    behind = Blobs(centres_px=front.centres_px * [-1, 1], heights=front.heights)
    accepted, label, _ = accepted_of_one_group([front, front, behind], 31)
    assert accepted[label < 2].mean() > 0.8
    assert not accepted[label == 2].any()
    accepted, _, share = accepted_of_one_group([same], 32)
    assert accepted.mean() > 0.8
    assert share == 1.0  # of an alignment without reflections


def test_of_noise_nothing_is_accepted():
    particles, _ = simulate(96, 0, 23)
    found = isac(particles, SETTINGS)
    assert not found.accounted.any()
    assert found.averages.shape == (0, 32, 32)
    assert "Nothing was accepted" in found.messages[0]


def test_identical_images_end():
    particles, _ = simulate(60, np.inf, 24, shapes=SHAPES[:1])
    same = ArrayParticles(images=np.repeat(particles.images[:1], 60, 0), pixel_size_A=PIXEL_A)
    found = isac(same, SETTINGS, img_per_grp=24, normalise=False)
    assert np.isfinite(found.averages).all()


def test_groups_larger_than_the_set_are_refused():
    particles, _ = simulate(60, 0.5, 25)
    with pytest.raises(ValueError, match="60 usable particles make fewer than two groups of 40"):
        prepare_isac(particles, SETTINGS)
    with pytest.raises(ValueError, match="img_per_grp: expected at least 24, found 1"):
        ISAC(img_per_grp=1)


def test_more_groups_than_views_are_noted(monkeypatch):
    particles, _ = simulate(60, 0.5, 25)
    small = replace(SETTINGS, img_per_grp=24)
    assert not any("groups in a run" in note for note in prepare_isac(particles, small).laid.notes)
    monkeypatch.setattr(task, "MANY_GROUPS", 1)
    note = prepare_isac(particles, small).laid.notes[-1]
    assert note.startswith("2 groups in a run")
    assert "--img-per-grp 60 or more" in note
