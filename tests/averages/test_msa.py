"""Multivariate analysis: factors against plain algebra, its edge against noise, phantoms against their truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import linkage
from scipy.optimize import linear_sum_assignment

from vitreous.averages.msa import MSA, agreement, msa, noise_edge, prepare_msa, ward, ward_labels
from vitreous.averages.msa.classify import _tree, choose_classes, kmeans, upper_tree
from vitreous.averages.msa.factors import coordinates_of, exact_factors, random_start, subspace_pass
from vitreous.averages.msa.metric import METRICS, Moments, metric_of
from vitreous.averages.msa.noise_edge import noise_along, shell_power, split_variance
from vitreous.fourier import centred_irfft2, centred_rfft2
from vitreous.matching import Alignments
from vitreous.optics import CTFParameters, colour_noise, ctf_2d
from vitreous.simulate import coloured_noise_power, face_images, ring_images, with_white_noise
from vitreous.testing import ArrayParticles

PIXEL_A = 2.0


def nothing(done: int) -> None:
    """Progress for nobody."""


def positive_rows(seed: int = 0) -> np.ndarray:
    """40 images of 12 pixels, nowhere negative."""
    return np.random.default_rng(seed).gamma(2.0, size=(40, 12)).astype(np.float32)


def particles(images: np.ndarray) -> ArrayParticles:
    return ArrayParticles(images=images.astype(np.float32), pixel_size_A=PIXEL_A)


def wrong_share(label: np.ndarray, truth: np.ndarray) -> float:
    """Share of images outside of the class that stands for theirs."""
    table = np.zeros((label.max() + 1, truth.max() + 1))
    np.add.at(table, (label, truth), 1)
    rows, columns = linear_sum_assignment(-table)
    return 1 - table[rows, columns].sum() / len(truth)


def some_faces(seed: int, count: int, box: int, snr: float) -> tuple[np.ndarray, np.ndarray]:
    kind = np.random.default_rng(seed).integers(0, 8, count)
    return with_white_noise(face_images(box, kind), snr, seed=seed), kind


# --- factors


@pytest.mark.parametrize("kind", METRICS)
def test_all_factors_together_give_the_images_back(kind):
    rows = positive_rows()
    metric = metric_of(kind, Moments.of(rows))
    found = exact_factors(rows, metric, 12, 1, nothing)
    coordinates = coordinates_of(rows, metric, found.vectors, 1, nothing)
    np.testing.assert_allclose(metric.reconstituted(coordinates, found.vectors, metric.size), rows, atol=1e-4)
    # The eigenvalue is the weighted mean square of the coordinates.
    np.testing.assert_allclose((metric.weight[:, None] * coordinates**2).sum(0), found.eigenvalues, atol=1e-5)


def test_principal_components_are_those_of_the_singular_value_decomposition():
    rows = positive_rows()
    found = exact_factors(rows, metric_of("euclidean", Moments.of(rows)), 3, 1, nothing)
    _, s, v = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    np.testing.assert_allclose(found.eigenvalues, s**2 / len(rows), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.abs((found.vectors.T * v[:3]).sum(1)), 1, atol=1e-4)


def test_correspondence_analysis_is_that_of_the_table_of_residuals():
    rows = positive_rows()
    share = rows.astype(float) / rows.sum(dtype=float)
    r, c = share.sum(1), share.sum(0)
    residual = (share - np.outer(r, c)) / np.sqrt(np.outer(r, c))
    u, s, _ = np.linalg.svd(residual, full_matrices=False)
    metric = metric_of("chi-square", Moments.of(rows))
    found = exact_factors(rows, metric, 4, 1, nothing)
    np.testing.assert_allclose(found.eigenvalues, s**2, atol=1e-6)
    assert found.total == pytest.approx((residual**2).sum(), rel=1e-5)  # chi-square over the total density
    coordinates = coordinates_of(rows, metric, found.vectors, 1, nothing)
    np.testing.assert_allclose(np.abs(coordinates), np.abs(u / np.sqrt(r)[:, None] * s)[:, :4], atol=1e-4)


def test_correspondence_analysis_with_a_large_offset_is_that_of_images_without_their_mean():
    rows = positive_rows() * np.linspace(0.3, 2, 12, dtype=np.float32)
    level = rows - rows.mean(1, keepdims=True)
    plain = exact_factors(level, metric_of("euclidean", Moments.of(level)), 3, 1, nothing).vectors

    def likeness(offset: float) -> float:
        metric = metric_of("chi-square", Moments.of(rows), offset)
        found = exact_factors(rows, metric, 3, 1, nothing).vectors
        return float(np.linalg.norm(plain.T @ found) ** 2 / 3)

    assert likeness(0.0) < 0.95  # the metric matters
    assert likeness(300.0) > 0.999  # and does no more


def test_the_subspace_iteration_finds_the_factors_of_the_covariance():
    rng = np.random.default_rng(3)
    rows = (
        rng.normal(size=(300, 4)) * [6, 5, 4, 3] @ rng.normal(size=(4, 80)) / 9 + rng.normal(size=(300, 80))
    ).astype(np.float32)
    metric = metric_of("euclidean", Moments.of(rows))
    exact, basis = exact_factors(rows, metric, 4, 1, nothing), random_start(80, 300, 4, 0)
    for _ in range(6):
        basis, found = subspace_pass(rows, metric, basis, 4, 1, nothing)
        assert (found.eigenvalues <= exact.eigenvalues[:4] * (1 + 1e-5)).all()
    np.testing.assert_allclose(found.eigenvalues, exact.eigenvalues[:4], rtol=1e-4)
    np.testing.assert_allclose(np.abs((found.vectors * exact.vectors).sum(0)), 1, atol=1e-3)
    assert found.total == pytest.approx(exact.total, rel=1e-5)


def test_an_offset_that_leaves_negative_pixels_is_refused_with_the_value_that_would_do():
    rows = positive_rows() - 1.5
    with pytest.raises(ValueError, match=r"offset: expected at least 1\.\d+, since the smallest pixel is -1\.\d+"):
        metric_of("chi-square", Moments.of(rows), 1.0)
    needed = -float(rows.min())
    assert metric_of("chi-square", Moments.of(rows)).offset == pytest.approx(needed)


# --- noise


@pytest.mark.parametrize("ratio", [0.1, 1.0, 4.0])
def test_the_edge_of_white_noise_is_that_of_marchenko_and_pastur(ratio):
    found = noise_edge(np.full(500, 3.0), 400, round(400 * ratio))
    assert found.edge == pytest.approx(3 * (1 + np.sqrt(ratio)) ** 2, rel=1e-6)


@pytest.mark.parametrize("population", [np.ones(100), np.linspace(0, 3, 100), 1 / (1 + np.arange(100) / 10)])
def test_the_largest_eigenvalue_of_noise_is_at_the_edge(population):
    found, tops = noise_edge(population, 300, 100), []
    for seed in range(30):
        x = np.random.default_rng(seed).normal(size=(300, 100)) * np.sqrt(population)
        tops.append(np.linalg.eigvalsh(x.T @ x / 300)[-1])
    spread = (found.limit - found.edge) / 3.272  # the law of Tracy and Widom has the mean -1.2065
    assert np.mean(tops) == pytest.approx(found.edge - 1.2065 * spread, rel=0.03)
    assert max(tops) < found.limit


def test_shells_hold_the_variance_of_noise_and_of_directions_in_it():
    rng = np.random.default_rng(0)
    axis = np.arange(16) - 8
    mask = np.hypot(axis[:, None], axis[None, :]) <= 6
    rows = 2 * rng.normal(size=(4000, mask.sum()))
    spectrum = shell_power(rows, mask).mean(0)
    np.testing.assert_allclose(spectrum, 4, rtol=0.1)
    vectors = np.linalg.qr(rng.normal(size=(mask.sum(), 3)))[0]
    np.testing.assert_allclose(noise_along(vectors, np.full(len(spectrum), 4.0), mask), 4, rtol=1e-5)


def test_the_variance_of_a_factor_is_split_into_signal_and_noise():
    rng, signals = np.random.default_rng(0), []
    for _ in range(20):
        x = rng.normal(size=(400, 200))
        score = 2.0 * rng.normal(size=400)
        x[:, 0] += score
        values, vectors = np.linalg.eigh(x.T @ x / 400)
        signal, noise = split_variance(values[-1:], np.ones(1), 0.5)
        assert signal[0] + noise[0] == pytest.approx(values[-1])
        signals.append((signal[0], 4 * vectors[0, -1] ** 2))
    assert np.mean(signals, 0)[0] == pytest.approx(np.mean(signals, 0)[1], rel=0.05)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("coloured", [False, True])
def test_noise_has_no_significant_factor(metric, coloured):
    images = torch.from_numpy(np.random.default_rng(5).normal(size=(300, 20, 20))).float()
    images = colour_noise(images, coloured_noise_power(20, 5.0)) if coloured else images
    found = msa(particles(images.numpy()), metric=metric, factors=6, whiten=False)
    assert (found.significant, len(found.averages), found.found_signal) == (0, 1, False)
    assert "Nothing was found" in found.messages[0]
    assert found.label.max() == 0


# --- classes


def test_the_tree_is_that_of_scipy_and_counts_weights_as_copies():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(30, 3))
    tree, leaf = ward(points, 0)
    np.testing.assert_allclose(tree, linkage(points, "ward"), atol=1e-10)
    np.testing.assert_array_equal(leaf, np.arange(30))
    weight = rng.integers(1, 4, 30)
    copies = linkage(np.repeat(points, weight, axis=0), "ward")
    np.testing.assert_allclose(_tree(points, weight)[:, 2], copies[-29:, 2], atol=1e-10)


def test_the_upper_tree_has_the_last_joins_and_the_branch_of_every_point():
    points = np.random.default_rng(2).normal(size=(40, 2))
    tree, leaf = ward(points, 0)
    upper, branch = upper_tree(tree, leaf, 5)
    np.testing.assert_array_equal(upper[:, 2], tree[-4:, 2])
    assert agreement(branch, ward_labels(tree, leaf, 5)) == 1
    assert upper_tree(tree, leaf, 100)[0].shape == tree.shape
    assert upper_tree(tree, leaf, 1)[0].shape == (0, 4)


@pytest.mark.parametrize("blobs", [1, 2, 5])
def test_the_number_of_balls_of_noise_is_found(blobs):
    rng = np.random.default_rng(blobs)
    truth = rng.integers(0, blobs, 600)
    points = 6.0 * np.eye(5, 4)[truth] + rng.normal(size=(600, 4))
    tree, leaf = ward(points, 0)
    count, _ = choose_classes(points, tree, leaf, 0)
    assert count == blobs
    assert agreement(kmeans(points, count, 0)[0], truth) > 0.95


def test_points_that_coincide_make_no_more_classes_than_there_are():
    label, centres = kmeans(np.repeat([[0.0, 1.0], [2.0, 3.0]], 10, axis=0), 5, 0)
    assert len(centres) == 2
    assert np.bincount(label).tolist() == [10, 10]


def test_unrelated_classifications_do_not_agree():
    rng = np.random.default_rng(0)
    assert abs(agreement(rng.integers(0, 4, 2000), rng.integers(0, 4, 2000))) < 0.02


# --- the demonstrations


@pytest.mark.parametrize("metric", METRICS)
def test_eight_faces_come_apart_by_themselves(metric):
    images, kind = some_faces(1, 700, 32, 0.4)
    found = msa(particles(images), metric=metric, factors=8)
    assert len(found.averages) == 8  # nobody said so
    assert wrong_share(found.kmeans_label, kind) <= 0.01
    assert wrong_share(found.ward_label, kind) <= 0.02
    assert 3 <= found.significant <= 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_eight_faces_at_a_signal_to_noise_ratio_of_a_tenth(seed):
    images, kind = some_faces(seed, 2000, 64, 0.1)
    found = msa(particles(images))
    assert len(found.averages) == 8
    assert wrong_share(found.kmeans_label, kind) <= 0.01
    assert wrong_share(found.ward_label, kind) <= 0.015


def test_the_error_of_normalisation_is_no_factor_and_cuts_no_class():
    """Many images: what normalisation adds to all pixels alike would be a factor, along which every face is cut."""
    images, kind = some_faces(5, 5000, 32, 0.3)
    prepared = prepare_msa(particles(images), MSA(factors=8))
    found = msa(particles(images), factors=8)
    assert found.significant == 3
    assert len(found.averages) == 8
    assert wrong_share(found.label, kind) <= 0.02
    assert prepared.images.shared is not None
    uneven = replace(prepared.images, shared=None)
    level = np.ones(uneven.pixels) / np.sqrt(uneven.pixels)
    noise, _ = prepared.preparation.clean(torch.randn(2000, 32, 32, generator=torch.Generator().manual_seed(1)))
    rows = [of.aligned(noise, Alignments.unknown(2000)) for of in (uneven, prepared.images)]
    before, after = (float((r @ level).var() / r.var(0).mean()) for r in rows)
    assert before == pytest.approx(1 + uneven.pixels / (32**2 - uneven.pixels), rel=0.15)
    assert after == pytest.approx(1, rel=0.15)


def test_the_variable_parts_of_the_ring_are_the_first_eigenimages():
    rng = np.random.default_rng(4)
    parts = (rng.random((700, 3)) < 0.5).astype(float)
    found = msa(particles(with_white_noise(ring_images(32, parts), 1.0, seed=4)), factors=8)
    alone = ring_images(32, np.eye(3)) - ring_images(32, np.zeros((1, 3)))
    eigenimages = found.eigenimages[:3][:, found.mask]
    for part in alone[:, found.mask]:
        unit = part / np.linalg.norm(part)
        assert ((eigenimages @ unit) ** 2).sum() > 0.9  # within their span, but for noise
    assert 3 <= found.significant <= 4
    code = (parts @ [1, 2, 4]).astype(int)
    assert wrong_share(found.label, code) < 0.02
    walked = [found.average + s * np.sqrt(found.signal_variance[0]) * found.eigenimages[0] for s in (-1, 1)]
    ends = ring_images(32, np.stack([parts[found.coordinates[:, 0] * s > 0].mean(0) for s in (-1, 1)]))
    change = (walked[1] - walked[0])[found.mask], (ends[1] - ends[0])[found.mask]
    assert np.corrcoef(*change)[0, 1] > 0.9


def test_errors_of_alignment_are_factors_and_are_called_so():
    rng = np.random.default_rng(2)
    shift = rng.normal(0, 0.7, (500, 2))
    images = with_white_noise(face_images(32, np.zeros(500, int), origin_px=shift), 1.0, seed=2)
    found = msa(particles(images), factors=6)
    assert found.significant >= 2
    assert (found.likeness[:2, 0] > 0.7).all()
    other = msa(particles(some_faces(1, 500, 32, 1.0)[0]), factors=6)
    assert (other.likeness[:3, 0] < 0.1).all()


def test_images_are_brought_into_their_frame():
    rng = np.random.default_rng(6)
    kind, psi = rng.integers(0, 2, 300), rng.uniform(-180, 180, 300)
    origin = rng.normal(0, 1.5, (300, 2))
    images = with_white_noise(face_images(32, kind, psi_deg=psi, origin_px=origin), 1.0, seed=6)
    posed = replace(Alignments.unknown(300), psi_rad=np.deg2rad(psi), origin_A=PIXEL_A * origin)
    found = msa(particles(images), alignments=posed, factors=5, classes=2)
    assert wrong_share(found.label, kind) == 0
    as_they_stand = msa(particles(images), factors=5, classes=2)
    assert wrong_share(as_they_stand.label, kind) > 0.2


def test_phases_are_flipped_once():
    n, count = 24, 12
    images = np.random.default_rng(7).normal(size=(count, n, n)).astype(np.float32)
    ones = np.ones(count)
    ctf = CTFParameters(
        defocus_u_A=15000 * ones, defocus_v_A=15000 * ones, defocus_angle_deg=0 * ones, voltage_kV=300 * ones,
        cs_mm=2.7 * ones, amplitude_contrast=0.1 * ones, phase_shift_deg=0 * ones, b_factor_A2=0 * ones,
    )  # fmt: skip
    given = ArrayParticles(images=images, pixel_size_A=PIXEL_A, ctf=ctf)
    run = prepare_msa(given, MSA(factors=3, whiten=False, normalise=False))
    sign = torch.sign(ctf_2d(ctf, n, PIXEL_A))
    expected = centred_irfft2(centred_rfft2(torch.from_numpy(images)) * sign, n).numpy()
    np.testing.assert_allclose(run.rows, expected[:, run.mask], atol=1e-4)
    already = replace(ctf, premultiplied=ones)
    run = prepare_msa(replace(given, ctf=already), MSA(factors=3, whiten=False, normalise=False))
    np.testing.assert_allclose(run.rows, images[:, run.mask], atol=1e-5)


# --- bad input


def small(count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 20, 20)).astype(np.float32)


def test_a_mask_that_covers_nothing_is_refused():
    with pytest.raises(ValueError, match=r"mask: covers nothing: 0 pixels above 0\.5"):
        prepare_msa(particles(small()), MSA(factors=3), mask=np.zeros((20, 20)))
    with pytest.raises(ValueError, match=r"mask: expected 20 x 20 pixels .* found \(8, 8\)"):
        prepare_msa(particles(small()), MSA(factors=3), mask=np.ones((8, 8)))


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="4 usable particles are too few"):
        prepare_msa(particles(small(4)), MSA())
    with pytest.raises(ValueError, match="factors: 20 factors need more than 20 images, found 15"):
        prepare_msa(particles(small(15)), MSA())
    with pytest.raises(ValueError, match="classes: expected at most 15"):
        prepare_msa(particles(small(15)), MSA(factors=3, classes=16))


@pytest.mark.parametrize("metric", METRICS)
def test_identical_images_are_one_class(metric):
    found = msa(particles(np.repeat(small(1), 30, axis=0)), metric=metric, factors=3)
    assert (found.significant, len(found.averages)) == (0, 1)
    assert found.messages[0].startswith("All 30 images are the same")


def test_images_without_contrast_are_left_out():
    images = small()
    images[[3, 17]] = 2.5
    images[5, 0, 0] = np.nan
    found = msa(particles(images), factors=3)
    assert np.flatnonzero(found.label < 0).tolist() == [3, 5, 17]
    assert np.isnan(found.coordinates[[3, 5, 17]]).all()
    assert np.isfinite(found.coordinates[found.label >= 0]).all()
    with pytest.raises(ValueError, match="0 usable particles"):
        msa(particles(np.ones((30, 20, 20))), factors=3)


def test_images_without_background_noise_are_not_whitened():
    clean = face_images(32, np.arange(40) % 8)
    found = prepare_msa(particles(clean), MSA(factors=3, normalise=False))
    assert "the background has no noise: images are not whitened" in found.warnings
    result = msa(
        particles(clean + 1e-4 * np.random.default_rng(0).normal(size=clean.shape)), factors=7, normalise=False
    )
    assert wrong_share(result.label, np.arange(40) % 8) == 0


def test_an_offset_belongs_to_correspondence_analysis():
    with pytest.raises(ValueError, match="offset: expected nothing"):
        MSA(offset=3.0)
    with pytest.raises(ValueError, match="offset: expected at least"):
        msa(particles(small()), metric="chi-square", offset=0.1, factors=3)
