"""The score, its maxima and its rows against sums over points in Fourier space."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from scenes import PIXEL_A, Scene, log_prior, make_scene, whole

from vitreous.matching import PoseGrid, RingBasis, best_rows, make_references, row_maxima
from vitreous.matching.score import reference_norms
from vitreous.testing import cartesian_points, fourier_at, polar_points, twin_ctf, twin_posterior, twin_scores

CASES = {
    "no-ctf": {},
    "round-ctf": {"astigmatism_A": 0.0},
    "astigmatic": {"astigmatism_A": 1500.0},
    "very-astigmatic": {"astigmatism_A": 6000.0, "rings": 7},
    "odd-box": {"box_px": 25, "astigmatism_A": 1500.0, "n": 5, "n_references": 2},
}
CLASS_PRIOR = {k: np.log(np.arange(1, k + 1) / (k * (k + 1) / 2)) for k in (2, 3)}


@lru_cache
def scene_with_twin(name: str) -> tuple[Scene, PoseGrid, np.ndarray]:
    """(scene, critical grid, twin of log posterior + evidence with priors (n, K, S, n_psi))."""
    scene = make_scene(**CASES[name])
    grid = PoseGrid.for_rings(scene.basis, scene.basis.rings, 1.0)
    return scene, grid, scene.twin(grid, 96) + log_prior(grid, CLASS_PRIOR[len(scene.references)])


def prepared_references(scene: Scene, grid: PoseGrid):
    return scene.make_references(grid, torch.from_numpy(CLASS_PRIOR[len(scene.references)]).float())


@pytest.mark.parametrize("name", CASES)
def test_every_score_equals_the_twin(name):
    """float32 sums of a few hundred products: 2e-6 of the largest score."""
    scene, grid, twin = scene_with_twin(name)
    rows = best_rows(scene.tile, whole(prepared_references(scene, grid)), keep=1e9)
    assert torch.equal(rows.image, torch.arange(twin.shape[0]).repeat_interleave(twin.shape[1] * twin.shape[2]))
    found = torch.full(twin.shape, torch.nan)
    found[rows.image, rows.reference, rows.shift] = rows.log_weight
    assert np.abs(found.numpy() - twin).max() < 4e-6 * np.abs(twin).max()


@pytest.mark.parametrize("name", CASES)
def test_row_maxima_equal_the_twin(name):
    scene, grid, twin = scene_with_twin(name)
    found = row_maxima(scene.tile, whole(prepared_references(scene, grid))).numpy()
    assert np.abs(found - twin.max(3)).max() < 4e-6 * np.abs(twin).max()


@pytest.mark.parametrize("tile_scores", [1, 300, 2000, 1 << 19])
@pytest.mark.parametrize("name", ["no-ctf", "odd-box"])
def test_tiling_changes_nothing(name, tile_scores):
    scene, grid, twin = scene_with_twin(name)
    references = prepared_references(scene, grid)
    block = whole(references, len(twin), tile_scores=tile_scores)
    maxima = row_maxima(scene.tile, block, tile_scores=tile_scores)
    torch.testing.assert_close(maxima, row_maxima(scene.tile, whole(references)), atol=1e-3, rtol=0)
    keep = 12.0
    rows = best_rows(scene.tile, block, keep, tile_scores=tile_scores)
    expected = set(zip(*np.nonzero(twin.max(3) >= twin.max((1, 2, 3))[:, None, None] - keep), strict=True))
    assert set(zip(*(t.tolist() for t in (rows.image, rows.reference, rows.shift)), strict=True)) == expected
    picked = twin[rows.image, rows.reference, rows.shift]
    np.testing.assert_allclose(rows.log_weight.numpy(), picked, atol=1e-3)
    assert (rows.image.diff() >= 0).all()


def test_a_known_score_spares_rows_that_cannot_matter():
    scene, grid, twin = scene_with_twin("no-ctf")
    references = prepared_references(scene, grid)
    best = torch.from_numpy(twin.max((1, 2, 3))).float()
    one = whole(references).single(1)
    rows = best_rows(scene.tile, one, 10.0, known=best)
    reached = twin[:, 1].max(2) >= twin.max((1, 2, 3))[:, None] - 10.0
    assert len(rows.image) == reached.sum()
    assert len(best_rows(scene.tile, one, 10.0).image) > reached.sum()


@pytest.mark.parametrize("name", ["no-ctf", "astigmatic"])
def test_the_norm_term_is_half_the_energy_of_the_reference(name):
    scene, grid, _ = scene_with_twin(name)
    points = polar_points(scene.basis, 96)
    energy = np.empty((len(scene.images), len(scene.references)))
    for i in range(len(energy)):
        c2 = np.stack([twin_ctf(scene.ctf, i, *(points.k.T / PIXEL_A))]) ** 2
        # Averaged over rotations, C^2 and |A|^2 meet ring by ring with their means.
        a2 = np.abs(fourier_at(scene.references * scene.basis.mask, points.k)) ** 2
        c2_ring, a2_ring = (v.reshape(len(v), -1, 96).mean(2) for v in (c2, a2))
        ring = points.weight.reshape(-1, 96).sum(1) / scene.noise_power
        energy[i] = (c2_ring * a2_ring * ring).sum(1)
    image, reference = (torch.from_numpy(x.ravel()) for x in np.indices(energy.shape))
    norms = reference_norms(scene.tile, prepared_references(scene, grid), image, reference)
    np.testing.assert_allclose(norms.numpy(), energy.ravel() / 2, rtol=1e-4)


def test_priors_sum_to_one_over_all_hypotheses():
    scene, grid, _ = scene_with_twin("no-ctf")
    prior = prepared_references(scene, grid).log_prior
    assert float(prior.exp().sum() * grid.n_psi) == pytest.approx(1, abs=1e-5)
    flat = make_references(
        grid,
        scene.reference_harmonics(),
        ctf_harmonics=1,
        log_class_prior=torch.zeros(3),
        offset_sd_px=float("inf"),
    )
    assert float(flat.log_prior.std()) == 0


def test_astigmatism_of_any_size_fits_a_small_grid():
    """C^2 may vary faster along a ring than the rotations of a coarse grid."""
    scene = make_scene(rings=4, astigmatism_A=1500.0)
    grid = PoseGrid.for_rings(scene.basis, 4, 0.0)
    references = make_references(
        grid,
        scene.reference_harmonics(),
        ctf_harmonics=grid.n_psi,
        log_class_prior=torch.zeros(3),
        offset_sd_px=1.0,
    )
    assert references.power.shape[2] == grid.n_psi
    few = scene.make_references(grid).power
    torch.testing.assert_close(references.power[:, :, : few.shape[2]], few, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("oversampling", "tolerance"), [(1, 0.06), (4, 0.01)])
def test_the_rings_stand_for_the_square_lattice(oversampling, tolerance):
    """Sums over rings against Parseval's sum over Fourier pixels in the same annulus.

    They are two quadratures of one integral. On the pixels of the box itself the annulus begins between the mean and
    the first pixels and ends in a ragged rim, worth a few percent of the score; a lattice four times finer does not
    see the pixels' raggedness, and what remains is the error of the rings themselves.
    """
    scene = make_scene(box_px=32, rings=10, astigmatism_A=1500.0)
    images, references = scene.images * scene.basis.mask, scene.references * scene.basis.mask
    psi, shifts, noise = np.array([0.3, 2.0, 4.4]), np.array([[0, 0], [1.0, -0.5]]), np.full(10, 90.0)

    def scores(points):
        return twin_scores(images, references, points, psi, shifts, noise, ctf=scene.ctf, pixel_size_A=PIXEL_A)

    polar, cartesian = scores(polar_points(scene.basis, 128)), scores(cartesian_points(scene.basis, oversampling))
    assert np.abs(polar - cartesian).max() < tolerance * np.abs(cartesian).max()


def test_the_posterior_twin_is_a_softmax():
    scores = np.log(np.array([1.0, 2.0, 3.0, 4.0])).reshape(1, 2, 1, 2)
    weights, evidence = twin_posterior(scores, np.zeros((2, 1, 1)))
    np.testing.assert_allclose(weights.ravel(), [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(evidence, np.log(10))
    np.testing.assert_allclose(
        twin_posterior(scores, np.zeros((2, 1, 1)), 2.0)[0].ravel(), np.array([1, 4, 9, 16]) / 30
    )


@pytest.mark.parametrize("astigmatism_A", [None, 0.0, 1500.0])
def test_scores_of_white_noise_are_calibrated(astigmatism_A):
    """log p(noise | A) - log p(noise | nothing) has mean -E/2 and variance E, E = sum w C^2 |A|^2 / sigma^2."""
    n, box = 3000, 32
    basis = RingBasis(box_px=box, radius_px=15.0, rings=13)
    rng = np.random.default_rng(5)
    scene = make_scene(box_px=box, rings=13, n=1, n_references=1, astigmatism_A=astigmatism_A)
    points = polar_points(basis, 64)
    sd = 2.0
    noise = sd * rng.normal(size=(n, box, box))
    power = np.full(basis.rings, sd**2 * basis.mask_power)
    # The particle lies well inside the mask: noise in the soft edge is weaker than the white noise of the model.
    reference = 2.0 * scene.references * basis.mask
    a = fourier_at(reference, points.k)[0]
    c = twin_ctf(scene.ctf, 0, *(points.k.T / PIXEL_A))
    weight = points.weight / power[points.ring]
    energy = float((weight * np.abs(c * a) ** 2).sum())
    assert energy > 5
    packed = basis.unpack(basis.expand(torch.from_numpy(noise).float()))
    grid = PoseGrid(basis=basis, n_psi=4 * basis.harmonics, shifts_px=torch.zeros(1, 2))
    ctf = None if scene.ctf is None else scene.ctf.take(np.zeros(n, int))
    tile = _tile(basis, packed, ctf, power)
    harmonics = basis.unpack(basis.expand(torch.from_numpy(2.0 * scene.references).float()))
    references = make_references(
        grid, harmonics, ctf_harmonics=tile.ctf_power.shape[2], log_class_prior=torch.zeros(1), offset_sd_px=1.0
    )
    scores = best_rows(tile, whole(references, n), keep=1e9).log_weight[:, 0].double().numpy() + np.log(grid.n_psi)
    assert scores.mean() == pytest.approx(-energy / 2, abs=4 * np.sqrt(energy / n))
    assert scores.var() == pytest.approx(energy, rel=4 * np.sqrt(2 / n) + 0.02)


def _tile(basis, harmonics, ctf, power):
    from scenes import prepared

    particles = prepared(basis, np.zeros((len(harmonics), basis.box_px, basis.box_px)), ctf)
    particles.packed[:] = basis.pack(harmonics).numpy()
    return particles.tile(np.arange(len(harmonics)), basis.rings, torch.from_numpy(power).float()[None])
