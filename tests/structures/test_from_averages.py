"""Initial models from class averages: the parts against slow twins and truth, the methods on a lopsided object."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from vitreous.fourier import slice_points
from vitreous.iterate import run
from vitreous.matching import Rows, best
from vitreous.mixtures import Mixture, project
from vitreous.randomness import torch_generator
from vitreous.rotations import compare_poses, random_rotations, symmetry_matrices
from vitreous.structures.from_averages import (
    CONTROLS,
    METHODS,
    AllMethods,
    ClusteredLines,
    CommonLines,
    Fit,
    FromAverages,
    ProjectionMatching,
    Ransac,
    model_from_averages,
    prepare_algorithm,
    prepare_views,
)
from vitreous.structures.from_averages.algorithm import RANDOM, SCRAMBLED
from vitreous.structures.from_averages.clustered_lines import clustered_lines, clusters_of
from vitreous.structures.from_averages.common_lines import common_lines
from vitreous.structures.from_averages.fitting import agreement, energy_at, map_of, polish, search, slices_along
from vitreous.structures.from_averages.lines import correlation_tables, pair_lines, polar_lines
from vitreous.structures.from_averages.methods import methods_for
from vitreous.structures.from_averages.projection_matching import (
    SEARCH_RINGS,
    blobs,
    projection_matching,
    rings_of_pass,
)
from vitreous.structures.from_averages.quasi_newton import Joint, _interpolated
from vitreous.structures.from_averages.quasi_newton import ascend as ascend_together
from vitreous.structures.from_averages.ransac import spread_subset
from vitreous.structures.from_averages.score import held_out, score_of
from vitreous.structures.from_averages.settings import shared_settings
from vitreous.structures.from_averages.significant import significant_choice
from vitreous.structures.from_averages.stochastic import some_better
from vitreous.structures.from_averages.synchronise import pair_votes, rotations_by_eigenvectors, unsquared
from vitreous.volumes import prepared

BOX, PIXEL_A, N = 24, 5.0, 14
ONE = np.eye(3)[None]


def averages(n=N, seed=5, group="C1"):
    """(images (n, L, L), rotations) of an object without symmetry, or of its copies under a group."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(8, 3)) * 16.0
    copies = np.concatenate([means @ s.T for s in symmetry_matrices(group).double().numpy()])
    weights = np.tile(rng.dirichlet(np.full(8, 5.0)), len(copies) // 8)
    mixture = Mixture(means_A=copies, weights=weights / weights.sum(), precision_per_A2=7.0**-2)
    rotations = random_rotations(n, seed=seed + 1).numpy()
    return project(mixture, rotations, BOX, PIXEL_A).astype(np.float32), rotations


@pytest.fixture(scope="module")
def scene():
    images, rotations = averages()
    return prepare_views(images, PIXEL_A), rotations


def noise(n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(n, BOX, BOX)).astype(np.float32)


def right(found, rotations, group=ONE):
    return compare_poses(found, rotations, group=group, within_deg=20.0).fraction


def test_averages_come_to_one_energy_whatever_their_scale(scene):
    images, _ = averages()
    scaled = prepare_views(images * np.linspace(0.1, 9, N)[:, None, None].astype(np.float32), PIXEL_A)
    energies = (scene[0].images.x.abs().square()).sum(1)
    np.testing.assert_allclose(energies, energies.mean(), rtol=0.05)  # point weights are a quadrature of the rings
    turned = scene[0].harmonics.abs() / scene[0].harmonics.abs().mean()
    np.testing.assert_allclose(scaled.harmonics.abs() / scaled.harmonics.abs().mean(), turned, atol=2e-2)


def test_a_shift_that_centring_took_is_given_back():
    images, _ = averages()
    moved = np.roll(images, (2, -1), axis=(1, 2))  # two pixels along y, one back along x
    difference = prepare_views(moved, PIXEL_A).moved_A - prepare_views(images, PIXEL_A).moved_A
    # o is the shift that centres: opposite to where the particle went.
    np.testing.assert_allclose(difference, np.tile([PIXEL_A, -2 * PIXEL_A], (N, 1)), atol=0.5)


def test_true_poses_explain_averages_and_others_do_not(scene):
    views, rotations = scene
    true = Fit(rotation=rotations, origin_A=-views.moved_A)
    dealt = Fit(rotation=np.roll(rotations, 1, axis=0), origin_A=-views.moved_A)
    explained = agreement(views, map_of(views, true, views.rings), true).mean()
    assert explained > 0.8
    assert agreement(views, map_of(views, dealt, views.rings), dealt).mean() < explained - 0.15


def test_a_search_in_the_true_map_finds_the_true_poses(scene):
    views, rotations = scene
    volume = map_of(views, Fit(rotation=rotations, origin_A=-views.moved_A), views.rings)
    found, _ = search(views, volume, min(6, views.rings), seed=1, purpose=("test",))
    assert right(found.rotation, rotations) == 1.0


def test_slices_have_the_energy_of_averages(scene):
    views, rotations = scene
    volume = map_of(views, Fit.at(rotations), 5)
    slices = slices_along(views, volume, torch.from_numpy(rotations), 4)
    basis = views.data.basis.truncated(4)
    energy = ((slices.abs().square() * basis.multiplicity).sum(2) * basis.ring_weight / views.sigma2[:4]).sum(1)
    np.testing.assert_allclose(energy, energy_at(views, 4), rtol=1e-4)


def test_scrambled_rings_keep_their_power_and_lose_their_order(scene):
    views = scene[0]
    other = views.scrambled(3)
    power = (views.harmonics.abs().square() * views.data.basis.multiplicity).sum(2)
    np.testing.assert_allclose(
        (other.harmonics.abs().square() * views.data.basis.multiplicity).sum(2), power, rtol=1e-4
    )
    inner = (other.harmonics.conj() * views.harmonics).real.sum((1, 2)) / views.harmonics.abs().square().sum((1, 2))
    assert float(inner.mean()) < 0.98  # the first ring has most of the power, and is nearly round


def test_common_lines_are_where_the_planes_meet(scene):
    """Found lines of clean projections are the true ones, within the grid and the error of few rings."""
    views, rotations = scene
    pairs = pair_lines(polar_lines(views, 4.0))
    errors = []
    for i in range(N):
        for j in range(i + 1, N):
            line = np.cross(rotations[i][:, 2], rotations[j][:, 2])
            a, b = rotations[i].T @ line, rotations[j].T @ line
            found = np.exp(1j * pairs.angle_rad[[i, j], [j, i]])
            true = np.array([a[0] + 1j * a[1], b[0] + 1j * b[1]]) / np.linalg.norm(line)
            errors.append(min(np.abs(np.angle(found / (sign * true))).max() for sign in (1, -1)))
    assert np.median(np.degrees(errors)) < 6.0


def test_the_products_of_pairs_are_the_maxima_of_all_correlations(scene):
    views = scene[0]
    lines = polar_lines(views, 15.0)
    pairs, tables = pair_lines(lines), correlation_tables(lines)
    for i, j in ((0, 1), (3, 2), (5, 13)):
        table = tables[i, j]
        assert pairs.correlation[i, j] == pytest.approx(table.max(), abs=1e-5)
        assert table[pairs.line[j, i], pairs.line[i, j]] == pytest.approx(table.max(), abs=1e-5)
        np.testing.assert_allclose(table, tables[j, i].T, atol=1e-5)  # both images know the same lines
        half = lines.half
        np.testing.assert_allclose(table, np.roll(table, (half, half), (0, 1)), atol=1e-5)  # opposite with opposite


def exact_pairs(rotations, half=180):
    """The true common lines of rotations, on a fine grid."""
    n = len(rotations)
    line = np.zeros((n, n), np.int16)
    for i in range(n):
        for j in range(n):
            if i != j:
                axis = np.cross(rotations[min(i, j)][:, 2], rotations[max(i, j)][:, 2])
                x, y, _ = rotations[i].T @ axis
                line[i, j] = round(np.arctan2(y, x) / np.pi * half) % (2 * half)
    lines = pair_lines(polar_lines(prepare_views(averages(5)[0], PIXEL_A), 15.0))
    return replace(lines, line=line, correlation=np.ones((n, n), np.float32), half=half)


def test_exact_lines_give_exact_rotations_but_for_hand_and_frame():
    rotations = random_rotations(20, seed=3).numpy()
    pairs = exact_pairs(rotations, half=60)
    cosine, weight = pair_votes(pairs, 18)
    normals = rotations[:, :, 2]
    off = ~np.eye(20, dtype=bool)
    assert np.median(np.abs(cosine - normals @ normals.T)[off]) < 0.1  # of bins of three degrees
    first = rotations_by_eigenvectors(pairs, cosine, weight)
    assert compare_poses(first, rotations, group=ONE, within_deg=6.0).fraction == 1.0
    second, deviation = unsquared(pairs, weight, first)
    assert compare_poses(second, rotations, group=ONE, within_deg=3.0).fraction == 1.0
    assert deviation < 0.05


def test_wrong_lines_move_unsquared_deviations_less_than_eigenvectors():
    rotations = random_rotations(30, seed=4).numpy()
    pairs = exact_pairs(rotations, half=45)
    rng = np.random.default_rng(0)
    wrong = np.triu(rng.random((30, 30)) < 0.5, 1)
    line = pairs.line.copy()
    line[wrong | wrong.T] = rng.integers(0, 90, (wrong | wrong.T).sum())
    pairs = replace(pairs, line=line)
    cosine, weight = pair_votes(pairs, 28)
    first = rotations_by_eigenvectors(pairs, cosine, weight)
    second, _ = unsquared(pairs, weight, first)
    shares = [compare_poses(one, rotations, group=ONE, within_deg=8.0).fraction for one in (first, second)]
    assert shares[1] >= shares[0]
    assert shares[1] > 0.9


@pytest.mark.parametrize("solver", ["reconstitution", "eigenvectors", "robust"])
def test_common_lines_find_the_views_of_clean_averages(scene, solver):
    views, rotations = scene
    settings = CommonLines(solver=solver, line_step_deg=6.0)
    shares = [right(common_lines(views, settings, 1, start).rotation, rotations) for start in (0, 1)]
    assert max(shares) >= 0.85


def test_reconstitution_knows_the_copies_of_a_point_group():
    images, rotations = averages(8, group="C3")
    views = prepare_views(images, PIXEL_A, symmetry="C3")
    found = common_lines(views, CommonLines(symmetry="C3", line_step_deg=9.0), 1, 0)
    assert right(found.rotation, rotations, views.group.double().numpy()) >= 0.75


def test_polish_brings_poses_that_are_a_little_wrong_nearer_to_the_truth(scene):
    views, rotations = scene
    turns = Rotation.from_rotvec(np.random.default_rng(3).normal(0, 0.1, (N, 3))).as_matrix()
    wrong = Fit(rotation=rotations @ turns, origin_A=-views.moved_A)
    found = polish(views, wrong, first_rings=5, rounds=5)
    near = [compare_poses(one.rotation, rotations, group=ONE, within_deg=5.0).fraction for one in (wrong, found)]
    assert near[1] > near[0] + 0.2


def test_starts_of_projection_matching_differ_and_repeat(scene):
    settings = ProjectionMatching(passes=2)
    one, other = (projection_matching(scene[0], settings, 2, start) for start in (0, 1))
    np.testing.assert_array_equal(one.rotation, projection_matching(scene[0], settings, 2, 0).rotation)
    assert right(one.rotation, other.rotation) < 0.9


def test_rings_grow_by_one_and_reach_the_last(scene):
    rings = [rings_of_pass(scene[0], done, 12) for done in range(12)]
    assert (np.diff(rings) >= 0).all()
    assert np.diff(rings).max() <= 1
    assert rings[-1] == SEARCH_RINGS


def test_blobs_differ_between_starts_and_stay_in_the_sphere(scene):
    one, other = blobs(scene[0], 1, 0), blobs(scene[0], 1, 1)
    assert not torch.equal(one, other)
    assert torch.equal(one, blobs(scene[0], 1, 0))
    assert float(one[0].abs().max()) < 1e-6


def rows():
    scores = torch.tensor([[0.9, 0.1], [0.5, 0.8], [0.2, 0.3], [0.6, 0.4]])
    index = torch.tensor([0, 0, 1, 1])
    return Rows(
        image=index, reference=torch.arange(4) % 2, shift=torch.zeros(4, dtype=torch.long), log_weight=scores - 0.5
    )


def test_significant_weights_are_the_highest_correlations_in_proportion():
    chosen = significant_choice(rows(), 2, percent=50.0, energy=1.0)
    expected = [[0.9 / 1.7, 0], [0, 0.8 / 1.7], [0, 0], [0.6, 0.4]]
    np.testing.assert_allclose(chosen.weight, expected, atol=1e-6)
    least = significant_choice(rows(), 2, percent=0.01, energy=1.0)  # one is left: projection matching
    np.testing.assert_array_equal(least.weight, best(rows(), 2).weight)


def test_some_better_draws_among_what_is_better_and_takes_the_best_where_nothing_is():
    last, drawn = np.array([0.45, 0.7]), []
    for number in range(60):
        weight = some_better(last, 1.0, torch_generator(0, "draw", number), most=1)(rows(), 2).weight
        assert weight[2:].tolist() == [[0, 0], [1, 0]]
        assert float(weight[:2].sum()) == 1.0
        drawn.append(int(weight[:2].flatten().argmax()))
    assert set(drawn) == {0, 2, 3}  # the correlations 0.9, 0.5, 0.8
    all_three = some_better(last, 1.0, torch_generator(0, "draw", 0), most=9)(rows(), 2).weight
    np.testing.assert_allclose(all_three, [[0.9 / 2.2, 0], [0.5 / 2.2, 0.8 / 2.2], [0, 0], [1, 0]], atol=1e-6)


def test_subsets_hold_different_averages_unlike_each_other():
    features = np.repeat(np.eye(4), 5, axis=0)  # four kinds, five of each
    rng = np.random.default_rng(0)
    kinds = [len(np.unique(spread_subset(features, 4, rng) // 5)) for _ in range(200)]
    chance = [len(np.unique(rng.choice(20, 4, replace=False) // 5)) for _ in range(200)]
    assert np.mean(kinds) > np.mean(chance) + 0.5


def test_score_is_one_for_full_agreement_and_zero_for_chance():
    chance = np.array([0.2, 0.4])
    assert score_of(np.array([1.0, 1.0]), chance).score == pytest.approx(1.0)
    same = score_of(chance, chance)
    assert (same.score, same.beyond) == (0.0, 0.0)
    assert not same.claimed


def test_held_out_averages_are_predicted_by_the_true_model_alone(scene):
    views, rotations = scene
    true = held_out(views, Fit(rotation=rotations, origin_A=-views.moved_A), 0)
    wrong = held_out(views, Fit.at(random_rotations(N, seed=9).numpy()), 0)
    assert len(true) == N
    assert score_of(true, wrong).score > 0.3
    assert score_of(true, wrong).claimed


def test_a_model_of_averages_is_right_and_one_of_noise_is_not_claimed():
    images, rotations = averages(20)
    settings = CommonLines(restarts=2, polish_rounds=4)
    found = model_from_averages(images, PIXEL_A, settings).chosen
    assert right(found.rotation, rotations) >= 0.9
    assert found.agreeing > 0.8
    assert found.score.claimed
    nothing = model_from_averages(noise(20), PIXEL_A, settings).chosen
    assert nothing.agreeing < 0.5
    assert nothing.score.score < 0.3


def test_all_methods_are_in_the_table_and_share_settings():
    methods = methods_for(AllMethods(symmetry="C2", seed=3))
    assert [one.name for one in methods] == list(METHODS)
    assert methods_for(Ransac())[0].name == "ransac"
    given = AllMethods(symmetry="C2", seed=3, rings=7, restarts=2, agreement_deg=9.0)
    for kind, _ in METHODS.values():
        own = shared_settings(kind, given)
        assert all(getattr(own, name) == getattr(given, name) for name in FromAverages.__dataclass_fields__)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (averages(4)[0], "4 average.*at least 5 are needed"),
        (np.where(np.arange(6)[:, None, None] == 2, np.nan, averages(6)[0]), "average 3: has 576 values that are no"),
        (np.where(np.arange(6)[:, None, None] == 1, 0, averages(6)[0]), "average 2: all pixels have the value 0"),
        (averages(6)[0][:, :20], "square images"),
    ],
    ids=["few", "not finite", "constant", "not square"],
)
def test_averages_that_cannot_be_used_are_refused_in_words(images, words):
    with pytest.raises(ValueError, match=words):
        model_from_averages(images.astype(np.float32), PIXEL_A, CommonLines())


def test_a_particle_of_few_pixels_has_too_few_rings():
    with pytest.raises(ValueError, match="particle_diameter_A: 40 A are so few pixels of 5 A that they have 3 rings"):
        prepare_views(averages(6)[0][:, 6:18, 6:18], PIXEL_A, particle_diameter_A=40.0)


FEW_STEPS = {  # of every method: enough to go through all of its parts
    "common-lines": {},
    "projection-matching": {"tries": 1, "passes": 2},
    "significant": {"passes": 2},
    "stochastic": {"passes": 2},
    "ransac": {"subsets": 2, "refined": 1, "passes": 2},
    "clustered-lines": {"models": 2, "refined": 1, "passes": 2},
    "quasi-newton": {"steps": 2},
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bad", ["one view again and again", "noise"])
def test_every_method_ends_on_averages_that_have_no_model(name, bad):
    images = noise(6) if bad == "noise" else np.repeat(averages(1)[0], 6, axis=0)
    kind, start = METHODS[name]
    views, settings = prepare_views(images, PIXEL_A), kind(restarts=1, **FEW_STEPS[name])
    fit = start(views, settings, 0, 0)
    np.testing.assert_allclose(fit.rotation @ fit.rotation.swapaxes(1, 2), np.tile(np.eye(3), (6, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(fit.rotation), 1.0, atol=1e-5)
    assert np.isfinite(fit.origin_A).all()
    np.testing.assert_array_equal(start(views, settings, 0, 0).rotation, fit.rotation)  # random numbers have a name
    assert bad != "noise" or not np.allclose(start(views, settings, 0, 1).rotation, fit.rotation, atol=0.1)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_refuses_fewer_averages_than_can_be_held_out(name):
    with pytest.raises(ValueError, match=r"4 average.*at least 5 are needed"):
        prepare_algorithm(averages(4)[0], PIXEL_A, METHODS[name][0]())


def test_identical_views_end_without_a_hang():
    images = np.repeat(averages(1)[0], 6, axis=0)
    found = model_from_averages(images, PIXEL_A, CommonLines(restarts=1, polish_rounds=1)).chosen
    assert np.isfinite(found.map.data).all()


def test_settings_refuse_what_cannot_work():
    with pytest.raises(ValueError, match="solver: expected reconstitution with the point group D2"):
        CommonLines(symmetry="D2", solver="robust")
    with pytest.raises(ValueError, match=r"most: expected at least fewest \(4\), found 3"):
        Ransac(most=3)
    with pytest.raises(ValueError, match="rings: expected at least 4, found 3"):
        Ransac(rings=3)


def test_slices_that_can_be_differentiated_are_those_of_all_other_methods(scene):
    views, rotations = scene
    volume = prepared(map_of(views, Fit.at(rotations), 5))
    matrices, plane = torch.from_numpy(rotations).float(), views.images_at(5).points.plane
    expected = slice_points(volume, matrices, plane)
    error = (_interpolated(volume, matrices, plane) - expected).abs().max()
    assert float(error) < 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize("group", ["C1", "C3"])
def test_the_gradient_of_the_joint_cost_is_that_of_finite_differences(group):
    """In a random direction of voxels alone, of rotations alone and of shifts alone, away from the start."""
    images, rotations = averages(6, group=group)
    views = prepare_views(images, PIXEL_A, symmetry=group)
    joint = Joint.at(views, Fit(rotation=rotations, origin_A=-views.moved_A), 4)
    rng = np.random.default_rng(2)
    at = joint.origin()
    at[-30:] += rng.normal(0, 0.1, 30)
    with torch.no_grad():  # as in a job
        value, gradient = joint.cost(at)
    assert 0 < value < 1
    voxels = len(at) - 30
    for part in (slice(0, voxels), slice(voxels, voxels + 18), slice(voxels + 18, None)):
        direction = np.zeros_like(at)
        direction[part] = rng.normal(size=len(at[part]))
        step = 3e-3 / np.abs(direction).max()  # single precision: smaller steps are lost in rounding
        numeric = (joint.cost(at + step * direction)[0] - joint.cost(at - step * direction)[0]) / (2 * step)
        assert gradient @ direction == pytest.approx(numeric, rel=0.05, abs=1e-5)


def test_quasi_newton_lowers_the_cost_and_mends_poses_that_are_a_little_wrong(scene):
    views, rotations = scene
    turns = Rotation.from_rotvec(np.random.default_rng(3).normal(0, 0.1, (N, 3))).as_matrix()
    wrong = Fit(rotation=rotations @ turns, origin_A=-views.moved_A)
    joint = Joint.at(views, wrong, 6)
    found, cost = ascend_together(views, wrong, 6, 25)
    assert cost < 0.9 * joint.cost(joint.origin())[0]
    near = [compare_poses(one.rotation, rotations, group=ONE, within_deg=5.0).fraction for one in (wrong, found)]
    assert near[1] > near[0] + 0.2
    np.testing.assert_allclose(found.rotation @ found.rotation.swapaxes(1, 2), np.tile(np.eye(3), (N, 1, 1)), atol=1e-9)


def test_models_that_agree_fall_into_one_cluster_whatever_their_hand_and_frame():
    true, other = (random_rotations(16, seed=seed).numpy() for seed in (1, 2))
    rng = np.random.default_rng(0)

    def seen(poses):
        flip = np.diag([1.0, 1.0, -1.0])
        frame = random_rotations(1, seed=int(rng.integers(1000)))[0].numpy()
        hand = flip @ poses @ flip if rng.random() < 0.5 else poses
        return frame @ hand @ Rotation.from_rotvec(rng.normal(0, 0.05, (16, 3))).as_matrix()

    models = [seen(true) if i % 2 else seen(random_rotations(16, seed=50 + i).numpy()) for i in range(8)]
    models[0], models[2] = seen(other), seen(other)
    clusters = [set(members.tolist()) for members in clusters_of(models, ONE, 15.0)]
    assert clusters[0] == {1, 3, 5, 7}
    assert clusters[1] == {0, 2}
    assert [len(one) for one in clusters[2:]] == [1, 1]


def test_clustered_lines_find_the_views_of_clean_averages(scene):
    views, rotations = scene
    settings = ClusteredLines(restarts=1, models=4, refined=1, passes=2)
    found = clustered_lines(views, settings, 1, 0).rotation
    assert right(found, rotations) >= 0.85
    np.testing.assert_array_equal(clustered_lines(views, settings, 1, 0).rotation, found)


def test_right_averages_in_random_orientations_are_chance_and_score_nothing(scene):
    """They have the outline of the particle, which scrambled averages have not: wrong models are measured by them."""
    images, rotations = averages()
    settings = CommonLines(restarts=2, polish_rounds=3)
    algorithm, views, _ = prepare_algorithm(images, PIXEL_A, settings)
    result, state = run(algorithm, seed=0)
    controls = [one for one in state.fits if one.method == RANDOM]
    assert len(controls) == CONTROLS
    assert len(state.fits) == CONTROLS + 1 + settings.restarts
    chance = max(float(one.held_out.mean()) for one in state.fits if one.method == RANDOM or one.start == SCRAMBLED)
    wrong = score_of(held_out(views, Fit.at(random_rotations(N, seed=11).numpy()), 0), np.full(N, chance))
    assert wrong.score < 0.15
    best = result.chosen
    assert best.score.score == pytest.approx((best.score.correlation - chance) / (1 - chance))
    assert right(best.rotation, rotations) >= 0.9
    assert best.score.score > 0.4
