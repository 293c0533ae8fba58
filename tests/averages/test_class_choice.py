"""What a class explains of a member does not depend on its size; and every criterion finds what it is for."""

from dataclasses import replace

import numpy as np
import pytest
from sets import PIXEL_A, SHAPES, settings, simulate

from vitreous.averages.class2d import class2d
from vitreous.averages.class_choice import REASONS, ClassFigures, judge_classes, outliers, verdicts
from vitreous.matching import Alignments
from vitreous.testing import ArrayParticles, Blobs

SETTINGS = {"particle_diameter_A": 130.0, "offset_range_A": 12.0}


def labelled(label: np.ndarray, truth) -> Alignments:
    """Classes with the true poses."""
    psi = np.deg2rad(truth.psi_deg)
    return replace(Alignments.unknown(len(label)), reference=label, psi_rad=psi, origin_A=truth.origin_px * PIXEL_A)


def test_the_signal_does_not_depend_on_the_size_and_its_error_is_known():
    """360 members in classes of 6, 12 and 24: no bias against the one class of all, and deviations as large as said."""
    particles, truth = simulate(360, 0.2, 21, shapes=SHAPES[:1])
    whole = judge_classes(particles, alignments=labelled(np.zeros(360, np.int64), truth), **SETTINGS).figures
    for size in (6, 12, 24):
        found = judge_classes(particles, alignments=labelled(np.arange(360) // size, truth), **SETTINGS).figures
        deviation = found.signal - whole.signal[0]
        assert abs(deviation.mean()) < 3 * deviation.std() / np.sqrt(len(deviation)) + 0.05 * whole.signal[0], size
        assert 0.5 < np.sqrt(np.mean((deviation / found.signal_error) ** 2)) < 1.6, size  # in standard errors


def test_noise_at_given_poses_has_no_signal():
    """The U-statistic has no bias of an image's own noise; scores are standard normal."""
    particles, truth = simulate(240, 0, 22)
    found = judge_classes(particles, alignments=labelled(np.arange(240) // 40, truth), **SETTINGS).figures
    assert (np.abs(found.signal) < 3.5 * found.signal_error).all()
    assert np.abs(found.score).max() < 4 / np.sqrt(40)
    assert found.noise_everywhere > 1.5  # noise that may choose its pose reaches more: model bias


@pytest.fixture(scope="module")
def mixed():
    """Four shapes and noise, 60 each, in their own classes; the fifth is noise."""
    particles, truth = simulate(240, 0.3, 23)
    noise = np.random.default_rng(5).normal(size=(60, *particles.images.shape[1:])) * particles.images.std()
    label = np.concatenate([truth.label, np.full(60, 4)])
    every = ArrayParticles(
        images=np.concatenate([particles.images, noise]).astype(np.float32), pixel_size_A=PIXEL_A, ctf=None
    )
    none = np.zeros(60)
    both = replace(
        truth, label=label, psi_deg=np.concatenate([truth.psi_deg, none]),
        origin_px=np.concatenate([truth.origin_px, np.zeros((60, 2))]),
    )  # fmt: skip
    return every, both


def test_noise_goes_and_shapes_stay_whatever_their_number(mixed):
    """Classes of five particles stay as those of sixty do; of one particle nothing can be told."""
    every, truth = mixed
    label = truth.label.copy()
    label[np.flatnonzero(label == 1)[5:]] = -1
    label[np.flatnonzero(label == 2)[1:]] = -1
    found = judge_classes(every, alignments=labelled(label, truth), classes=7, **SETTINGS)
    assert found.verdicts.reason == ("", "", "few", "", "noise", "few", "few")
    assert [bool(words) for words in found.verdicts.words] == [bool(reason) for reason in found.verdicts.reason]
    assert not found.outlier.any()


def test_particles_with_another_one_beside_them_are_outliers():
    """Six of sixty, whose neighbour is as strong as what their class explains of them; nobody else."""
    particles, truth = simulate(240, 0.1, 23)
    images, crowd = particles.images.copy(), np.flatnonzero(truth.label == 0)[:6]
    images[crowd] += 4 * SHAPES[3].image(32, 40.0, (9.0, 3.0))
    found = judge_classes(replace(particles, images=images), alignments=labelled(truth.label, truth), **SETTINGS)
    assert np.flatnonzero(found.outlier).tolist() == crowd.tolist()
    assert found.verdicts.kept.all()


def test_all_noise_is_refused_as_a_whole():
    """Self-aligned noise, in which averages look like something: no class is kept."""
    particles, _ = simulate(150, 0, 24)
    found = class2d(particles, settings(classes=3, iterations=6))
    judged = judge_classes(particles, alignments=found.alignments, classes=3, **SETTINGS)
    assert not judged.verdicts.kept.any()


def figures(count: int = 6) -> ClassFigures:
    """Good classes."""
    ones = np.ones(count)
    return ClassFigures(
        members=np.full(count, 50), signal=100 * ones, signal_error=5 * ones, detail=30 * ones, detail_error=2 * ones,
        unexplained=0 * ones, unexplained_error=3 * ones, score=10 * ones, score_error=0.3 * ones,
        noise_score=4 * ones, noise_error=0.1 * ones, noise_everywhere=4.0, centre_A=np.zeros((count, 2)),
        rim=0.1 * ones, resolution_A=20.0,
    )  # fmt: skip


def with_third(**values) -> ClassFigures:
    """Good classes but for the third."""
    good, changes = figures(), {}
    for name, value in values.items():
        changes[name] = getattr(good, name).copy()
        changes[name][2] = value
    return replace(good, **changes)


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("few", {"members": 1}),
        ("noise", {"score": 4.1}),
        ("off_centre", {"centre_A": (30.0, 15.0)}),
        ("weak", {"signal": 40.0}),  # 24 above noise, where 84 are typical
        ("blurred", {"detail": 3.0}),
        ("unexplained", {"unexplained": 130.0}),
        ("edge", {"rim": 1.2}),
    ],
)
def test_every_criterion_finds_what_it_is_for_and_nothing_else(reason, changes):
    found = verdicts(with_third(**changes), offset_range_A=15.0)
    assert [name for name in REASONS if found.failed[name].any()] == [reason]
    assert found.kept.tolist() == [True, True, False, True, True, True]
    assert found.words[2].startswith(REASONS[reason])


def test_what_is_within_scatter_stays():
    near = {"centre_A": (20.0, 20.0), "signal": 60.0, "detail": 8.0, "unexplained": 65.0, "rim": 0.9, "score": 6.0}
    assert verdicts(with_third(**near), offset_range_A=15.0).kept.all()


def test_stability_and_the_verdict_of_the_classification_count():
    stable = np.array([1.0, np.nan, 0.0, 1.0, 1.0, 1.0])
    assert verdicts(figures(), offset_range_A=15.0, stable=stable).reason[2] == "unstable"
    assert not verdicts(figures(), offset_range_A=15.0, found_signal=False).kept.any()


def test_crowded_particles_all_have_neighbours():
    """Power at the rim is no reason where most classes have it."""
    crowded = replace(figures(), rim=np.array([0.5, 0.9, 1.2, 1.4, 0.7, 1.1]))
    assert verdicts(crowded, offset_range_A=15.0).kept.all()


def test_outliers_are_beyond_signal_and_scatter():
    spread = np.random.default_rng(1).normal(size=2000) * 20
    spread[:3] = (150.0, 60.0, 300.0)
    found = outliers(spread, np.full(2000, 50.0))
    assert np.flatnonzero(found).tolist() == [0, 2]
    assert len(outliers(np.zeros(0), np.zeros(0))) == 0


@pytest.mark.slow
def test_junk_goes_and_good_particles_stay_after_a_classification():
    """600 particles of eight views, 75 images of noise and 75 particles far off the centre, in 14 classes."""
    shapes = [Blobs.random(300 + k, count=7, reach_px=6.0, width_px=1.5) for k in range(8)]
    particles, truth = simulate(675, 0.15, 31, shapes=shapes)
    rng, images = np.random.default_rng(7), particles.images.copy()
    far = np.arange(600, 675)
    for i in far:
        turn = 2 * np.pi * rng.random()
        images[i] = shapes[truth.label[i]].image(32, truth.psi_deg[i], (10 * np.cos(turn), 10 * np.sin(turn)))
    sd = np.sqrt(images[:600].var())
    images[far] += sd * rng.normal(size=images[far].shape)
    noise = sd * rng.normal(size=(75, 32, 32))
    every = replace(particles, images=np.concatenate([images, noise]).astype(np.float32))
    good = np.arange(750) < 600
    found = class2d(every, settings(classes=14, offset_range_A=10.0))
    judged = judge_classes(
        every, alignments=found.alignments, classes=14, particle_diameter_A=130.0, offset_range_A=10.0
    )
    label = found.alignments.reference
    kept = (label >= 0) & judged.verdicts.kept[label] & ~judged.outlier
    assert kept[good].mean() >= 0.97
    assert (~good[kept]).mean() < 0.05
