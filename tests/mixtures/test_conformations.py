"""Several conformations: the conditionals against the joint density, Geweke's test, one conformation as before."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mixtures import random_mixture
from vitreous.iterate import run, state_from_arrays, state_to_arrays
from vitreous.mixtures import (
    Counts,
    Mixture,
    MixturePrior,
    Moves,
    PosedMixture,
    count_images,
    evaluate,
    log_density,
    log_posterior,
    log_prior,
    project,
    projection_step,
    sample_points,
    sample_prior,
)
from vitreous.mixtures.averages import Reduced
from vitreous.mixtures.common_frame import in_one_frame
from vitreous.mixtures.conformation_agreement import compare_conformations
from vitreous.mixtures.conformations import (
    PosedMixtures,
    conformation_steps,
    conformations_log_posterior,
    draw_labels,
    draw_labels_and_rotations,
    draw_populations,
    label_probabilities,
    single,
    split,
)
from vitreous.mixtures.gibbs_projections import default_prior
from vitreous.mixtures.global_rotations import random_rotation_matrices
from vitreous.mixtures.poisson_poses import InitialModel, PoissonState, initial_model, initial_model_algorithm
from vitreous.mixtures.poisson_poses.counted_stages import (
    anneal_round,
    initial_log_posterior,
    random_start,
)
from vitreous.mixtures.posterior_maps import aligned_conformations
from vitreous.randomness import generator
from vitreous.rotations import compare_poses, random_rotations

ONE = np.eye(3)[None]
FLIP = np.diag([1.0, 1.0, -1.0])
PRIOR = MixturePrior(mean_precision_per_A2=1 / 81, precision_shape=6.0, precision_rate_A2=220.0, concentration=3.0)
BOX, PIXEL = 72, 2.0


def prior_model(rng: np.random.Generator, images: int, components: int, conformations: int = 2) -> PosedMixtures:
    populations = rng.dirichlet(np.ones(conformations))
    return PosedMixtures(
        mixtures=tuple(sample_prior(PRIOR, components, 3, rng) for _ in range(conformations)),
        populations=populations,
        labels=rng.choice(conformations, size=images, p=populations),
        rotations=Rotation.random(images, rng=rng).as_matrix(),
        offsets_A=rng.normal(size=(images, 2)) * 3.0,
    )


def simulate(model: PosedMixtures, points: int, rng: np.random.Generator) -> Counts:
    out = np.zeros((len(model.labels), BOX, BOX), np.int32)
    for image, c, g, t in zip(out, model.labels, model.rotations, model.offsets_A, strict=True):
        x = (sample_points(model.mixtures[c], points, rng) @ g)[:, :2] + t
        pixel = np.clip(np.rint(x / PIXEL).astype(int) + BOX // 2, 0, BOX - 1)
        np.add.at(image, (pixel[:, 1], pixel[:, 0]), 1)
    return Counts(counts=out, pixel_size_A=PIXEL)


def log_likelihood(data: Counts, mixture: Mixture, image: int, rotation: np.ndarray, offset: np.ndarray) -> float:
    """Sum over the counts of an image of the log of the projected density, component by component."""
    y, x = np.nonzero(data.counts[image])
    positions = np.stack([data.axis_A(2)[x], data.axis_A(1)[y]], axis=1)
    flat = replace(mixture, means_A=(mixture.means_A @ rotation)[:, :2] + offset)
    return float(data.counts[image, y, x] @ log_density(flat, positions))


def functions(m: PosedMixtures) -> list[float]:
    """Scalars of every parameter and of their interplay; not all are symmetric in the conformations."""
    shown = m.mixtures[m.labels[0]]
    return [
        float(m.labels[0]),
        float(m.labels[0] == m.labels[1]),
        m.populations[0],
        (m.populations**2).sum(),
        (m.populations[m.labels]).mean(),
        np.log(m.mixtures[0].precision_per_A2),
        np.log(shown.precision_per_A2),
        (m.mixtures[1].means_A ** 2).mean(),
        (shown.means_A**2).mean(),
        (shown.weights**2).sum(),
        (m.offsets_A**2).mean(),
        m.rotations[0, 0, 0],
        np.trace(m.rotations[0].T @ m.rotations[1]),
        ((shown.means_A @ m.rotations[0])[:, 0] ** 2).mean(),
    ]


def test_geweke_joint_distribution_with_two_conformations():
    """Alternating 'data given parameters' and 'parameters given data' must keep the prior, empty conformations too."""
    rng = np.random.default_rng(18)
    moves = Moves(offset_sd_A=3.0)
    direct = np.array([functions(prior_model(rng, 3, 3)) for _ in range(10_000)])
    model, chain = prior_model(rng, 3, 3), []
    for step in range(2500):
        data = simulate(model, 6, rng)
        model, _ = conformation_steps(data, model, PRIOR, group=ONE, moves=moves, seed=3, steps=range(step, step + 1))
        if step % 2:
            model = draw_labels_and_rotations(data, model, rotations=10, group=ONE, seed=4, step=step)
        else:
            model = draw_labels(data, model, group=ONE, seed=5, step=step)
        model = draw_populations(model, seed=6, step=step)
        chain.append(functions(model))
    batches = np.array(chain).reshape(25, 100, -1).mean(1)
    error = np.hypot(batches.std(0, ddof=1) / 5.0, direct.std(0) / np.sqrt(len(direct)))
    assert np.abs((batches.mean(0) - direct.mean(0)) / error).max() < 4.0


def test_label_probabilities_and_log_posterior_are_those_of_the_joint_density():
    rng = np.random.default_rng(1)
    model = prior_model(rng, 5, 4, conformations=3)
    data = simulate(model, 40, rng)

    def joint(labels: np.ndarray) -> float:
        poses = zip(labels, model.rotations, model.offsets_A, strict=True)
        seen = sum(log_likelihood(data, model.mixtures[c], i, g, t) for i, (c, g, t) in enumerate(poses))
        offsets = -0.5 * (model.offsets_A**2).sum() / 9 - model.offsets_A.size * np.log(3 * np.sqrt(2 * np.pi))
        priors = sum(log_prior(m, PRIOR) for m in model.mixtures)
        return seen + np.log(model.populations)[labels].sum() + np.log(2.0) + priors + offsets

    found = label_probabilities(data, model, ONE)
    for i in range(5):
        log_p = np.array([joint(np.where(np.arange(5) == i, c, model.labels)) for c in range(3)])
        expected = np.exp(log_p - log_p.max())
        assert found[i] == pytest.approx(expected / expected.sum(), abs=2e-3)
    moves = Moves(offset_sd_A=3.0)
    for labels in (model.labels, np.array([0, 0, 2, 2, 0])):  # the second leaves one conformation empty
        ours = conformations_log_posterior(data, replace(model, labels=labels), PRIOR, group=ONE, moves=moves)
        assert ours == pytest.approx(joint(labels), rel=1e-4)


def test_global_step_draws_label_and_rotation_from_their_joint_density():
    """Many chains with the same image: shares of labels and means over rotations against integration over SO(3)."""
    rng = np.random.default_rng(2)
    one = prior_model(rng, 1, 4)
    one = replace(one, offsets_A=np.zeros((1, 2)))
    data = simulate(one, 8, rng)
    grid = random_rotation_matrices(4000, rng)
    log_p = np.array([[log_likelihood(data, m, 0, g, np.zeros(2)) for g in grid] for m in one.mixtures])
    weight = np.exp(log_p - log_p.max())
    one = replace(one, populations=weight.sum(1)[::-1] / weight.sum())  # such that both labels are about as probable
    weight *= one.populations[:, None]
    weight /= weight.sum()
    expected = [weight[1].sum(), (weight * grid[:, 2, 2] ** 2).sum(), (weight[1] * grid[:, 0, 0] ** 2).sum()]

    chains = 40
    many = Counts(counts=np.repeat(data.counts, chains, axis=0), pixel_size_A=PIXEL)
    model = replace(
        one,
        labels=np.zeros(chains, np.int64),
        rotations=random_rotation_matrices(chains, rng),
        offsets_A=np.zeros((chains, 2)),
    )
    found = []
    for step in range(540):
        model = draw_labels_and_rotations(many, model, rotations=10, group=ONE, seed=1, step=step)
        if step >= 40:
            second, g = model.labels == 1, model.rotations
            found.append([second.mean(), (g[:, 2, 2] ** 2).mean(), (second * g[:, 0, 0] ** 2).mean()])
    batches = np.array(found).reshape(20, 25, 3).mean(1)
    error = np.hypot(batches.std(0, ddof=1) / np.sqrt(20), 0.01)
    assert expected[0] == pytest.approx(0.5)
    assert np.abs((batches.mean(0) - expected) / error).max() < 4.0


def test_populations_follow_the_labels():
    model = prior_model(np.random.default_rng(3), 9, 3)
    model = replace(model, labels=np.array([0] * 7 + [1] * 2))
    drawn = np.array([draw_populations(model, seed=1, step=step).populations for step in range(3000)])
    assert drawn.mean(0) == pytest.approx([8 / 11, 3 / 11], abs=0.015)
    assert drawn[:, 0].var() == pytest.approx(8 * 3 / 11**2 / 12, rel=0.15)


QUICK = InitialModel(
    restarts=1, components=40, box_px=20, counts=500, rounds=26, rounds_annealed=20, global_rotations=400,
    label_rounds=12, label_counts=3000, fine_components=60, fine_box_px=24, fine_counts=3000, burn_in_steps=30,
    samples=5, steps_between=5,
)  # fmt: skip


def plain_global_rotations(data: Counts, model: PosedMixture, rotations: int, seed: int, step: int) -> np.ndarray:
    """The step for a single mixture, written for a single mixture."""
    rng = generator(seed, "global rotations", step)
    proposals = random_rotation_matrices(rotations, rng)
    n, box = len(data.counts), data.counts.shape[1]
    counts = data.counts.reshape(n, -1).astype(np.float32)

    def logs(g: np.ndarray) -> np.ndarray:
        floor = np.float32(1e-12 / (box * data.pixel_size_A) ** 2)
        return np.log(project(model.mixture, g, box, data.pixel_size_A).reshape(len(g), -1) + floor)

    score = np.concatenate([counts @ logs(proposals).T, (counts * logs(model.rotations)).sum(1)[:, None]], axis=1)
    best = (score + rng.gumbel(size=score.shape)).argmax(1)
    return np.concatenate([proposals, model.rotations])[np.where(best == rotations, rotations + np.arange(n), best)]


def test_one_conformation_goes_the_way_of_a_single_mixture():
    """Rounds and log posterior, bit for bit, from the steps for a single mixture alone."""
    truth = random_mixture(6, spread_A=20.0, sigma_A=8.0, seed=1)
    images = project(truth, random_rotations(6, seed=2).numpy(), 20, 6.0)
    reduced = Reduced(images=images.astype(np.float64), pixel_size_A=6.0)
    settings = replace(QUICK, counts_first=500, global_rotations=100, rotation_steps=2)
    ours = random_start(reduced, settings, ONE, 0)
    theirs = ours.part(0)
    data = count_images(images, 6.0, 500)
    prior, seed = default_prior(data), int(generator(settings.seed, "restart", 0).integers(2**62))
    for round_ in range(2):
        ours = anneal_round(reduced, ours, settings, ONE, restart=0, round_=round_)
        for step in range(9 * round_, 9 * round_ + 8):
            if step == 9 * round_ + 6:
                theirs = replace(theirs, rotations=plain_global_rotations(data, theirs, 100, seed, round_))
            mixture = step < 9 * round_ + 6
            moves = Moves(mixture=mixture, rotations=not mixture, offsets=False)
            theirs, _ = projection_step(data, theirs, prior, group=ONE, moves=moves, seed=seed, step=step)
    assert np.array_equal(ours.mixtures[0].means_A, theirs.mixture.means_A)
    assert np.array_equal(ours.rotations, theirs.rotations)
    assert ours.populations.tolist() == [1.0]
    moves = Moves(rotations=False, offsets=False)
    assert initial_log_posterior(reduced, ours, settings, ONE) == log_posterior(
        data, theirs, prior, group=ONE, moves=moves
    )


@pytest.fixture(scope="module")
def two_states():
    """Two lopsided objects that share nine blobs in twelve, 12 images of each, mixed."""
    first = random_mixture(12, spread_A=22.0, sigma_A=8.0, seed=4)
    means = first.means_A.copy()
    means[:3] = -means[:3]
    mixtures = first, replace(first, means_A=means)
    g, labels = random_rotations(24, seed=5).numpy(), np.tile([0, 1], 12)
    images = np.concatenate([project(mixtures[c], r[None], 24, 6.0) for c, r in zip(labels, g, strict=True)])
    return mixtures, g, labels, images


def test_it_finds_labels_poses_and_densities(two_states):
    mixtures, g, labels, images = two_states
    result = initial_model(images, 6.0, replace(QUICK, conformations=2))
    order = (0, 1) if (result.labels == labels).mean() > 0.5 else (1, 0)
    assert (np.array(order)[result.labels] == labels).mean() > 0.9
    assert compare_poses(result.rotations, g, group=ONE, within_deg=20.0).fraction > 0.9  # one frame, one hand
    assert result.label_probabilities.sum(axis=1) == pytest.approx(1.0)
    assert sum(c.population for c in result.conformations) == pytest.approx(1.0)
    assert result.poses_kept.fraction > 0.9
    found = [c.mean.data for c in result.conformations]
    truth = [evaluate(mixtures[c], 24, 6.0) for c in order]
    frame = compare_poses(result.rotations, g, group=ONE, within_deg=20.0)
    back = frame.rotation if not frame.other_hand else frame.rotation @ FLIP
    turned = [replace(c.mixture, means_A=c.mixture.means_A @ back.T) for c in result.conformations]
    correlation = np.corrcoef([evaluate(m, 24, 6.0).ravel() for m in turned] + [t.ravel() for t in truth])[:2, 2:]
    assert correlation[0, 0] > correlation[0, 1] + 0.05
    assert correlation[1, 1] > correlation[1, 0] + 0.05
    assert np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1] < 0.95


def test_resumed_with_two_conformations_it_ends_with_the_same_bits(two_states):
    quick = replace(QUICK, conformations=2, rounds=3, rounds_annealed=3, label_rounds=3, samples=2, burn_in_steps=5)
    algorithm = initial_model_algorithm(two_states[3], 6.0, quick)
    states = []
    straight, _ = run(algorithm, seed=0, save=states.append)
    for state in (states[4], states[8]):
        resumed, _ = run(algorithm, seed=0, state=state_from_arrays(PoissonState, state_to_arrays(state)))
        assert np.array_equal(resumed.label_probabilities, straight.label_probabilities)
        for a, b in zip(resumed.conformations, straight.conformations, strict=True):
            assert np.array_equal(a.mean.data, b.mean.data)


def labelled(labels: np.ndarray, g: np.ndarray, mixtures: tuple[Mixture, ...]) -> PosedMixtures:
    return PosedMixtures(
        mixtures=mixtures,
        populations=np.full(len(mixtures), 1 / len(mixtures)),
        labels=labels,
        rotations=g,
        offsets_A=np.zeros((len(g), 2)),
    )


@pytest.mark.parametrize("wrong", [0, 3])
def test_agreement_allows_every_conformation_its_name_frame_and_hand(wrong):
    rng = np.random.default_rng(wrong)
    mixtures = tuple(random_mixture(3, seed=s) for s in range(3))
    labels, g = np.arange(24) % 3, Rotation.random(24, rng=rng).as_matrix()
    second = g.copy()
    for c in range(3):
        turned = FLIP @ g[labels == c] @ FLIP if c == 1 else g[labels == c]
        second[labels == c] = Rotation.random(rng=rng).as_matrix() @ turned
    other = np.array([2, 0, 1])[labels]
    other[:wrong] = (other[:wrong] + 1) % 3
    found = compare_conformations(
        labelled(labels, g, mixtures), labelled(other, second, mixtures), group=ONE, within_deg=5.0
    )
    assert not found.agrees[:wrong].any()
    assert found.agrees[wrong:].all()
    assert found.fraction == pytest.approx(1 - wrong / 24)


def test_one_conformation_is_compared_by_its_poses():
    g, h = (Rotation.random(8, rng=s).as_matrix() for s in (1, 2))
    posed = [PosedMixture(mixture=random_mixture(3, seed=1), rotations=r, offsets_A=np.zeros((8, 2))) for r in (g, h)]
    ours = compare_conformations(*map(single, posed), group=ONE, within_deg=30.0)
    plain = compare_poses(g, h, group=ONE, within_deg=30.0)
    assert (ours.fraction, ours.other_hand) == (plain.fraction, plain.other_hand)
    assert np.array_equal(ours.rotation, plain.rotation)


def test_conformations_are_brought_into_one_frame_and_hand():
    rng = np.random.default_rng(3)
    shape = random_mixture(12, spread_A=22.0, sigma_A=9.0, seed=6)
    a = Rotation.random(rng=rng).as_matrix()
    moved = replace(shape, means_A=shape.means_A @ FLIP @ a.T + np.array([4.0, -6.0, 3.0]))
    model = labelled(np.array([0] * 5 + [1] * 4), Rotation.random(9, rng=rng).as_matrix(), (shape, moved))
    model = replace(model, offsets_A=rng.normal(size=(9, 2)))
    found = in_one_frame(model, ONE, field_A=200.0)
    densities = [evaluate(m, 40, 5.0).ravel() for m in found.mixtures]
    assert np.corrcoef(densities)[0, 1] > 0.98
    for before, after in ((model.part(c), found.part(c)) for c in range(2)):
        images = [project(p.mixture, p.rotations, 40, 5.0, offsets_A=p.offsets_A) for p in (before, after)]
        assert np.allclose(*images, atol=1e-4 * images[0].max())
    same = in_one_frame(found, ONE, field_A=200.0, hands=(False,))
    aligned = aligned_conformations(found, same, ONE)
    assert np.allclose(aligned[1].means_A, same.mixtures[1].means_A, atol=1e-6)


def test_a_split_shares_images_out_and_an_empty_conformation_is_told_apart():
    model = single(PosedMixture(mixture=random_mixture(3), rotations=np.repeat(ONE, 7, 0), offsets_A=np.zeros((7, 2))))
    parts = split(model, 3, np.random.default_rng(1))
    assert sorted(np.bincount(parts.labels, minlength=3)) == [2, 2, 3]
    assert parts.populations.sum() == pytest.approx(1.0)
    lone = replace(parts, labels=np.zeros(7, np.int64))
    assert len(aligned_conformations(lone, lone, ONE)) == 3
    compared = compare_conformations(lone, parts, group=ONE, within_deg=5.0)
    assert compared.fraction == pytest.approx(3 / 7)
