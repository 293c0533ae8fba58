"""Neighbours by likelihood profiles: the algebra, the leaving out, the search, and the whole on shapes with truth."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from sets import PIXEL_A, defocus

from vitreous.averages.neighbours import (
    NeighbourLists,
    Neighbours,
    PrincipalImages,
    Profiles,
    average_neighbours,
    deal_folds,
    diverse_subset,
    exchange_mirror,
    first_pass,
    into_frame,
    nearest_profiles,
    neighbours,
    next_pass,
    posterior_references,
    prepare_neighbours,
    profile_features,
    profile_images,
    reference_norms,
    refine_rotations,
    relative_rotations,
)
from vitreous.conventions import in_plane_matrix
from vitreous.fourier import mirror_coefficients, rotate_coefficients
from vitreous.iterate import run, state_from_arrays, state_to_arrays
from vitreous.matching import left_out, rotation_scores
from vitreous.randomness import torch_generator
from vitreous.testing import ArrayParticles, Blobs, with_ctf

SIZES = (3, 3, 2, 2, 2, 1)  # components of order 0, 1, ..
ORDERS = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
GROUPS = 2


def draw(*shape: int, purpose: str) -> torch.Tensor:
    return torch.randn(*shape, generator=torch_generator(5, purpose))


def components(n: int, purpose: str) -> torch.Tensor:
    """Complex components of real images: those of order 0 are real."""
    x = torch.complex(draw(n, len(ORDERS), purpose=purpose), draw(n, len(ORDERS), purpose=purpose + " imaginary"))
    x[:, ORDERS == 0] = x[:, ORDERS == 0].real.to(x.dtype)
    return x


def precision() -> tuple[torch.Tensor, ...]:
    blocks = []
    for q, size in enumerate(SIZES):
        root = draw(GROUPS, size, size, purpose=f"precision {q}")
        blocks.append(root @ root.mT + 0.5 * torch.eye(size))
    return tuple(blocks)


def images_of(clean: torch.Tensor, group: torch.Tensor, strength: float, purpose: str) -> PrincipalImages:
    """Natural parameters ``b = P x + noise of covariance P`` of clean components."""
    blocks = tuple(strength * p for p in precision())
    noise = components(len(clean), purpose)
    noise[:, ORDERS > 0] /= 2**0.5  # variance 1 of the complex number, as of the real one of order 0
    b, start = torch.empty_like(clean), 0
    for block in blocks:
        where = slice(start, start + block.shape[1])
        root = torch.linalg.cholesky(block)
        for g in range(GROUPS):
            mine = group == g
            b[mine, where] = clean[mine, where] @ block[g].to(b.dtype) + noise[mine, where] @ root[g].T.to(b.dtype)
        start += block.shape[1]
    return PrincipalImages(natural=b, orders=ORDERS, precision=blocks, variance=torch.ones(len(ORDERS)), group=group)


@lru_cache
def toy(n: int = 240, prototypes: int = 4, strength: float = 2.0):
    """(images, label, psi, mirrored): turned and mirrored prototypes."""
    label = torch.arange(n) % prototypes
    psi = 2 * np.pi * torch.rand(n, generator=torch_generator(6, "psi"))
    mirrored = torch.rand(n, generator=torch_generator(6, "mirror")) < 0.5
    clean = components(prototypes, "prototypes")[label]
    clean = torch.where(mirrored[:, None], mirror_coefficients(clean), clean)
    clean = rotate_coefficients(clean, ORDERS, torch.rad2deg(psi))
    return images_of(clean, torch.arange(n) // prototypes % GROUPS, strength, "noise"), label, psi, mirrored


def test_score_minus_norm_is_the_log_likelihood():
    """-1/2 (b - P a)* P^-1 (b - P a) differs from it by a number that no reference changes."""
    images, *_ = toy()
    references = components(5, "references")
    scores = rotation_scores(images.natural[:3], references, images.grid)[:, :, 0]
    found = scores - reference_norms(images, references)[images.group[:3]][:, :, None]
    for i in range(3):
        blocks = [p[images.group[i]].to(torch.complex64) for p in images.precision]
        full = torch.block_diag(*blocks)
        for t in (0, 3):
            psi = torch.rad2deg(images.grid.psi_rad[t])
            turned = rotate_coefficients(references, ORDERS, psi)
            residual = images.natural[i] - turned @ full.T
            weighted = torch.linalg.solve(full, residual.T).T
            exact = -0.5 * (images.multiplicity * (residual.conj() * weighted).real).sum(1)
            torch.testing.assert_close(found[i, :, t] - found[i, 0, t], exact - exact[0], rtol=1e-4, atol=1e-3)


def test_posterior_references_minimise_the_penalised_misfit():
    images, *_ = toy()
    signal, weight = components(4, "signal"), torch.rand(4, GROUPS, generator=torch_generator(7, "weight")) * 5
    found = posterior_references(images, signal, weight)
    for k in range(4):
        full = torch.block_diag(*[torch.einsum("g,grs->rs", weight[k], p) for p in images.precision])
        matrix = (full + torch.diag(1 / images.variance)).to(torch.complex64)
        torch.testing.assert_close(found[k], torch.linalg.solve(matrix, signal[k]), rtol=1e-4, atol=1e-5)


def test_an_image_does_not_change_what_it_is_compared_with():
    images, *_ = toy()
    folds = deal_folds(len(images), 4, 0, 0)
    state = first_pass(images, folds, 6, seed=3, run=0)
    for fold, index in enumerate(folds):
        altered = images.natural.clone()
        altered[index] += 10
        changed = PrincipalImages(
            natural=altered,
            orders=ORDERS,
            precision=images.precision,
            variance=images.variance,
            group=images.group,
        )
        drawn = first_pass(changed, folds, 6, seed=3, run=0)
        moved = {g for g in range(4) if not torch.equal(drawn.parts[g].signal, state.parts[g].signal)}
        assert fold in moved
        others = left_out(state.parts, fold)
        torch.testing.assert_close(others.signal, sum(p.signal for g, p in enumerate(state.parts) if g != fold))
        torch.testing.assert_close(others.weight, sum(p.weight for g, p in enumerate(state.parts) if g != fold))


def test_no_image_is_its_own_first_reference():
    """With as many classes as images each would match itself perfectly."""
    images, *_ = toy(n=40)
    folds = deal_folds(40, 4, 0, 0)
    state = first_pass(images, folds, 40, seed=0, run=0)
    assert (state.assigned // 2 != np.arange(40)).all()


def test_sums_count_every_image_once():
    images, *_ = toy()
    folds = deal_folds(len(images), 4, 1, 0)
    state = next_pass(images, folds, first_pass(images, folds, 5, seed=1, run=0))
    for fold, index in enumerate(folds):
        counted = torch.bincount(images.group[torch.from_numpy(index)], minlength=GROUPS).float()
        torch.testing.assert_close(state.parts[fold].weight.sum(0), counted, rtol=1e-4, atol=1e-3)


@lru_cache
def searched():
    images, label, psi, mirrored = toy()
    folds = deal_folds(len(images), 4, 2, 0)
    state = first_pass(images, folds, 12, seed=2, run=0)
    for _ in range(6):
        state = next_pass(images, folds, state)
    profiles = [profile_images(images, folds, state.parts)]
    features = profile_features(profiles)
    return images, label, psi, mirrored, profiles, features, nearest_profiles(features, 8)


def test_neighbours_are_of_the_same_prototype_and_hand():
    _, label, _, mirrored, _, features, lists = searched()
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(features)))
    assert (label[lists.index] == label[:, None]).float().mean() > 0.97
    right = label[lists.index] == label[:, None]
    assert (lists.mirrored == (mirrored[:, None] ^ mirrored[lists.index]))[right].float().mean() > 0.97
    assert (lists.affinity[:, :-1] >= lists.affinity[:, 1:]).all()


def test_rotations_bring_neighbours_together():
    images, label, psi, mirrored, profiles, features, lists = searched()
    rough = relative_rotations(profiles, features, lists)
    fine = refine_rotations(images, rough)
    flipped = mirrored[:, None] ^ mirrored[lists.index]
    # x_i = R(psi_i) M^s_i a, x_j likewise: see the module's docstring
    true = torch.where(flipped, psi[:, None] + psi[lists.index], psi[:, None] - psi[lists.index])
    right = (label[lists.index] == label[:, None]) & (lists.mirrored == flipped)

    def error_deg(found: NeighbourLists) -> torch.Tensor:
        difference = (found.psi_rad - true)[right]
        return torch.rad2deg(torch.atan2(difference.sin(), difference.cos())).abs()

    assert error_deg(rough).median() < 25  # the grid of 16 rotations is 22.5 degrees wide
    assert error_deg(fine).median() < 10
    assert error_deg(fine).median() < error_deg(rough).median()


def test_averages_are_closer_to_the_truth_than_single_images():
    images, label, psi, mirrored, profiles, features, lists = searched()
    lists = refine_rotations(images, relative_rotations(profiles, features, lists))
    everyone = torch.arange(len(images))
    averages = average_neighbours(images, lists, everyone)
    clean = components(4, "prototypes")[label]
    clean = torch.where(mirrored[:, None], mirror_coefficients(clean), clean)
    clean = rotate_coefficients(clean, ORDERS, torch.rad2deg(psi))
    weight = torch.zeros(len(images), GROUPS)
    weight[everyone, images.group] = 1
    single = posterior_references(images, images.natural, weight)

    def error(found: torch.Tensor) -> float:
        return float(((found - clean).abs().square() * images.multiplicity).sum().sqrt())

    assert error(averages.components) < 0.6 * error(single)
    assert averages.halves.shape == (2, len(images), len(ORDERS))


def test_turning_into_a_frame():
    x = components(2, "partner")
    psi, mirrored = torch.tensor([0.4, 1.1]), torch.tensor([False, True])
    moved = into_frame(x, ORDERS, psi, mirrored)
    torch.testing.assert_close(moved[0], rotate_coefficients(x[:1], ORDERS, np.rad2deg(0.4))[0])
    torch.testing.assert_close(moved[1], rotate_coefficients(mirror_coefficients(x[1:]), ORDERS, np.rad2deg(1.1))[0])


def random_features(n: int, purpose: str) -> torch.Tensor:
    profile = Profiles(
        log_likelihood=4 * draw(n, 12, purpose=purpose),
        best=torch.zeros(n, 1, dtype=torch.int64),
        psi_rad=torch.zeros(n, 1),
    )
    return profile_features([profile])


def test_exhaustive_search_agrees_with_brute_force():
    features = random_features(50, "features")
    lists = nearest_profiles(features, 5)
    plain, turned = features @ features.T, features @ exchange_mirror(features).T
    both = torch.maximum(plain, turned).fill_diagonal_(-1)
    torch.testing.assert_close(lists.affinity, both.topk(5, dim=1).values)
    rows = torch.arange(50)[:, None]
    torch.testing.assert_close(
        lists.affinity, torch.where(lists.mirrored, turned[rows, lists.index], plain[rows, lists.index])
    )
    assert (lists.index != rows).all()
    torch.testing.assert_close(exchange_mirror(exchange_mirror(features)), features)


def test_search_by_cells_finds_nearly_the_same():
    centre = random_features(12, "centres").repeat(40, 1)
    features = centre + 0.05 * draw(*centre.shape, purpose="spread").abs()
    features /= features.norm(dim=1, keepdim=True)
    every, some = nearest_profiles(features, 6), nearest_profiles(features, 6, exhaustive=100, candidates=200)
    common = [len(set(a.tolist()) & set(b.tolist())) for a, b in zip(every.index, some.index, strict=True)]
    assert np.mean(common) > 5.5
    assert (some.index != torch.arange(len(features))[:, None]).all()


def test_as_many_neighbours_as_images_are_refused():
    with pytest.raises(ValueError, match="neighbours: expected 1 to 49 of 50 usable images, found 50"):
        nearest_profiles(random_features(50, "features"), 50)


def test_the_diverse_subset_has_one_of_each():
    centre = torch.eye(8)[torch.arange(64) % 4 * 2]
    features = centre + 0.01 * draw(64, 8, purpose="jitter").abs()
    features /= features.norm(dim=1, keepdim=True)
    chosen = diverse_subset(features, torch.arange(64).float(), 4)
    assert sorted((chosen % 4).tolist()) == [0, 1, 2, 3]
    assert (chosen >= 32).all()
    assert torch.equal(diverse_subset(features, torch.zeros(64), 100), torch.arange(64))


def test_threads_do_not_change_a_bit():
    images, *_ = toy()
    folds = deal_folds(len(images), 4, 0, 0)
    one = next_pass(images, folds, first_pass(images, folds, 6, seed=0, run=0))
    two = next_pass(images, folds, first_pass(images, folds, 6, seed=0, run=0, threads=2), threads=2)
    assert all(torch.equal(a.signal, b.signal) for a, b in zip(one.parts, two.parts, strict=True))
    assert np.array_equal(one.assigned, two.assigned)


SHAPES = [Blobs.random(300 + k, count=7, reach_px=8.5, width_px=1.5) for k in range(5)]
N = 400


@lru_cache
def simulated():
    """Turned, mirrored, shifted shapes with CTF and noise; the shifts are known, as after a classification."""
    rng = np.random.default_rng(11)
    label, psi, mirrored = np.arange(N) % len(SHAPES), 360 * rng.random(N), rng.random(N) < 0.5
    shift, ctf = rng.normal(size=(N, 2)), defocus(N, 4)
    clean = []
    for i in range(N):
        shape = SHAPES[label[i]]
        if mirrored[i]:
            shape = Blobs(centres_px=shape.centres_px * [1, -1], heights=shape.heights, width_px=shape.width_px)
        clean.append(with_ctf(shape.image(32, psi[i], tuple(shift[i])), ctf, i, PIXEL_A))
    images = np.stack(clean)
    images += np.sqrt(images.var() / 0.1) * rng.normal(size=images.shape)
    images[17] = np.nan
    particles = ArrayParticles(images=images.astype(np.float32), pixel_size_A=PIXEL_A, ctf=ctf, shift_A=shift * PIXEL_A)
    return particles, label, psi, mirrored


def settings(**changes) -> Neighbours:
    chosen = {"classes": 16, "neighbours": 6, "particle_diameter_A": 130.0, "averages": 8, "runs": 2, "seed": 3}
    return Neighbours(**(chosen | changes))


@lru_cache
def found():
    return neighbours(simulated()[0], settings())


def test_neighbours_of_particles():
    _, label, psi, mirrored = simulated()
    result = found()
    good = result.weight > 0
    assert good.sum() == N - 1
    assert not good[17]
    assert (result.neighbours[17] == -1).all()
    assert not (result.neighbours == 17).any()
    right = label[result.neighbours[good]] == label[good][:, None]
    assert right.mean() > 0.95
    flipped = mirrored[good][:, None] ^ mirrored[result.neighbours[good]]
    assert (result.mirrored[good] == flipped)[right].mean() > 0.95
    own, other = np.deg2rad(psi[good])[:, None], np.deg2rad(psi[result.neighbours[good]])
    # the mirror image of a shape turned by psi is the mirrored shape turned by -psi
    true = np.where(flipped, own + other, own - other)
    error = np.abs(np.angle(np.exp(1j * (np.deg2rad(result.psi_deg[good]) - true))))[right]
    assert np.rad2deg(np.median(error)) < 6
    assert any("1 particles with NaN or constant images" in message for message in result.messages)


@pytest.mark.parametrize("method", ["exhaustive", "mahalanobis"])
def test_neighbours_by_the_chains(method):
    particles, label, psi, mirrored = simulated()
    result = neighbours(particles, settings(method=method, runs=1))
    good = result.weight > 0
    right = label[result.neighbours[good]] == label[good][:, None]
    assert right.mean() > 0.9
    flipped = mirrored[good][:, None] ^ mirrored[result.neighbours[good]]
    own, other = np.deg2rad(psi[good])[:, None], np.deg2rad(psi[result.neighbours[good]])
    true = np.where(flipped, own + other, own - other)
    error = np.abs(np.angle(np.exp(1j * (np.deg2rad(result.psi_deg[good]) - true))))
    assert np.rad2deg(np.median(error[right & (result.mirrored[good] == flipped)])) < 6


def test_averages_resemble_the_shape_of_their_particle():
    _, label, psi, mirrored = simulated()
    result = found()
    assert result.averages.shape == (8, 32, 32)
    scores = []
    for i, average in zip(result.average_of, result.averages, strict=True):
        shape = SHAPES[label[i]]
        if mirrored[i]:
            shape = Blobs(centres_px=shape.centres_px * [1, -1], heights=shape.heights, width_px=shape.width_px)
        scores.append(np.corrcoef(average.ravel(), shape.image(32, psi[i]).ravel())[0, 1])
    assert np.mean(scores) > 0.9
    assert len({label[i] for i in result.average_of}) == len(SHAPES)


def test_a_resumed_search_ends_like_an_uninterrupted_one():
    job = prepare_neighbours(simulated()[0], settings(passes=3), threads=1)
    states = []
    with torch.no_grad():
        whole, last = run(job.algorithm, seed=3, save=states.append)
        again = prepare_neighbours(simulated()[0], settings(passes=3), threads=1)
        saved = state_from_arrays(type(last), state_to_arrays(states[2]))
        resumed, _ = run(again.algorithm, seed=3, state=saved)
    for name in ("neighbours", "psi_deg", "affinity", "averages", "classes"):
        assert np.array_equal(getattr(whole, name), getattr(resumed, name)), name


def test_pure_noise_is_called_so():
    images = np.random.default_rng(2).normal(size=(300, 32, 32)).astype(np.float32)
    particles = ArrayParticles(images=images, pixel_size_A=PIXEL_A)
    with pytest.raises(ValueError, match="nothing that the particles share rises above the noise"):
        neighbours(particles, settings(runs=1))


def test_settings_that_make_no_sense():
    with pytest.raises(ValueError, match="neighbours: expected at least 1, found 0"):
        Neighbours(neighbours=0)
    with pytest.raises(ValueError, match="method: expected one of profiles, exhaustive, mahalanobis, found vdm"):
        Neighbours(method="vdm")
    with pytest.raises(ValueError, match="resolution_limit_A: expected a positive number"):
        Neighbours(resolution_limit_A=-1.0)
    few = ArrayParticles(images=simulated()[0].images[:20], pixel_size_A=PIXEL_A)
    with pytest.raises(ValueError, match="20 particles are too few"):
        neighbours(few, settings(classes=30))


def test_lists_keep_their_length():
    lists = NeighbourLists(
        index=torch.tensor([[1], [0]]),
        mirrored=torch.zeros(2, 1, dtype=torch.bool),
        psi_rad=torch.zeros(2, 1),
        affinity=torch.ones(2, 1),
    )
    images, *_ = toy()
    averages = average_neighbours(images, lists, torch.arange(2))
    assert averages.components.shape == (2, len(ORDERS))


def test_in_plane_convention_of_the_shapes():
    """The truth of these tests uses that a mirrored shape turned by psi is the mirror of the shape turned by -psi."""
    shape = SHAPES[0]
    mirrored = Blobs(centres_px=shape.centres_px * [1, -1], heights=shape.heights, width_px=shape.width_px)
    a, b = mirrored.image(33, 40.0), shape.image(33, -40.0)
    np.testing.assert_allclose(a, b[::-1], atol=1e-9)
    assert in_plane_matrix(0.0).shape == (2, 2)
