"""What thousands of references need: blocks, restricted searches, sums that are handed in, tables of scores."""

import importlib
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import Scene, log_prior, make_scene, prepared, whole

from vitreous.matching import (
    Alignments,
    Candidates,
    ImagePreparation,
    Outcome,
    PoseGrid,
    SearchPlan,
    Sums,
    TileSums,
    accumulate_at,
    best,
    best_rows,
    chosen_alignments,
    expect,
    expect_into,
    find_rows,
    in_blocks,
    score_table,
    soft,
)
from vitreous.matching.prepare import most_shifts
from vitreous.matching.references import bytes_per_reference

K, N = 8, 60
NOISE_SD = 1.0


@lru_cache
def scene() -> Scene:
    return make_scene(box_px=32, rings=10, n=N, n_references=K, noise_sd=NOISE_SD, astigmatism_A=1500.0, seed=5)


def noise_power() -> torch.Tensor:
    return torch.from_numpy(scene().noise_power).float()[None]


def plan_and_references(rings: int = 10, coarse: bool = True):
    plan = scene().particles.search(rings, 8.0)
    plan = plan if coarse else SearchPlan(fine=plan.fine)
    references = plan.references(
        scene().reference_harmonics(),
        ctf_harmonics=scene().particles.ctf_harmonics,
        log_class_prior=torch.zeros(K),
        offset_sd_px=1.0,
    )
    return plan, references


def run(coarse: bool, *, memory_bytes: int = 4 << 30, threads: int = 1, **options) -> tuple[Sums, Outcome]:
    plan, references = plan_and_references(coarse=coarse)
    particles = replace(scene().particles, memory_bytes=memory_bytes, threads=threads)
    return expect(particles, np.arange(N), plan, references, noise_power(), tile=16, **options)


def assert_alike(a: tuple[Sums, Outcome], b: tuple[Sums, Outcome], atol: float = 1e-4) -> None:
    """Sums to 1e-4 of the largest and outcomes to 1e-3: the products are the same, their order is not."""
    for name in Sums.__dataclass_fields__:
        x, y = getattr(a[0], name), getattr(b[0], name)
        torch.testing.assert_close(x, y, rtol=1e-3, atol=atol * float(x.abs().max()))
    for name in ("reference", "psi_rad", "shift_px"):
        np.testing.assert_array_equal(getattr(a[1], name), getattr(b[1], name))
    for name in ("max_probability", "class_probability", "next_probability", "entropy", "log_evidence"):
        np.testing.assert_allclose(getattr(a[1], name), getattr(b[1], name), atol=1e-3)


@pytest.mark.parametrize("choice", [soft, best])
@pytest.mark.parametrize("coarse", [True, False])
def test_blocks_of_references_change_nothing(coarse, choice):
    """Memory for two or three references at a time, and for one tile of images, against memory for all."""
    plan, references = plan_and_references(coarse=coarse)
    few = 4 * 3 * bytes_per_reference(plan.fine)
    blocks = plan.blocks(references, 16, few // 2)
    assert 1 < len(blocks.fine) < K
    assert_alike(run(coarse, choice=choice), run(coarse, choice=choice, memory_bytes=few))


@pytest.mark.parametrize("coarse", [True, False])
def test_threads_do_not_change_a_bit(coarse):
    plan, _ = plan_and_references(coarse=coarse)
    for memory_bytes in (12 * bytes_per_reference(plan.fine), 4 << 30):
        one, three = (run(coarse, memory_bytes=memory_bytes, threads=threads) for threads in (1, 3))
        for name in Sums.__dataclass_fields__:
            assert torch.equal(getattr(one[0], name), getattr(three[0], name))
        for name in Outcome.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(one[1], name), getattr(three[1], name))


@given(count=st.integers(1, K), memory=st.integers(1, 10 * K), tile_scores=st.integers(1, 1 << 16))
@settings(deadline=None, max_examples=30)
def test_blocks_hold_every_reference_once_within_the_memory(count, memory, tile_scores):
    """memory: in hundredths of what one reference takes."""
    plan, (_, fine) = plan_and_references()
    each = bytes_per_reference(plan.fine)
    part = fine.take(slice(0, count))
    blocks = in_blocks(part, 48, tile_scores=tile_scores, memory_bytes=memory * each // 10)
    where = []
    for block in blocks:
        size = sum(m.nbytes for step in block.steps for wave in step.matrices for m in wave)
        columns = sum(step.matrices[0][0].shape[2] for step in block.steps)
        wanted = sum((s.references.stop - s.references.start) * fine.shifts for s in block.steps)
        assert wanted <= columns <= wanted * 1.125  # whole vectors of 16 columns, from 128 columns on
        assert size == each * columns // fine.shifts
        assert size <= 1.125 * max(memory * each / 10, each)  # a single reference has to fit
        where += [block.first + k for step in block.steps for k in range(step.references.start, step.references.stop)]
    assert where == list(range(count))
    assert len(blocks) == -(-count // blocks.per_block)


def test_the_shifts_do_not_depend_on_the_number_of_references():
    """Box 200, 1.5 A, 48 rings, origins within 10 A: all 89 shifts in 4 GB, whatever is searched with them."""
    scene_particles = prepared_box_200(4 << 30)
    grid = scene_particles.search(48, 10.0).fine
    assert len(grid.shifts_px) == 89
    assert grid.notes == ()
    assert bytes_per_reference(grid) < (4 << 30) // 100


def prepared_box_200(memory_bytes: int):
    how = ImagePreparation.for_box(200, 1.5)
    basis = how.working_basis(58)
    particles = prepared(basis, np.zeros((1, basis.box_px, basis.box_px)), None)
    return replace(particles, preparation=how, memory_bytes=memory_bytes)


def test_the_memory_does_not_change_what_is_searched():
    """10 MB hold 8 of the 89 shifted copies of a single reference; all are searched, as in 4 GB."""
    plans = [prepared_box_200(memory).search(48, 10.0) for memory in (10 << 20, 4 << 30)]
    assert torch.equal(plans[0].fine.shifts_px, plans[1].fine.shifts_px)
    assert len(plans[0].fine.shifts_px) == 89
    assert plans[0].notes == ()


def test_more_shifts_than_any_memory_should_hold_are_reported():
    particles = prepared_box_200(4 << 30)
    plan = particles.search(48, 140.0)
    shifts = len(plan.fine.shifts_px)
    assert shifts <= most_shifts(particles.basis, 48)
    (note,) = plan.notes
    assert f"{shifts} of " in note
    assert "a smaller offset range" in note
    assert len(plan.coarse.shifts_px) <= shifts


class PowerOf:
    """An accumulator that keeps one number per reference in a dict."""

    def __init__(self) -> None:
        self.total: dict[int, float] = {}
        self.rows: list[int] = []

    def add(self, tile: TileSums) -> None:
        self.rows.append(len(tile.reference))
        for reference, power in zip(tile.reference.tolist(), tile.sums.power.sum(1).tolist(), strict=True):
            self.total[reference] = self.total.get(reference, 0.0) + power


@pytest.mark.parametrize("few", [256, 0])
def test_sums_go_where_they_are_wanted(few, monkeypatch):
    """few: number of references of which a tile sums all; with 0 it hands over those alone that its images touch."""
    module = importlib.import_module("vitreous.matching.accumulate")
    monkeypatch.setattr(module, "FEW_REFERENCES", few)
    plan, references = plan_and_references()
    dense, outcome = run(True, choice=best)
    mine = PowerOf()
    same = expect_into(mine, scene().particles, np.arange(N), plan, references, noise_power(), choice=best, tile=5)
    np.testing.assert_array_equal(same.reference, outcome.reference)
    assert sorted(mine.total) == list(range(K))
    for reference, power in mine.total.items():
        assert power == pytest.approx(float(dense.power[reference].sum()), rel=1e-4)
    if few == 0:
        assert sum(mine.rows) < K * len(mine.rows)  # five images have at most five best references
        assert max(mine.rows) <= 5


def test_touched_references_alone_give_the_same_sums(monkeypatch):
    whole = run(True)
    monkeypatch.setattr(importlib.import_module("vitreous.matching.accumulate"), "FEW_REFERENCES", 0)
    assert_alike(whole, run(True), atol=1e-6)


@pytest.mark.parametrize("coarse", [True, False])
@pytest.mark.parametrize("share", [0.2, 0.7])  # of the references, below and above the share from which all are swept
def test_a_search_among_candidates_that_hold_the_winner_finds_it(coarse, share):
    free = run(coarse, choice=best)
    mask = np.random.default_rng(0).random((N, K)) < share
    mask[np.arange(N), free[1].reference] = True
    for memory_bytes in (4 << 30, 12 * bytes_per_reference(plan_and_references()[0].fine)):
        bound = run(coarse, choice=best, candidates=Candidates.from_mask(mask), memory_bytes=memory_bytes)
        for name in ("reference", "psi_rad", "shift_px"):
            np.testing.assert_array_equal(getattr(bound[1], name), getattr(free[1], name))
        torch.testing.assert_close(bound[0].signal, free[0].signal, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("coarse", [True, False])
def test_the_posterior_among_candidates_is_that_of_the_others_left_out(coarse):
    """Two candidates for every image: the rows are those of the exhaustive search, less the other references."""
    plan, references = plan_and_references(coarse=coarse)
    plan = replace(plan, keep=1e9, coarse_keep=1e9)
    everything = best_rows(scene().tile, whole(references[1], N), 1e9)
    lists = [np.array([i % K, (3 * i + 1) % K]) for i in range(N)]
    candidates = Candidates.from_lists(lists, K)
    allowed = torch.from_numpy(candidates.mask(np.arange(N)))
    (found,) = find_rows([scene().tile], plan, plan.blocks(references, N), allowed=[allowed])
    kept = allowed[everything.image, everything.reference]
    key = [r.image * K * 1000 + r.reference * 1000 + r.shift for r in (found, everything)]
    assert torch.equal(key[0].sort()[0], key[1][kept].sort()[0])
    order, wanted = key[0].argsort(), key[1][kept].argsort()
    torch.testing.assert_close(found.log_weight[order], everything.log_weight[kept][wanted], rtol=0, atol=1e-3)


def test_candidates_are_checked():
    mask = np.array([[True, False, True], [False, True, False]])
    candidates = Candidates.from_mask(mask)
    assert len(candidates) == 2
    np.testing.assert_array_equal(candidates.mask(np.array([1, 0])), mask[[1, 0]])
    with pytest.raises(ValueError, match="image 1 \\(from 0\\) has none"):
        Candidates.from_lists([np.array([1]), np.array([], int)], 3)
    with pytest.raises(ValueError, match="from 0 to 2, found 3"):
        Candidates.from_lists([np.array([1]), np.array([3])], 3)
    with pytest.raises(ValueError, match="expected to rise"):
        Candidates(start=np.array([0, 2]), reference=np.array([1]), n_references=3)


def test_alignments_are_summed_like_the_search_that_found_them():
    """Rotation and shift of the best hypothesis, at the rings of the search."""
    sums, outcome = run(True, choice=best)
    alignments = outcome.alignments(np.arange(N), scene().particles.pixel_size_A)
    assert np.abs(alignments.origin_A).max() > 1  # shifts matter
    again = accumulate_at(scene().particles, alignments, K, noise_power(), rings=10)
    for name in Sums.__dataclass_fields__:
        a, b = getattr(sums, name), getattr(again, name)
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-4 * float(a.abs().max()))


def test_a_mirrored_particle_is_summed_like_its_mirror_image():
    """x -> -x in pixels about the centre L // 2; psi, origin as they are in the mirrored image."""
    basis, images = scene().basis, scene().images
    flipped = np.roll(images[:, :, ::-1], 1, axis=2)  # column L // 2 stays in place for an even box
    particles, mirrored = prepared(basis, images, None), prepared(basis, flipped, None)
    rng = np.random.default_rng(1)
    label, psi, origin = np.arange(N) % 3, 2 * np.pi * rng.random(N), 6 * rng.normal(size=(N, 2))
    plain = Alignments(particle=np.arange(N), reference=label, psi_rad=psi, origin_A=origin, mirror=np.zeros(N, bool))
    # F R(psi) (r + o) = R(-psi) (F r + F o): the mirrored image at -psi and F o.
    reflected = replace(plain, psi_rad=-psi, origin_A=origin * [-1, 1])
    flip = replace(plain, mirror=np.ones(N, bool))
    a, b = accumulate_at(particles, flip, 3, noise_power()), accumulate_at(mirrored, reflected, 3, noise_power())
    for name in Sums.__dataclass_fields__:
        x, y = getattr(a, name), getattr(b, name)
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3 * float(x.abs().max()))


def test_a_particle_without_a_reference_cannot_be_summed():
    with pytest.raises(ValueError, match="found -1 for particle 0"):
        accumulate_at(scene().particles, Alignments.unknown(2), K, noise_power())


@pytest.mark.parametrize("blocks", [False, True])
def test_the_score_table_has_the_best_pose_of_every_pair(blocks):
    small = make_scene(astigmatism_A=1500.0, noise_sd=3.0, seed=2)
    grid = PoseGrid.for_rings(small.basis, small.basis.rings, 1.0)
    twin = small.twin(grid) + log_prior(grid, np.zeros(3))
    memory = 4 * bytes_per_reference(grid) if blocks else 4 << 30
    noise = torch.from_numpy(small.noise_power).float()[None]
    particles = replace(small.particles, memory_bytes=memory, threads=2)
    index = np.array([2, 0, 3, 1])
    references = (None, small.make_references(grid))
    table = score_table(particles, index, SearchPlan(fine=grid), references, noise, tile=2)
    flat = twin[index].reshape(4, 3, -1)
    np.testing.assert_allclose(table.log_posterior, flat.max(2), atol=4e-6 * np.abs(twin).max())
    shift, psi = np.unravel_index(flat.argmax(2), twin.shape[2:])
    np.testing.assert_array_equal(table.shift, shift)
    columns = [np.full(4, k) for k in range(3)]
    for k, found in enumerate(chosen_alignments(particles, index, references[1], noise, table, columns)):
        np.testing.assert_array_equal(found.particle, index)
        np.testing.assert_array_equal(found.reference, k)
        np.testing.assert_allclose(found.psi_rad, grid.psi.numpy()[psi[:, k]])
        shift_px = found.shift_A / particles.pixel_size_A
        np.testing.assert_allclose(shift_px, grid.shifts_px.numpy()[shift[:, k]], atol=1e-5)
