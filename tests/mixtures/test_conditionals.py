"""Every conditional against the joint density, numerically, on a tiny problem with everything spelled out.

The joint is written point by point here (positions, labels, missing coordinates), the conditionals use sufficient
statistics. A conditional is right when, over its own parameter, its log density differs from the log joint by a
constant; its sampler is right when its samples have the moments of that density.
"""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from vitreous.mixtures import Mixture, MixturePrior, log_prior
from vitreous.mixtures.conditionals import (
    draw_means,
    draw_means_from_views,
    draw_missing,
    draw_offsets,
    draw_precision,
    draw_weights,
    rotation_parameters,
    squared_distances,
)

PRIOR = MixturePrior(mean_precision_per_A2=0.02, precision_shape=4.0, precision_rate_A2=30.0, concentration=3.0)
OFFSET_PRECISION = 0.3
DRAWS = 20_000


class Problem:
    """Three images of five labelled points each, two components; ``log_joint`` is p(x, missing, labels, parameters)."""

    def __init__(self, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.n, self.k = 3, 2
        self.label = rng.integers(0, 2, (3, 5))
        self.label[0, 0], self.label[0, 1] = 0, 1
        self.x = rng.normal(size=(3, 5, 3)) * 4.0
        self.means = rng.normal(size=(2, 3)) * 5.0
        self.weights = np.array([0.3, 0.7])
        self.s = 0.1
        self.rotations = Rotation.random(3, rng=rng).as_matrix()
        self.offsets = rng.normal(size=(3, 2))

    def log_joint(self, *, dimensions: int = 3, **changed) -> float:
        p = {name: changed.get(name, getattr(self, name)) for name in ("means", "weights", "s", "rotations", "offsets")}
        total = log_prior(Mixture(means_A=p["means"], weights=p["weights"], precision_per_A2=p["s"]), PRIOR)
        total += stats.norm.logpdf(p["offsets"], scale=OFFSET_PRECISION**-0.5).sum()
        for i in range(self.n):
            for j in range(5):
                k = self.label[i, j]
                centre = p["rotations"][i].T @ p["means"][k] + np.append(p["offsets"][i], 0.0)
                total += np.log(p["weights"][k])
                total += stats.norm.logpdf(self.x[i, j, :dimensions], centre[:dimensions], p["s"] ** -0.5).sum()
        return total

    def statistics(self, offsets_off: bool = True):
        hot = np.eye(2)[self.label]  # (3, 5, 2)
        x = self.x - (np.append(self.offsets, np.zeros((3, 1)), axis=1)[:, None] if offsets_off else 0.0)
        return hot.sum(1), np.einsum("ijk,ija->ika", hot, x)

    def centres(self) -> np.ndarray:
        return np.einsum("iab,ka->ikb", self.rotations, self.means)


def assert_same_up_to_a_constant(log_joint, log_conditional):
    difference = np.array(log_joint) - np.array(log_conditional)
    assert np.ptp(log_joint) > 1.0  # the points tried are really different
    assert np.allclose(difference, difference[0], atol=1e-8 * max(1.0, np.abs(log_joint).max()))


def assert_moments(samples, mean, covariance):
    samples = np.asarray(samples)
    mean, covariance = np.atleast_1d(mean), np.atleast_2d(covariance)
    samples = samples.reshape(len(samples), len(mean))
    error = np.sqrt(np.diag(covariance) / len(samples))
    assert (np.abs(samples.mean(0) - mean) < 5 * error).all()
    found = np.atleast_2d(np.cov(samples.T))
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(found - covariance) < 8 * scale / np.sqrt(len(samples))).all()


def test_squared_distances():
    p = Problem()
    members, first = p.statistics()
    x = p.x - np.append(p.offsets, np.zeros((3, 1)), axis=1)[:, None]
    centres = p.centres()
    direct = sum(((x[i, j] - centres[i, p.label[i, j]]) ** 2).sum() for i in range(3) for j in range(5))
    assert squared_distances((x**2).sum(), members, first, centres) == pytest.approx(direct)


def test_weights():
    p = Problem()
    members = p.statistics()[0].sum(0)
    tried = np.linspace(0.05, 0.95, 9)
    posterior = stats.beta(members[0] + 3, members[1] + 3)
    assert_same_up_to_a_constant(
        [p.log_joint(weights=np.array([w, 1 - w])) for w in tried], [posterior.logpdf(w) for w in tried]
    )
    rng = np.random.default_rng(1)
    assert_moments([draw_weights(members, PRIOR, rng)[0] for _ in range(DRAWS)], posterior.mean(), posterior.var())


@pytest.mark.parametrize("dimensions", [2, 3])
def test_precision_with_the_missing_coordinate_integrated_or_known(dimensions):
    p = Problem()
    members, first = p.statistics()
    x = p.x - np.append(p.offsets, np.zeros((3, 1)), axis=1)[:, None]
    squared = squared_distances(
        (x[..., :dimensions] ** 2).sum(), members, first[..., :dimensions], p.centres()[..., :dimensions]
    )
    posterior = stats.gamma(4.0 + dimensions * 15 / 2, scale=1 / (30.0 + squared / 2))
    tried = np.linspace(0.02, 0.3, 9)
    assert_same_up_to_a_constant(
        [p.log_joint(s=s, dimensions=dimensions) for s in tried], [posterior.logpdf(s) for s in tried]
    )
    rng = np.random.default_rng(2)
    draws = [draw_precision(dimensions * 15, squared, PRIOR, rng) for _ in range(DRAWS)]
    assert_moments(draws, posterior.mean(), posterior.var())


def test_means_from_complete_positions():
    """Misprint 2 of the thesis: the mean is s sum x / (s N + r)."""
    p = Problem()
    members, first = p.statistics()
    rotated = np.einsum("iab,ikb->ka", p.rotations, first)
    total = p.s * members.sum(0) + 0.02
    mean = p.s * rotated / total[:, None]
    rng = np.random.default_rng(3)
    tried = mean + rng.normal(size=(8, 2, 3)) * 2
    assert_same_up_to_a_constant(
        [p.log_joint(means=m) for m in tried],
        [stats.norm.logpdf(m, mean, total[:, None] ** -0.5).sum() for m in tried],
    )
    draws = [draw_means(members.sum(0), rotated, p.s, PRIOR, rng) for _ in range(DRAWS)]
    assert_moments(draws, mean.ravel(), np.diag(np.repeat(1 / total, 3)))


def test_means_with_the_viewing_direction_integrated():
    p = Problem()
    members, first = p.statistics()
    rng = np.random.default_rng(4)
    planes = p.rotations[:, :, :2]
    mean, covariance = [], []
    for k in range(2):
        precision = 0.02 * np.eye(3) + p.s * sum(members[i, k] * planes[i] @ planes[i].T for i in range(3))
        covariance.append(np.linalg.inv(precision))
        mean.append(covariance[-1] @ (p.s * sum(planes[i] @ first[i, k, :2] for i in range(3))))
    tried = np.array(mean) + rng.normal(size=(8, 2, 3)) * 2
    assert_same_up_to_a_constant(
        [p.log_joint(means=m, dimensions=2) for m in tried],
        [sum(stats.multivariate_normal.logpdf(m[k], mean[k], covariance[k]) for k in range(2)) for m in tried],
    )
    draws = np.array(
        [draw_means_from_views(members, first[..., :2], p.rotations, p.s, PRIOR, rng) for _ in range(DRAWS)]
    )
    for k in range(2):
        assert_moments(draws[:, k], mean[k], covariance[k])


def test_missing_coordinates():
    """Misprint 3 of the thesis: nu^m and tau come from the same points; compared with drawing those one by one."""
    members, centres, s = np.array([0.0, 1.0, 6.0]), np.array([5.0, -2.0, 3.0]), 0.25
    rng = np.random.default_rng(5)
    drawn = [draw_missing(members, centres, s, rng) for _ in range(DRAWS)]
    one_by_one = []
    for _ in range(DRAWS):
        x = [rng.normal(c, s**-0.5, int(n)) for n, c in zip(members, centres, strict=True)]
        tau = sum(((v - c) ** 2).sum() for v, c in zip(x, centres, strict=True))
        one_by_one.append([*(v.sum() for v in x), tau])
    ours, theirs = np.array([[*sums, tau] for sums, tau in drawn]), np.array(one_by_one)
    assert np.all(ours[:, 0] == 0)
    for column in (1, 2, 3):
        assert stats.ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-3
    together = [(v[:, 2] - 18.0) ** 2 * v[:, 3] for v in (ours, theirs)]  # they are dependent
    assert stats.ks_2samp(*together).pvalue > 1e-3
    assert np.corrcoef((ours[:, 2] - 18.0) ** 2, ours[:, 3])[0, 1] > 0.2


def test_rotations():
    p = Problem()
    first = p.statistics()[1]
    parameters = rotation_parameters(first[..., :2], first[..., 2], p.means, p.s)
    rng = np.random.default_rng(6)
    tried = Rotation.random(24, rng=rng).as_matrix().reshape(8, 3, 3, 3)
    assert_same_up_to_a_constant(
        [p.log_joint(rotations=g) for g in tried], [np.einsum("iab,iab->", parameters, g) for g in tried]
    )


def test_offsets():
    p = Problem()
    members, first = p.statistics(offsets_off=False)
    residuals = (first[..., :2] - members[..., None] * p.centres()[..., :2]).sum(1)
    total = p.s * 5 + OFFSET_PRECISION
    mean = p.s * residuals / total
    rng = np.random.default_rng(7)
    tried = mean + rng.normal(size=(8, 3, 2))
    assert_same_up_to_a_constant(
        [p.log_joint(offsets=t) for t in tried], [stats.norm.logpdf(t, mean, total**-0.5).sum() for t in tried]
    )
    draws = [draw_offsets(members.sum(1), residuals, p.s, OFFSET_PRECISION, rng) for _ in range(DRAWS)]
    assert_moments(draws, mean.ravel(), np.eye(6) / total)
