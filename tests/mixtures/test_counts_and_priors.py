"""Images as counts, and the prior of a mixture."""

import numpy as np
import pytest
from scipy import stats

from vitreous.mixtures import Counts, Mixture, MixturePrior, count_images, count_map, log_prior, sample_prior

PRIOR = MixturePrior(mean_precision_per_A2=0.01)


def test_counts_are_proportional_and_rounded():
    image = np.array([[0.0, 1.0], [3.0, 6.0]])
    assert count_images(image[None] * 7.3, 2.0, 20).counts[0].tolist() == [[0, 2], [6, 12]]
    assert count_map(np.stack([image, image]), 2.0, 40).counts[1].tolist() == [[0, 2], [6, 12]]


def test_sums_of_counts():
    rng = np.random.default_rng(0)
    data = Counts(counts=rng.poisson(0.7, (3, 4, 5)), pixel_size_A=2.0)
    assert np.array_equal(data.totals, data.counts.sum((1, 2)))
    y, x = np.meshgrid((np.arange(4) - 2) * 2.0, (np.arange(5) - 2) * 2.0, indexing="ij")
    assert np.allclose(data.squares_A2, (data.counts * (x**2 + y**2)).sum((1, 2)))


@pytest.mark.parametrize(
    ("images", "counts", "words"),
    [
        (np.full((2, 4, 4), np.nan), 10, "image 1 .*NaN"),
        (np.stack([np.ones((4, 4)), -np.ones((4, 4))]), 10, "image 2 .*negative"),
        (np.stack([np.ones((4, 4)), np.zeros((4, 4))]), 10, "image 2 .*zero everywhere"),
        (np.ones((1, 4, 4)), 0, "at least 1"),
        (np.ones((1, 40, 40)), 10, "fewer than one"),
        (np.ones((4, 4)), 10, "one box"),
    ],
)
def test_bad_images_are_explained(images, counts, words):
    with pytest.raises(ValueError, match=words):
        count_images(images, 1.0, counts)


def test_rounding_errors_below_zero_are_forgiven():
    image = np.ones((1, 4, 4))
    image[0, 0, 0] = -1e-4
    assert count_images(image, 1.0, 150).counts[0, 0, 0] == 0


def test_bad_counts_are_explained():
    with pytest.raises(ValueError, match="whole numbers"):
        Counts(counts=np.ones((2, 2, 2)), pixel_size_A=1.0)
    with pytest.raises(ValueError, match="pixel_size_A"):
        Counts(counts=np.ones((2, 2, 2), int), pixel_size_A=-1.0)
    with pytest.raises(ValueError, match="three axes"):
        count_map(np.ones((2, 2)), 1.0, 10)


def test_log_prior_is_the_product_of_its_densities():
    m = Mixture(means_A=[[1.0, -4.0, 6.0], [2.0, 0.0, 3.0]], weights=[0.3, 0.7], precision_per_A2=0.012)
    expected = (
        stats.norm.logpdf(m.means_A, scale=10.0).sum()
        + stats.gamma.logpdf(0.012, 10.0, scale=1 / 1000)
        + stats.dirichlet.logpdf([0.3, 0.7], [10.0, 10.0])
    )
    assert log_prior(m, PRIOR) == pytest.approx(expected)


def test_samples_of_the_prior_have_its_moments():
    rng = np.random.default_rng(1)
    drawn = [sample_prior(PRIOR, 3, 3, rng) for _ in range(3000)]
    s = np.array([m.precision_per_A2 for m in drawn])
    assert s.mean() == pytest.approx(0.01, rel=0.03)
    assert s.std() == pytest.approx(0.01 / 10**0.5, rel=0.06)
    assert np.std([m.means_A for m in drawn]) == pytest.approx(10.0, rel=0.03)
    assert np.var([m.weights[0] for m in drawn]) == pytest.approx(stats.beta.var(10, 20), rel=0.1)


@pytest.mark.parametrize("name", ["mean_precision_per_A2", "precision_shape", "precision_rate_A2", "concentration"])
def test_bad_priors_are_refused(name):
    with pytest.raises(ValueError, match=name):
        MixturePrior(**{"mean_precision_per_A2": 0.01, name: 0.0})
