"""The samplers sample their posterior: Geweke's test, calibrated intervals, invariance, agreement of two routes."""

from functools import partial

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from mixtures import random_mixture
from vitreous.mixtures import (
    Counts,
    MixturePrior,
    Moves,
    PosedMixture,
    assign_points,
    count_images,
    draw_rotations_globally,
    evaluate,
    log_posterior,
    mirror,
    points_step,
    project,
    projection_step,
    rotate,
    sample_points,
    sample_prior,
    symmetrise,
)
from vitreous.mixtures.conditionals import draw_means, draw_missing, draw_precision, draw_weights, squared_distances
from vitreous.mixtures.gibbs_projections import assign_views, draw_rotations, views_of
from vitreous.mixtures.model import image_centres
from vitreous.rotations import random_rotations, symmetry_matrices

ONE = np.eye(3)[None]
PRIOR = MixturePrior(mean_precision_per_A2=1 / 81, precision_shape=6.0, precision_rate_A2=220.0, concentration=3.0)
BOX, PIXEL = 128, 1.0  # fine against the components of 6 A, so that binning is invisible


def prior_model(rng: np.random.Generator, images: int, components: int) -> PosedMixture:
    return PosedMixture(
        mixture=sample_prior(PRIOR, components, 3, rng),
        rotations=Rotation.random(images, rng=rng).as_matrix(),
        offsets_A=rng.normal(size=(images, 2)) * 3.0,
    )


def simulate(model: PosedMixture, group: np.ndarray, points: int, rng: np.random.Generator) -> Counts:
    out = np.zeros((len(model.rotations), BOX, BOX), np.int32)
    for image, g, t in zip(out, model.rotations, model.offsets_A, strict=True):
        copies = group[rng.integers(len(group), size=points)]
        x = np.einsum("pab,pb->pa", copies, sample_points(model.mixture, points, rng))
        pixel = np.clip(np.rint((x @ g)[:, :2] + t).astype(int) + BOX // 2, 0, BOX - 1)
        np.add.at(image, (pixel[:, 1], pixel[:, 0]), 1)
    return Counts(counts=out, pixel_size_A=PIXEL)


def functions(model: PosedMixture) -> list[float]:
    """What the two simulators are compared on: scalars of every parameter, and of their interplay."""
    m, g, t = model.mixture, model.rotations, model.offsets_A
    seen = image_centres(m.means_A, g)
    return [
        np.log(m.precision_per_A2),
        (m.means_A**2).mean(),
        m.means_A[0, 0],
        (m.weights**2).sum(),
        (t**2).mean(),
        t[0, 0],
        g[0, 0, 0],
        g[0, 2, 2] ** 2,
        np.trace(g[0].T @ g[1]),
        (seen[0, :, 0] * seen[1, :, 0]).mean(),
        (m.weights @ m.means_A**2).sum(),
    ]


@pytest.mark.parametrize("name", ["C1", pytest.param("D2", marks=pytest.mark.slow)])
def test_geweke_joint_distribution_of_the_projection_sampler(name):
    """Alternating 'data given parameters' and 'parameters given data' must keep the prior (Geweke 2004)."""
    group = symmetry_matrices(name).numpy()
    rng = np.random.default_rng(8)
    moves = Moves(offset_sd_A=3.0)
    direct = np.array([functions(prior_model(rng, 2, 3)) for _ in range(20_000)])
    model, chain = prior_model(rng, 2, 3), []
    for step in range(2500):
        data = simulate(model, group, 6, rng)
        model, _ = projection_step(data, model, PRIOR, group=group, moves=moves, seed=3, step=step)
        if step % 5 == 0:
            rotations = draw_rotations_globally(data, model, rotations=20, group=group, seed=4, step=step)
            model = PosedMixture(mixture=model.mixture, rotations=rotations, offsets_A=model.offsets_A)
        chain.append(functions(model))
    batches = np.array(chain).reshape(25, 100, -1).mean(1)
    error = np.hypot(batches.std(0, ddof=1) / 5.0, direct.std(0) / np.sqrt(len(direct)))
    assert np.abs((batches.mean(0) - direct.mean(0)) / error).max() < 4.0


def test_intervals_of_the_point_sampler_cover_at_their_nominal_rate():
    """Truth drawn from the prior: its rank among posterior samples is uniform (Talts et al. 2018)."""
    ranks = []
    for trial in range(120):
        rng = np.random.default_rng(1000 + trial)
        truth = sample_prior(PRIOR, 2, 2, rng)
        points = sample_points(truth, 25, rng)
        mixture, samples = truth, []
        for step in range(240):  # starting from the truth, which is a sample of the posterior, nothing is burnt in
            mixture, _ = points_step(partial(assign_points, points), mixture, PRIOR, seed=trial, step=step)
            if step % 12 == 11:
                samples.append(scalars(mixture))
        ranks.append((np.array(samples) < scalars(truth)).sum(0))
    shares = (np.array(ranks) + 0.5) / 21
    for column in shares.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
        covered = ((column > 0.1) & (column < 0.9)).sum()
        assert stats.binomtest(int(covered), 120, 0.8).pvalue > 1e-3


def scalars(m) -> list[float]:
    return [
        m.precision_per_A2,
        (m.weights**2).sum(),
        (m.weights @ m.means_A)[0],
        ((m.means_A[0] - m.means_A[1]) ** 2).sum(),
    ]


@pytest.fixture(scope="module")
def small():
    """A mixture of 4, its images in 6 known poses."""
    m = random_mixture(4, spread_A=12.0, sigma_A=6.0, seed=1)
    g = random_rotations(6, seed=2).numpy()
    data = count_images(project(m, g, 24, 4.0), 4.0, 300)
    return PosedMixture(mixture=m, rotations=g, offsets_A=np.zeros((6, 2))), data


def test_integrated_and_augmented_samplers_have_one_posterior(small):
    """With tau and nu^m in the chain (as derived in the thesis, corrected) and without: the same moments."""
    start, data = small
    moves = Moves(rotations=False, offsets=False)
    model, ours = start, []
    for step in range(1500):
        model, _ = projection_step(data, model, PRIOR, group=ONE, moves=moves, seed=5, step=step)
        ours.append(summary(model.mixture))
    rng = np.random.default_rng(6)
    mixture, theirs = start.mixture, []
    for _ in range(3000):
        posed = PosedMixture(mixture=mixture, rotations=start.rotations, offsets_A=start.offsets_A)
        mixture = augmented_step(data, posed, rng)
        theirs.append(summary(mixture))
    ours, theirs = np.array(ours).reshape(15, -1, 3).mean(1), np.array(theirs).reshape(15, -1, 3).mean(1)
    error = np.hypot(ours.std(0, ddof=1), theirs.std(0, ddof=1)) / np.sqrt(15)
    assert np.abs((ours.mean(0) - theirs.mean(0)) / error).max() < 4.5


def summary(m) -> list[float]:
    return [np.log(m.precision_per_A2), (m.weights @ (m.means_A**2).sum(1)), (m.weights**2).sum()]


def augmented_step(data: Counts, model: PosedMixture, rng: np.random.Generator):
    views = assign_views(data, model, ONE, rng)
    m = model.mixture
    depth = views.rotations[:, :, 2] @ m.means_A.T
    missing, tau = draw_missing(views.members, depth, m.precision_per_A2, rng)
    squared = squared_distances(
        views.squares_A2, views.members, views.first_A, image_centres(m.means_A, views.rotations)
    )
    s = draw_precision(3 * views.members.sum(), squared + tau, PRIOR, rng)
    first = np.concatenate([views.first_A, missing[..., None]], axis=2)
    rotated = np.einsum("iab,ikb->ka", views.rotations, first)
    members = views.members.sum(0)
    return type(m)(
        weights=draw_weights(members, PRIOR, rng),
        means_A=draw_means(members, rotated, s, PRIOR, rng),
        precision_per_A2=s,
    )


def test_log_posterior_is_invariant_under_rotation_reflection_and_symmetry(small):
    model, data = small
    moves = Moves(offset_sd_A=5.0)
    reference = log_posterior(data, model, PRIOR, group=ONE, moves=moves)
    a, f = Rotation.random(rng=1).as_matrix(), np.diag([1.0, 1.0, -1.0])
    turned = PosedMixture(mixture=rotate(model.mixture, a), rotations=a @ model.rotations, offsets_A=model.offsets_A)
    other = PosedMixture(mixture=mirror(model.mixture), rotations=f @ model.rotations @ f, offsets_A=model.offsets_A)
    for changed in (turned, other):
        assert log_posterior(data, changed, PRIOR, group=ONE, moves=moves) == pytest.approx(reference, abs=1e-3)
    group = symmetry_matrices("D3").numpy()
    turned = PosedMixture(mixture=model.mixture, rotations=group[4] @ model.rotations, offsets_A=model.offsets_A)
    assert log_posterior(data, turned, PRIOR, group=group, moves=moves) == pytest.approx(
        log_posterior(data, model, PRIOR, group=group, moves=moves), abs=1e-3
    )


def test_log_posterior_agrees_with_the_density_of_the_images(small):
    model, data = small
    images = project(model.mixture, model.rotations, 24, 4.0)
    direct = (data.counts * np.log(images.astype(float) + 1e-30)).sum()
    ours = assign_views(data, model, ONE, np.random.default_rng(0)).log_likelihood
    assert ours == pytest.approx(direct, rel=1e-5)


def test_known_poses_give_the_structure_and_known_structure_the_poses():
    truth = random_mixture(12, spread_A=15.0, sigma_A=6.0, seed=3)
    g = random_rotations(20, seed=4).numpy()
    offsets = np.random.default_rng(5).normal(size=(20, 2)) * 3.0
    data = count_images(project(truth, g, 32, 4.0, offsets_A=offsets), 4.0, 2000)
    prior = MixturePrior(mean_precision_per_A2=1 / 400)
    start = sample_prior(prior, 12, 3, np.random.default_rng(6))
    model, mean = PosedMixture(mixture=start, rotations=g, offsets_A=offsets), 0.0
    for step in range(300):
        model, _ = projection_step(
            data, model, prior, group=ONE, moves=Moves(rotations=False, offsets=False), seed=7, step=step
        )
        if step >= 200 and step % 10 == 0:
            mean = mean + evaluate(model.mixture, 32, 4.0) / 10
    reference = evaluate(truth, 32, 4.0)
    assert (mean * reference).sum() / np.sqrt((mean**2).sum() * (reference**2).sum()) > 0.97

    near = Rotation.from_rotvec(np.random.default_rng(8).normal(size=(20, 3)) * 0.15).as_matrix() @ g
    model = PosedMixture(mixture=truth, rotations=near, offsets_A=np.zeros((20, 2)))
    for step in range(60):
        model, _ = projection_step(data, model, prior, group=ONE, moves=Moves(mixture=False), seed=9, step=step)
    angle = np.rad2deg(Rotation.from_matrix(model.rotations.swapaxes(1, 2) @ g).magnitude())
    assert np.median(angle) < 3.0
    assert np.abs(model.offsets_A - offsets).max() < 1.5


def test_global_rotations_find_the_poses_and_keep_good_ones():
    truth = random_mixture(15, spread_A=20.0, sigma_A=8.0, seed=10)
    g = random_rotations(10, seed=11).numpy()
    data = count_images(project(truth, g, 32, 4.0), 4.0, 500)
    wrong = PosedMixture(mixture=truth, rotations=random_rotations(10, seed=12).numpy(), offsets_A=np.zeros((10, 2)))
    found = draw_rotations_globally(data, wrong, rotations=3000, group=ONE, seed=1, step=0)
    assert np.rad2deg(Rotation.from_matrix(found.swapaxes(1, 2) @ g).magnitude()).max() < 25.0
    right = PosedMixture(mixture=truth, rotations=g, offsets_A=np.zeros((10, 2)))
    kept = draw_rotations_globally(data, right, rotations=300, group=ONE, seed=1, step=0)
    assert (np.abs(kept - g).max(axis=(1, 2)) < 1e-12).sum() >= 8


def test_draw_rotations_with_symmetry_adds_the_views(small):
    """An image of a symmetric object fixes its pose up to the group: near a true pose the sampler stays there."""
    group = symmetry_matrices("C4").numpy()
    unit = random_mixture(5, spread_A=15.0, sigma_A=5.0, seed=13)
    g = random_rotations(4, seed=14).numpy()
    data = count_images(project(symmetrise(unit, group), g, 32, 4.0), 4.0, 4000)
    model = PosedMixture(mixture=unit, rotations=g, offsets_A=np.zeros((4, 2)))
    rng = np.random.default_rng(15)
    drawn = draw_rotations(assign_views(data, model, group, rng), model, group, rng)
    assert np.rad2deg(Rotation.from_matrix(drawn.swapaxes(1, 2) @ g).magnitude()).max() < 5.0
    assert views_of(g, group).shape == (16, 3, 3)
