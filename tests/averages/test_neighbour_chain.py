"""Neighbour search: dense twins, invariances, and the ordering of methods on images with known views."""

import math

import numpy as np
import pytest
import torch

from vitreous.averages.neighbours import (
    ImagePosteriors,
    NeighbourLists,
    align_pairs,
    all_triples,
    best_of,
    bispectrum,
    choose_triples,
    diffusion_neighbours,
    exhaustive_candidates,
    exhaustive_neighbours,
    invariant_features,
    likelihood_form,
    mahalanobis_affinity,
    mahalanobis_form,
    mahalanobis_neighbours,
    nearest,
    up_to_order,
    vector_diffusion,
)
from vitreous.randomness import torch_generator

ORDERS = torch.tensor([0] * 4 + [1] * 4 + [2] * 4 + [3] * 3 + [4] * 3 + [5] * 3 + [6] * 2 + [8] * 2)
GROUPS = 3


def normal(n: int, purpose: str, dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    """Coefficients of unit variance, real for order 0."""
    drawn = torch.randn(n, len(ORDERS), dtype=dtype, generator=torch_generator(7, purpose))
    return torch.where(ORDERS == 0, math.sqrt(2) * drawn.real + 0j, drawn)


def sizes() -> list[int]:
    return torch.unique_consecutive(ORDERS, return_counts=True)[1].tolist()


def simulate(n: int, views: int, signal: float, dtype: torch.dtype = torch.complex64):
    """Turned and mirrored copies of random views seen through group matrices: posteriors, view, psi, mirrored."""
    variances = signal / (1.0 + 0.3 * torch.arange(len(ORDERS), dtype=torch.float64) % 3)
    view = torch.arange(n) % views
    rng = torch_generator(8, "poses")
    psi, mirrored = 2 * math.pi * torch.rand(n, generator=rng), torch.rand(n, generator=rng) < 0.5
    clean = (normal(views, "views") * variances.sqrt())[view]
    clean = torch.where(mirrored[:, None], clean.conj(), clean) * torch.exp(1j * psi[:, None].double() * ORDERS)
    group, noise = torch.arange(n) % 7 % GROUPS, normal(n, "noise")
    components, posterior, start = torch.empty_like(clean), [], 0
    for size in sizes():
        where = slice(start, start := start + size)
        a = torch.randn(GROUPS, size, size, dtype=torch.float64, generator=rng) * 0.3 + torch.eye(size)
        covariance = torch.linalg.inv(a.mT @ a + torch.diag(1 / variances[where]))
        posterior.append(covariance)
        signals = torch.einsum("nkc,nc->nk", a[group].to(clean), clean[:, where]) + noise[:, where]
        gain = covariance @ a.mT
        components[:, where] = torch.einsum("nck,nk->nc", gain[group].to(clean), signals)
    posteriors = ImagePosteriors(
        components=components.to(dtype), orders=ORDERS, variances=variances, posterior=tuple(posterior), group=group
    )
    return posteriors, view, psi, mirrored


def turned(a: torch.Tensor, psi: float, mirrored: bool) -> torch.Tensor:
    return (a.conj() if mirrored else a) * torch.exp(1j * psi * ORDERS.double())


def twin_mahalanobis(p: ImagePosteriors, i: int, j: int, psi: float, mirrored: bool) -> float:
    """The printed formula on one dense real matrix: real parts of all orders, imaginary parts of q > 0."""
    difference = (p.components[i] - turned(p.components[j], psi, mirrored)).to(torch.complex128)
    vectors, blocks = [], []
    for (q, where), block in zip(p.blocks, p.posterior, strict=True):
        total = block[p.group[i]] + block[p.group[j]]
        vectors += [difference[where].real] if q == 0 else [difference[where].real, difference[where].imag]
        blocks += [total] if q == 0 else [total / 2, total / 2]
    v, dense = torch.cat(vectors), torch.block_diag(*blocks)
    log_two = math.log(2) * int((p.orders > 0).sum())  # of the halves: a constant that the blocks leave out
    return float(-0.5 * torch.logdet(dense) - 0.5 * v @ torch.linalg.solve(dense, v)) - log_two


def twin_likelihood(p: ImagePosteriors, i: int, j: int, psi: float, mirrored: bool) -> float:
    """log N of both images with one common image - log N of both alone, dense in the space of the alphas.

    alpha = (1 - L / S) x + noise has covariance D = S - L; given one common image cov(alpha_i, alpha_j) = D S^-1 D.
    """
    total = 0.0
    y = turned(p.components[j], psi, mirrored).to(torch.complex128)
    for (q, where), block in zip(p.blocks, p.posterior, strict=True):
        prior = torch.diag(p.variances[where])
        first, second = prior - block[p.group[i]], prior - block[p.group[j]]
        cross = first @ torch.linalg.solve(prior, second)
        joint = torch.cat([torch.cat([first, cross], 1), torch.cat([cross.T, second], 1)])
        apart = torch.block_diag(first, second)
        pair = torch.cat([p.components[i, where].to(torch.complex128), y[where]])
        for v in (pair.real,) if q == 0 else (math.sqrt(2) * pair.real, math.sqrt(2) * pair.imag):
            for matrix, sign in ((joint, 1), (apart, -1)):
                total += sign * float(-0.5 * torch.logdet(matrix) - 0.5 * v @ torch.linalg.solve(matrix, v))
    return total


@pytest.mark.parametrize(("form", "twin"), [(mahalanobis_form, twin_mahalanobis), (likelihood_form, twin_likelihood)])
def test_affinities_are_the_dense_formula(form, twin):
    p, *_ = simulate(12, 4, 2.0, torch.complex128)
    neighbours = torch.tensor([[(i + 1) % 12, (i + 5) % 12, (i + 8) % 12] for i in range(12)])
    rng = torch_generator(9, "angles")
    psi = 6 * torch.rand(12, 3, generator=rng, dtype=torch.float64)
    mirrored = torch.rand(12, 3, generator=rng) < 0.5
    found = mahalanobis_affinity(p, neighbours, psi, mirrored, form)
    for i in range(12):
        for s in range(3):
            expected = twin(p, i, int(neighbours[i, s]), float(psi[i, s]), bool(mirrored[i, s]))
            assert float(found[i, s]) == pytest.approx(expected, abs=1e-5)


def test_directions_without_variance_are_no_evidence():
    p, *_ = simulate(8, 2, 2.0, torch.complex128)
    first = p.posterior[0].clone()
    first[:, 0, :] = first[:, :, 0] = 0
    flat = ImagePosteriors(
        components=p.components,
        orders=p.orders,
        variances=p.variances,
        posterior=(first, *p.posterior[1:]),
        group=p.group,
    )
    neighbours, zero = torch.tensor([[1]] * 8), torch.zeros(8, 1)
    found = mahalanobis_affinity(flat, neighbours, zero, zero.bool())
    without = ImagePosteriors(
        components=p.components[:, 1:],
        orders=p.orders[1:],
        variances=p.variances[1:],
        posterior=(first[:, 1:, 1:], *p.posterior[1:]),
        group=p.group,
    )
    torch.testing.assert_close(found, mahalanobis_affinity(without, neighbours, zero, zero.bool()))


def test_alignment_finds_rotation_and_mirror_and_their_affinity():
    p, view, psi, mirrored = simulate(40, 4, 400.0)
    neighbours = torch.tensor([[(i + 4) % 40, (i + 12) % 40] for i in range(40)])
    for form in (mahalanobis_form, likelihood_form):
        lists = align_pairs(p, neighbours, form=form)
        flips = mirrored[:, None] ^ mirrored[neighbours]
        assert torch.equal(lists.mirrored, flips)
        expected = torch.where(flips, psi[:, None] + psi[neighbours], psi[:, None] - psi[neighbours])
        assert (torch.exp(1j * lists.psi_rad) - torch.exp(1j * expected)).abs().max() < 0.03
        again = mahalanobis_affinity(p, neighbours, lists.psi_rad, lists.mirrored, form)
        torch.testing.assert_close(lists.affinity, again)
    assert torch.equal(view[neighbours], view[:, None].expand(-1, 2))


@pytest.mark.parametrize("form", [mahalanobis_form, likelihood_form])
def test_exhaustive_search_is_the_best_of_all_pairs(form, monkeypatch):
    monkeypatch.setattr("vitreous.averages.neighbours.candidates._SLAB", 8)
    monkeypatch.setattr("vitreous.averages.neighbours.candidates._TILE_COLUMNS", 5)
    p, *_ = simulate(41, 5, 2.0)
    low = up_to_order(p, 4)
    found = exhaustive_candidates(p, 6, form=form, highest_order=4, angles=24)
    everyone = torch.arange(41).expand(41, -1)
    table = torch.full((41, 41), -torch.inf)
    for flip in (False, True):
        for step in range(24):
            psi = torch.full((41, 41), step * 2 * math.pi / 24)
            at = mahalanobis_affinity(low, everyone, psi, torch.full((41, 41), flip), form)
            table = torch.maximum(table, at)
    table.fill_diagonal_(-torch.inf)
    torch.testing.assert_close(found.affinity, table.topk(6, 1).values, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(table.gather(1, found.index), found.affinity, rtol=1e-4, atol=1e-3)


def test_bispectrum_ignores_rotation_and_conjugates_under_mirror():
    triples = choose_triples(normal(20, "images"), ORDERS, 300, seed=1)
    a = normal(1, "image")
    b = bispectrum(a, triples)
    assert len(triples) == 300
    torch.testing.assert_close(bispectrum(turned(a, 1.1, False), triples), b, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bispectrum(turned(a, 1.1, True), triples), b.conj().resolve_conj(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bispectrum(8 * a, triples), 8 * b)


def test_all_triples_are_all():
    q = [0, 0, 1, 2, 3]
    expected = {(a, b, c) for a in range(5) for b in range(a, 5) for c in range(5) if q[a] + q[b] == q[c]}
    found = [tuple(t) for t in all_triples(torch.tensor(q)).tolist()]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_features_of_turned_images_are_nearest():
    p, view, _, mirrored = simulate(60, 6, 4000.0)
    lists = nearest(invariant_features(p.components, p.orders, triples=400, axes=20), 4, rows=13)
    assert (view[lists.index] == view[:, None]).all()
    assert torch.equal(lists.mirrored, mirrored[:, None] ^ mirrored[lists.index])
    assert (lists.index != torch.arange(60)[:, None]).all()


def exact_graph(n: int, edges: int, noise_rad: float = 0.0) -> tuple[NeighbourLists, torch.Tensor, torch.Tensor]:
    """A ring of images whose neighbours are those after it, with true (or shaken) rotations and mirror states."""
    rng = torch_generator(3, "graph")
    psi, mirrored = 2 * math.pi * torch.rand(n, generator=rng), torch.rand(n, generator=rng) < 0.5
    index = (torch.arange(n)[:, None] + torch.arange(1, edges + 1)) % n
    flips = mirrored[:, None] ^ mirrored[index]
    between = torch.where(flips, psi[:, None] + psi[index], psi[:, None] - psi[index])
    between = between + noise_rad * torch.randn(between.shape, generator=rng)
    return NeighbourLists(index=index, mirrored=flips, psi_rad=between, affinity=torch.ones(n, edges)), psi, mirrored


def test_vector_diffusion_is_the_power_of_the_dense_matrix():
    lists, *_ = exact_graph(25, 3, noise_rad=0.5)
    weights = torch.rand(25, 3, generator=torch_generator(4, "weights")) + 0.5
    dense, n = np.zeros((25, 2, 25, 2)), 25
    degree = np.zeros(n)
    for i in range(n):
        for s in range(3):
            j, w, psi = int(lists.index[i, s]), float(weights[i, s]), float(lists.psi_rad[i, s])
            rotation = np.array([[math.cos(psi), -math.sin(psi)], [math.sin(psi), math.cos(psi)]])
            block = w * rotation @ np.diag([1.0, -1.0 if lists.mirrored[i, s] else 1.0])
            dense[i, :, j] += block
            dense[j, :, i] += block.T
            degree[[i, j]] += w
    root = np.repeat(degree**-0.5, 2)
    matrix = root[:, None] * dense.reshape(2 * n, 2 * n) * root
    value, vector = np.linalg.eigh(matrix)
    # The power 2 of the 30 largest: |p|, |r| of the blocks are their parts that commute with rotations, or do not.
    kept = value.argsort()[::-1][:30]
    power = (vector[:, kept] * np.clip(value[kept], 0, None) ** 2) @ vector[:, kept].T
    blocks = power.reshape(n, 2, n, 2).transpose(0, 2, 1, 3)
    a, b, c, d = blocks[..., 0, 0], blocks[..., 0, 1], blocks[..., 1, 0], blocks[..., 1, 1]
    plain, mirror = (a + d + 1j * (c - b)) / 2, (a - d + 1j * (c + b)) / 2
    own = np.diag(plain.real)
    expected = np.maximum(abs(plain), abs(mirror)) ** 2 / np.outer(own, own)
    np.fill_diagonal(expected, -1)
    found = diffusion_neighbours(vector_diffusion(lists, weights, eigenvectors=30), 8, time=2.0, rows=7)
    top = np.sort(expected, 1)[:, ::-1][:, :8]
    np.testing.assert_allclose(found.affinity.numpy(), top, rtol=1e-3)
    chosen = np.where(found.mirrored, *(np.take_along_axis(x, found.index.numpy(), 1) for x in (mirror, plain)))
    np.testing.assert_allclose(np.exp(1j * found.psi_rad.numpy()), chosen / abs(chosen), atol=0.01)


def test_consistent_alignments_come_back():
    lists, psi, mirrored = exact_graph(200, 8, noise_rad=0.3)
    diffusion = vector_diffusion(lists, eigenvectors=10)
    found = diffusion_neighbours(diffusion, 5)
    distance = (found.index - torch.arange(200)[:, None]).abs()
    assert torch.minimum(distance, 200 - distance).max() <= 6
    assert torch.equal(found.mirrored, mirrored[:, None] ^ mirrored[found.index])
    true = torch.where(found.mirrored, psi[:, None] + psi[found.index], psi[:, None] - psi[found.index])
    assert (torch.exp(1j * found.psi_rad) - torch.exp(1j * true)).abs().mean() < 0.2


def test_the_order_of_methods():
    p, view, *_ = simulate(600, 30, 2.0)

    def right(lists: NeighbourLists) -> float:
        return float((view[lists.index] == view[:, None]).float().mean())

    features = invariant_features(p.components, p.orders, triples=1000, axes=100)
    neither = right(nearest(features, 10))
    ranked = right(mahalanobis_neighbours(p, 10, eigenvectors=0))
    likely = right(best_of(align_pairs(p, exhaustive_candidates(p, 50).index), 10))
    collective = right(exhaustive_neighbours(p, 10, candidates=30, eigenvectors=60))
    published = right(mahalanobis_neighbours(p, 10, eigenvectors=60))
    assert neither < ranked < published < likely < collective
    assert neither > 5 * 19 / 599


def test_requests_that_make_no_sense():
    p, *_ = simulate(10, 2, 1.0)
    with pytest.raises(ValueError, match="10 neighbours of 10 images"):
        exhaustive_candidates(p, 10)
    with pytest.raises(ValueError, match="0 neighbours of 10 images"):
        nearest(p.components, 0)
    with pytest.raises(ValueError, match="cannot be chosen from"):
        mahalanobis_neighbours(p, 9, candidates=5)
    with pytest.raises(ValueError, match="posterior: expected blocks"):
        ImagePosteriors(
            components=p.components,
            orders=p.orders,
            variances=p.variances,
            posterior=p.posterior[:2],
            group=p.group,
        )
    graph, *_ = exact_graph(5, 2)
    with pytest.raises(ValueError, match="eigenvectors: expected 1 to 9"):
        vector_diffusion(graph, eigenvectors=10)
