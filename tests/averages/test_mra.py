"""K-means with alignment: collapse with the plain correlation and what prevents it, equal groups, and wrong input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sets import PIXEL_A, SHAPES, adjusted_rand_index, settings, simulate

from vitreous.alignment import even_sizes
from vitreous.averages.class2d import class2d
from vitreous.averages.mra import MRA, mra, prepare_mra
from vitreous.matching import (
    ImagePreparation,
    all_norms,
    best,
    expect,
    prepare_particles,
    score_table,
    similarity_of,
)
from vitreous.testing import ArrayParticles

SMALL = {"particle_diameter_A": 130.0, "offset_range_A": 12.0, "folds": 4, "seed": 1}


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6), classes=st.integers(1, 12))
def test_even_sizes_are_even_in_every_piece_and_in_all(lengths, classes):
    sizes = even_sizes(lengths, classes)
    assert sizes.sum(1).tolist() == lengths
    assert all(row.max() - row.min() <= 1 for row in sizes)
    assert np.ptp(sizes.sum(0)) <= 1


def prepared(particles: ArrayParticles, rings: int = 6):
    preparation = ImagePreparation.for_box(particles.box_px, PIXEL_A, 130.0)
    return prepare_particles(particles.read, len(particles), preparation, rings=rings, ctf=None)


def table(similarity, scale):
    """Similarities of 12 images to two references, the second one times ``scale``; and the prepared images."""
    particles, _ = simulate(12, 0.5, 31, shapes=SHAPES[:2])
    data = prepared(particles)
    plan = data.search(6, 12.0)
    own = data.tile(np.arange(2), 6, data.group_power).data * data.group_power[0, :6, None]
    own[1] *= scale
    references = plan.references(own, ctf_harmonics=1, log_class_prior=torch.zeros(2), offset_sd_px=np.inf)
    found = score_table(data, np.arange(12), plan, references, data.group_power, similarity=similarity)
    return found.log_posterior, data, plan, references


def test_similarities_are_what_they_are_called():
    """An image equals itself: CC 1, distance 0; the scale of a reference does not matter to the coefficient alone."""
    plain, data, plan, references = table("coefficient", 1.0)
    norm = all_norms(data.tile(np.arange(12), 6, data.group_power).truncated(plan.fine), references[1]).numpy()
    own = np.arange(2)
    # For an image that is the reference, X.R = |X|^2 = E: the coefficient is E / 2, and so is the distance.
    np.testing.assert_allclose(plain[own, own], norm[own, own], rtol=1e-3)
    np.testing.assert_allclose(table("distance", 1.0)[0][own, own], norm[own, own], rtol=1e-3)
    np.testing.assert_allclose(table("correlation", 1.0)[0][own, own], 2 * norm[own, own], rtol=1e-3)
    np.testing.assert_allclose(table("coefficient", 3.0)[0], plain, rtol=1e-3)
    np.testing.assert_allclose(table("correlation", 3.0)[0][:, 1], 3 * table("correlation", 1.0)[0][:, 1], rtol=1e-3)


def test_a_negative_product_and_an_empty_reference_stay_in_order():
    difference, norm = np.array([-3.0, -1.0, 0.0, 5.0]), np.array([1.0, 2.0, 0.0, 3.0])
    found = similarity_of("coefficient", torch.tensor(difference), torch.tensor(norm)).numpy()
    np.testing.assert_allclose(found, [-1.0, 1 / 8, 0.0, 64 / 12])  # c |c| / (4 norm) with c = difference + norm


def test_rows_of_a_search_are_compared_as_the_table_is():
    """The best hypothesis by coefficient of a search is that of the table of all; images choose alike."""
    _, data, plan, references = table("coefficient", 3.0)
    index = np.arange(12)
    whole = score_table(data, index, plan, references, data.group_power, similarity="coefficient")
    wide = replace(plan, keep=1e6)
    _, found = expect(data, index, wide, references, data.group_power, choice=best, similarity="coefficient")
    assert found.reference.tolist() == whole.log_posterior.argmax(1).tolist()
    plain = expect(data, index, wide, references, data.group_power, choice=best)[1]
    assert found.reference.tolist() != plain.reference.tolist()  # whose score the factor 3 does matter to


def test_template_matching_finds_shapes_and_is_certain():
    particles, truth = simulate(240, 0.3, 37)
    found = class2d(particles, settings(choice="best", iterations=15))
    assert adjusted_rand_index(found.class_number - 1, truth.label) > 0.7
    assert (found.max_probability == 1.0).all()
    assert (found.entropy == 0.0).all()
    assert found.found_signal
    noise, _ = simulate(120, 0, 38)
    assert not class2d(noise, settings(choice="best", iterations=4)).found_signal
    with pytest.raises(ValueError, match="choice: expected one of soft, best, found hard"):
        settings(choice="hard")


def figures(result) -> tuple[float, int]:
    """(share of the largest class, classes with more than a tenth of an equal share)."""
    share = result.population / result.population.sum()
    return float(share.max()), int((share > 0.1 / len(share)).sum())


def test_classes_collapse_with_the_plain_correlation_alone():
    """The table of the lecture: 12 classes of 300 images of four shapes at SNR 0.05.

    The plain correlation empties classes, with images in their own averages or not. Equal groups, the correlation
    coefficient against averages without the image, and maximum likelihood keep them.
    """
    particles, _ = simulate(300, 0.05, 32)

    def run(**changes) -> tuple[float, int]:
        return figures(mra(particles, MRA(classes=12, iterations=8, **SMALL), **changes))

    naive = run(score="correlation", leave_out=False)
    assert naive[0] > 0.35  # an equal share is 0.083
    assert naive[1] <= 4
    assert run(score="correlation")[1] <= 4
    equal = run(score="correlation", leave_out=False, equal_groups=True)
    assert equal == (25 / 300, 12)
    likelihood = figures(class2d(particles, settings(classes=12, iterations=8, folds=4)))
    for largest, alive in (run(), likelihood):
        assert largest < 0.3
        assert alive >= 7


def test_it_finds_shapes_with_free_and_with_equal_groups():
    particles, truth = simulate(240, 0.3, 33)
    for equal in (False, True):
        found = mra(particles, MRA(classes=4, equal_groups=equal, **SMALL))
        assert found.found_signal
        assert adjusted_rand_index(found.class_number - 1, truth.label) > 0.7
        assert found.population.sum() == 240
        if equal:
            assert found.population.tolist() == [60] * 4


def test_of_noise_nothing_is_claimed():
    particles, _ = simulate(120, 0, 34)
    found = mra(particles, MRA(classes=3, iterations=4, **SMALL))
    assert not found.found_signal
    assert np.isinf(found.resolution_A).all()
    assert "Nothing was found" in found.messages[0]


def test_identical_images_end():
    particles, _ = simulate(40, np.inf, 35, shapes=SHAPES[:1])
    same = ArrayParticles(images=np.repeat(particles.images[:1], 40, 0), pixel_size_A=PIXEL_A)
    for equal in (False, True):
        found = mra(same, MRA(classes=4, iterations=3, normalise=False, equal_groups=equal, **SMALL))
        assert np.isfinite(found.averages).all()
        assert found.population.sum() == 40


def test_what_does_not_fit_is_refused():
    particles, _ = simulate(40, 0.5, 36)
    with pytest.raises(ValueError, match="classes: expected at least 2, found 1; `vitreous align` makes one average"):
        MRA(classes=1)
    with pytest.raises(ValueError, match="40 usable particles are too few for 30 classes and 8 folds"):
        prepare_mra(particles, MRA(classes=30))
    with pytest.raises(ValueError, match="score: expected one of coefficient, correlation, distance, found best"):
        MRA(score="best")
