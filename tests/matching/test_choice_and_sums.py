"""Choices, accumulated sums and the pruned search."""

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pytest
import torch
from scenes import Scene, log_prior, make_scene, whole

from vitreous.matching import (
    Alignments,
    Chosen,
    DenseSums,
    PoseGrid,
    Rows,
    SearchPlan,
    Sums,
    accumulate_at,
    best,
    best_rows,
    class_posteriors,
    disc_grid,
    expect,
    find_rows,
    merge_sums,
    plan_search,
    row_maxima,
    search_tiles,
    soft,
    stochastic,
    tile_sums,
)
from vitreous.testing import polar_points, twin_posterior, twin_signal

N_ANGLES = 96


@lru_cache
def posterior_scene(astigmatism_A: float | None) -> tuple[Scene, PoseGrid, np.ndarray]:
    """A scene noisy enough for a spread posterior, its grid and the twin's log posteriors (n, K, S, n_psi)."""
    scene = make_scene(astigmatism_A=astigmatism_A, noise_sd=3.0, seed=2)
    grid = PoseGrid.for_rings(scene.basis, scene.basis.rings, 1.0)
    return scene, grid, scene.twin(grid, N_ANGLES) + log_prior(grid, np.zeros(3))


def rows_of(scene: Scene, grid: PoseGrid, keep: float = 1e9) -> Rows:
    return best_rows(scene.tile, whole(scene.make_references(grid)), keep)


def summed(scene: Scene, grid: PoseGrid, rows: Rows, chosen: Chosen, **options) -> Sums:
    sums = DenseSums(3, grid.rings, grid.harmonics)
    sums.add(tile_sums(scene.tile, grid, rows, chosen, 3, **options))
    return sums.sums


def dense(rows: Rows, weight: torch.Tensor, shape: tuple[int, ...]) -> np.ndarray:
    out = torch.zeros(shape)
    out[rows.image, rows.reference, rows.shift] = weight
    return out.numpy()


@pytest.mark.parametrize("sharpness", [1.0, 2.5])
@pytest.mark.parametrize("astigmatism_A", [None, 1500.0])
def test_soft_is_the_posterior(astigmatism_A, sharpness):
    scene, grid, twin = posterior_scene(astigmatism_A)
    rows = rows_of(scene, grid)
    chosen = soft(rows, len(twin), sharpness)
    weights, evidence = twin_posterior(twin, np.zeros(1), sharpness)
    assert 0.001 < weights.max() < 0.9  # a posterior with something to get wrong
    np.testing.assert_allclose(dense(rows, chosen.weight, twin.shape), weights, atol=2e-5)
    np.testing.assert_allclose(chosen.log_evidence.numpy(), evidence, atol=1e-3)
    total = torch.zeros(len(twin)).index_add_(0, rows.image, chosen.weight.sum(1))
    torch.testing.assert_close(total, torch.ones(len(twin)), atol=1e-5, rtol=0)


def test_pruning_drops_less_than_it_promises():
    scene, grid, twin = posterior_scene(None)
    keep = 1.5
    rows = rows_of(scene, grid, keep)
    kept = dense(rows, torch.ones_like(rows.log_weight), twin.shape) > 0
    close = twin >= twin.max((1, 2, 3), keepdims=True) - keep
    assert (kept | ~close).all()
    assert not kept.all()
    assert (kept.any(3) == close.any(3)).all()  # and no row more


def test_best_is_the_argmax():
    scene, grid, twin = posterior_scene(1500.0)
    rows = rows_of(scene, grid)
    chosen = best(rows, len(twin))
    weights = dense(rows, chosen.weight, twin.shape)
    assert (weights.reshape(len(twin), -1).argmax(1) == twin.reshape(len(twin), -1).argmax(1)).all()
    assert (weights.sum((1, 2, 3)) == 1).all()
    np.testing.assert_allclose(chosen.log_evidence, twin_posterior(twin, np.zeros(1))[1], atol=1e-3)


def test_best_takes_the_first_of_equals():
    rows = Rows(
        image=torch.tensor([0, 0, 1]),
        reference=torch.tensor([0, 1, 0]),
        shift=torch.tensor([0, 0, 0]),
        log_weight=torch.tensor([[1.0, 5.0], [5.0, 5.0], [2.0, 2.0]]),
    )
    assert best(rows, 2).weight.tolist() == [[0, 1], [0, 0], [1, 0]]


def test_stochastic_draws_from_the_posterior():
    """Frequencies of 20,000 draws from four hypotheses: within five standard errors."""
    probability = torch.tensor([[0.5, 0.2], [0.05, 0.25]])
    n = 20000
    rows = Rows(
        image=torch.arange(n).repeat_interleave(2),
        reference=torch.tensor([0, 1]).repeat(n),
        shift=torch.zeros(2 * n, dtype=torch.long),
        log_weight=probability.log().repeat(n, 1) + 3.0,
    )
    chosen = stochastic(rows, n, torch.Generator().manual_seed(0))
    weight = chosen.weight.reshape(n, 2, 2)
    assert (weight.sum((1, 2)) == 1).all()
    error = (probability * (1 - probability) / n).sqrt()
    assert ((weight.mean(0) - probability).abs() < 5 * error).all()
    torch.testing.assert_close(chosen.log_evidence, torch.full((n,), 3.0), atol=1e-5, rtol=0)
    again = stochastic(rows, n, torch.Generator().manual_seed(0))
    assert torch.equal(chosen.weight, again.weight)


@pytest.mark.parametrize("astigmatism_A", [None, 0.0, 1500.0])
def test_sums_equal_the_twin(astigmatism_A):
    scene, grid, twin = posterior_scene(astigmatism_A)
    rows = rows_of(scene, grid)
    chosen = soft(rows, len(twin))
    sums = summed(scene, grid, rows, chosen)
    weights, _ = twin_posterior(twin, np.zeros(1))
    signal, power = _twin_sums(scene, grid, weights)
    scale = np.abs(signal).max()
    # Images of a shifted disc reach beyond the last harmonic of a ring: that little is cut off.
    assert np.abs(sums.signal.numpy() - signal).max() < 1e-3 * scale
    np.testing.assert_allclose(sums.power.numpy(), power, rtol=1e-3)
    posterior = weights.sum((2, 3))
    np.testing.assert_allclose(sums.members, posterior.sum(0), rtol=1e-4)
    np.testing.assert_allclose(sums.square_members, (posterior**2).sum(0), rtol=1e-4)
    distance = (grid.shifts_px.numpy() ** 2).sum(1)
    np.testing.assert_allclose(sums.offset_square_px2, weights.sum((0, 3)) @ distance, rtol=1e-4)
    chunked = summed(scene, grid, rows, chosen, chunk_bytes=1)
    torch.testing.assert_close(chunked.signal, sums.signal, rtol=1e-4, atol=1e-4 * scale)


def _twin_sums(scene: Scene, grid: PoseGrid, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The twin's sums as ring harmonics (K, R, Q) and ring means of the power."""
    signal, power = twin_signal(
        scene.images * scene.basis.mask,
        weights,
        polar_points(scene.basis, N_ANGLES),
        grid.psi.numpy().astype(float),
        grid.shifts_px.numpy().astype(float),
        scene.noise_power,
        ctf=scene.ctf,
        pixel_size_A=4.0,
    )
    on_rings = signal.reshape(len(signal), grid.rings, N_ANGLES)
    harmonics = np.fft.rfft(on_rings.real + on_rings.imag, norm="forward")[:, :, : grid.harmonics]
    return harmonics * scene.basis.used.numpy(), power.reshape(len(power), grid.rings, N_ANGLES).mean(2)


@pytest.mark.parametrize("astigmatism_A", [None, 1500.0])
def test_accumulation_is_the_transposed_product_of_the_score(astigmatism_A):
    """sum gamma <x, shifted and turned a> = <sum of turned back and shifted back x, a>, for any weights gamma."""
    scene, grid, twin = posterior_scene(astigmatism_A)
    references = scene.make_references(grid)
    rows = rows_of(scene, grid)
    gamma = torch.rand(rows.log_weight.shape, generator=torch.Generator().manual_seed(1))
    norm = _norm_at_all_rotations(scene, references, grid)
    products = rows.log_weight - references.log_prior[rows.reference, rows.shift][:, None]
    products = products + norm[rows.image, rows.reference]
    left = float((gamma * products).double().sum())
    chosen = soft(rows, len(twin))
    weighted = type(chosen)(weight=gamma, log_evidence=chosen.log_evidence)
    sums = summed(scene, grid, rows, weighted)
    m, w = scene.basis.multiplicity, scene.basis.ring_weight[:, None]
    right = float(((sums.signal.conj() * scene.reference_harmonics()).real * m * w).double().sum())
    assert left == pytest.approx(right, rel=1e-4)


def _norm_at_all_rotations(scene: Scene, references, grid: PoseGrid) -> torch.Tensor:
    """1/2 sum_r w mean_theta C^2 |A(theta + psi)|^2 / sigma^2: (n, K, n_psi), from its harmonics."""
    p = torch.arange(references.power.shape[2]) * 2
    c = 0.5 * torch.einsum("nrh,krh->nkh", scene.tile.ctf_power.conj(), references.power)
    wave = torch.exp(1j * p[:, None] * grid.psi) * torch.where(p == 0, 1.0, 2.0)[:, None]
    return (c @ wave.to(c.dtype)).real


def test_sums_of_batches_merge_into_those_of_all():
    scene, grid, twin = posterior_scene(1500.0)
    references, n = scene.make_references(grid), len(twin)

    def add(sums, index):
        tile = scene.tile.take(index)
        rows = best_rows(tile, whole(references), 1e9)
        sums.add(tile_sums(tile, grid, rows, soft(rows, len(tile)), 3))
        return sums

    def empty():
        return DenseSums(3, grid.rings, grid.harmonics)

    all_at_once = add(empty(), torch.arange(n)).sums
    merged = merge_sums(add(empty(), torch.arange(1)).sums, add(empty(), torch.arange(1, n)).sums)
    onwards = add(add(empty(), torch.arange(1)), torch.arange(1, n)).sums
    for other in (merged, onwards):
        for name in Sums.__dataclass_fields__:
            a, b = getattr(all_at_once, name), getattr(other, name)
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(a.abs().max()))


def test_class_posteriors_sum_the_hypotheses_of_a_class():
    scene, grid, twin = posterior_scene(None)
    rows = rows_of(scene, grid)
    touched, posterior = class_posteriors(rows, soft(rows, len(twin)), len(twin), 3)
    assert touched.tolist() == [0, 1, 2]
    np.testing.assert_allclose(posterior, twin_posterior(twin, np.zeros(1))[0].sum((2, 3)), atol=1e-4)


@pytest.mark.parametrize("astigmatism_A", [None, 1500.0])
def test_the_pruned_search_finds_the_best_hypothesis(astigmatism_A):
    scene = make_scene(box_px=32, rings=10, n=24, n_references=8, noise_sd=1.0, astigmatism_A=astigmatism_A, seed=5)
    fine = PoseGrid.for_rings(scene.basis, 10, 2.0)
    plan = plan_search(fine, 2.0)
    assert plan.coarse is not None
    assert plan.coarse.rings < fine.rings
    references = plan.references(
        scene.reference_harmonics(),
        ctf_harmonics=scene.particles.ctf_harmonics,
        log_class_prior=torch.zeros(8),
        offset_sd_px=1.0,
    )
    (found,) = find_rows([scene.tile], plan, plan.blocks(references, 24))
    everything = best_rows(scene.tile, whole(references[1]), plan.keep)
    full, some = ({_key(r): i for i, r in enumerate(_triples(x))} for x in (everything, found))
    assert set(some) <= set(full)
    weight = soft(everything, 24).weight.sum(1)
    lost = float(weight[[i for key, i in full.items() if key not in some]].sum()) / 24
    assert lost < 0.02
    for image in range(24):
        tops = [r.log_weight[r.image == image].max() for r in (found, everything)]
        assert float(tops[0]) == pytest.approx(float(tops[1]), abs=1e-3)
    assert (found.image.diff() >= 0).all()


def _triples(rows: Rows):
    return zip(rows.image.tolist(), rows.reference.tolist(), rows.shift.tolist(), strict=True)


def _key(triple):
    return tuple(triple)


def test_few_rings_are_searched_exhaustively():
    scene, grid, _ = posterior_scene(None)
    plan = plan_search(grid, 1.0, keep=5.0)
    assert plan.coarse is None
    references = plan.references(
        scene.reference_harmonics(), ctf_harmonics=1, log_class_prior=torch.zeros(3), offset_sd_px=1.3
    )
    (a,), b = (
        find_rows([scene.tile], plan, plan.blocks(references, 4)),
        best_rows(scene.tile, whole(references[1]), 5.0),
    )
    assert torch.equal(a.log_weight, b.log_weight)


@pytest.mark.parametrize("in_two_passes", [False, True])
def test_contenders_are_the_references_that_were_close(in_two_passes):
    scene = make_scene(box_px=32, rings=10, n=24, n_references=8, noise_sd=1.0, seed=5)
    plan = replace(plan_search(PoseGrid.for_rings(scene.basis, 10, 2.0), 2.0), contend=8.0)
    assert plan.coarse is not None
    plan = plan if in_two_passes else replace(plan, coarse=None)
    references = plan.references(
        scene.reference_harmonics(), ctf_harmonics=1, log_class_prior=torch.zeros(8), offset_sd_px=1.0
    )
    (found,) = search_tiles([scene.tile], plan, plan.blocks(references, 24))
    highest = row_maxima(scene.tile, whole(references[1])).amax(2)
    close = highest >= (highest.amax(1) - 8.0)[:, None]
    if in_two_passes:  # the coarse pass only bounds them; all that may win are among them
        assert found.contenders[torch.arange(24), highest.argmax(1)].all()
    else:
        assert torch.equal(found.contenders, close)
    assert 24 < int(found.contenders.sum()) < 24 * 8
    # A pass that meets contenders only finds what the pass over everything found of them.
    (again,) = search_tiles(
        [scene.tile], replace(plan, coarse=None, contend=None), plan.blocks((None, references[1]), 24),
        allowed=[found.contenders],
    )  # fmt: skip
    assert again.contenders is None
    torch.testing.assert_close(again.best, found.best, atol=1e-3, rtol=0)


@pytest.mark.parametrize("choice", [soft, best])
def test_a_batch_is_scored_chosen_and_accumulated_whatever_its_tiles(choice):
    scene, grid, twin = posterior_scene(1500.0)
    plan = SearchPlan(fine=grid, keep=1e9)
    references = (None, scene.make_references(grid))
    noise = torch.from_numpy(scene.noise_power).float()[None]
    index = np.array([2, 0, 3, 1])
    run = partial(expect, scene.particles, index, plan, references, noise, choice=choice)
    (sums, outcome), (tiled, same) = run(), run(tile=1)
    for name in sums.__dataclass_fields__:
        a, b = getattr(sums, name), getattr(tiled, name)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(a.abs().max()))
    twin = twin[index]
    weights, evidence = twin_posterior(twin, np.zeros(1))
    k, s, j = np.unravel_index(twin.reshape(4, -1).argmax(1), twin.shape[1:])
    for found in (outcome, same):
        np.testing.assert_array_equal(found.reference, k)
        np.testing.assert_allclose(found.psi_rad, grid.psi.numpy()[j])
        np.testing.assert_allclose(found.shift_px, grid.shifts_px.numpy()[s])
        np.testing.assert_allclose(found.log_evidence, evidence, atol=1e-3)
    if choice is soft:
        posterior = weights.sum((2, 3))
        np.testing.assert_allclose(outcome.max_probability, weights.max((1, 2, 3)), atol=1e-4)
        np.testing.assert_allclose(outcome.class_probability, posterior[np.arange(4), k], atol=1e-4)
        np.testing.assert_allclose(outcome.entropy, -(posterior * np.log(posterior)).sum(1), atol=1e-3)
        # Single precision may count a score within 1e-3 of the margin of 10 nats to either side; the others it may not.
        behind = twin.max((1, 2, 3), keepdims=True) - twin
        least, most = ((behind <= 10 + band).sum((1, 2, 3)) for band in (-1e-3, 1e-3))
        assert ((least <= outcome.significant) & (outcome.significant <= most)).all()
        assert least.min() > 5
        assert (most - least).max() <= 1


def test_fixed_poses_are_accumulated_like_a_posterior_that_is_sure():
    scene, grid, _ = posterior_scene(1500.0)
    reference, turn = np.array([0, 2, 2, 1]), np.array([3, 0, 17, 9])
    noise = torch.from_numpy(scene.noise_power).float()[None]
    psi = grid.psi.numpy()[turn].astype(float)
    poses = Alignments.from_shifts(np.arange(4), reference, psi, np.zeros((4, 2)))
    sums = accumulate_at(scene.particles, poses, 3, noise)
    weight = torch.zeros(4, grid.n_psi)
    weight[torch.arange(4), torch.from_numpy(turn)] = 1
    rows = Rows(
        image=torch.arange(4), reference=torch.from_numpy(reference), shift=torch.zeros(4).long(), log_weight=weight
    )
    still = PoseGrid(basis=grid.basis, n_psi=grid.n_psi, shifts_px=disc_grid(1.0, 0.0))
    chosen = type(best(rows, 4))(weight=weight, log_evidence=torch.zeros(4))
    expected = summed(scene, still, rows, chosen)
    for name in sums.__dataclass_fields__:
        a, b = getattr(expected, name), getattr(sums, name)
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max()) + 1e-9)
