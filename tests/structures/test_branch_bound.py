"""Branch and bound against the exhaustive search of the same grid, and its bounds against all that they bound."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from posed_scenes import DIAMETER_A, PIXEL_A, scene

from vitreous.matching import (
    ImagePreparation,
    best_rotations,
    best_shifts,
    in_blocks,
    make_references,
    prepare_particles,
)
from vitreous.rotations import symmetry_matrices
from vitreous.structures.branch_bound import best_by_bound, level_rings, pose_tree, tree_references
from vitreous.structures.branch_bound.search import _Images, _wide
from vitreous.structures.refine.start import from_poses
from vitreous.volumes import RingPoints, ring_slices

RINGS, N, SD_PX = 6, 10, 2.0
ONE = torch.eye(3, dtype=torch.float64)[None]


def searched(snr, seed, *, levels=(4, RINGS), range_A=12.0, group=None):
    """Particles, their map in true poses (noise), a tree, its slices."""
    made = scene(60, snr, seed)
    how = ImagePreparation.for_box(32, PIXEL_A, DIAMETER_A, normalise=False)
    data = prepare_particles(made.particles.read, 60, how, rings=RINGS, ctf=made.particles.ctf)
    start = from_poses(data, made.truth, np.arange(N, 60), RINGS, group=ONE)
    tree = pose_tree(data, RINGS, offset_range_A=range_A, seed=seed, levels=levels, group=group)
    references = tree_references(tree, start.volume, ctf_harmonics=data.ctf_harmonics, offset_sd_px=SD_PX)
    return data, start, tree, references


def exhaustive(data, start, tree):
    """The highest log posterior of every particle, with direction, rotation and shift: by products of matrices."""
    finest = tree.finest
    slices = ring_slices(start.volume, torch.from_numpy(finest.matrices).float(), RingPoints(basis=finest.grid.basis))
    references = make_references(
        finest.grid,
        slices,
        ctf_harmonics=data.ctf_harmonics,
        log_class_prior=torch.zeros(len(slices)),
        offset_sd_px=SD_PX,
    )
    tile = data.tile(np.arange(N), RINGS, start.noise_power)
    (block,) = in_blocks(references, N)
    value, shift = best_shifts(tile, block)
    top, direction = value.max(1)
    at = shift[torch.arange(N), direction]
    turn = best_rotations(tile.truncated(finest.grid), references, direction, at)
    return top.numpy(), direction.numpy(), at.numpy(), turn.numpy()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), snr=st.sampled_from([0.02, 0.3, 5.0]), levels=st.sampled_from([(4, 6), (3, 4, 6)]))
def test_the_sure_bound_finds_the_pose_of_the_exhaustive_search_for_every_particle(seed, snr, levels):
    data, start, tree, references = searched(snr, seed, levels=levels)
    top, direction, shift, turn = exhaustive(data, start, tree)
    found = best_by_bound(data, np.arange(N), start.noise_power, references)
    np.testing.assert_allclose(found.score, top, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(found.direction, direction)
    np.testing.assert_array_equal(found.shift, shift)
    np.testing.assert_array_equal(found.turn, turn)


@pytest.mark.parametrize("sigmas", [None, 3.0])
def test_bounds_hold_for_the_poses_below_a_row(sigmas):
    """The sure one for all of them; the likely one for the pose that an image without noise has been made in."""
    data, start, _, references = searched(5.0, 3)
    level, finest = references.levels
    tile = data.tile(np.arange(N), RINGS, start.noise_power)
    pose = 7 * finest.level.shifts  # a row of the finest level, its first rotation
    if sigmas is not None:  # X = C a, so x = C^2 a / sigma^2: with a round CTF
        basis = finest.level.grid.basis
        a = torch.zeros(basis.rings, basis.harmonics, dtype=torch.complex64)
        row = finest.rows[pose]
        a[basis.used] = torch.complex(torch.from_numpy(row[0]), torch.from_numpy(row[1]))
        a = a / basis.ring_weight[:, None]
        power = tile.ctf_power[:, :, :1].real
        tile = type(tile)(data=a * power, ctf_power=power.to(torch.complex64))
    images = _Images.of(tile, finest)

    def scores(which):
        """Log likelihoods (N, D S, T) without priors, from the definition."""
        basis = which.level.grid.basis
        a = torch.zeros(len(which.rows), basis.rings, basis.harmonics, dtype=torch.complex64)
        a[:, basis.used] = torch.complex(*torch.from_numpy(which.rows).unbind(1))
        c = torch.einsum("nrq,krq->nkq", tile.data[:, : basis.rings, : basis.harmonics].conj(), a)
        p = torch.complex(*torch.from_numpy(which.power).unbind(1))
        norm = 0.5 * torch.einsum("nrh,drh->ndh", tile.ctf_power[:, : basis.rings].conj(), p)
        norm = norm.repeat_interleave(which.level.shifts, 1)
        c[:, :, 2 : 2 * norm.shape[2] : 2] -= norm[:, :, 1:]
        turns = torch.exp(1j * torch.arange(basis.harmonics)[:, None] * which.level.grid.psi)
        return ((c * basis.multiplicity) @ turns).real.numpy() - norm[:, :, :1].real.numpy()

    coarse, fine = scores(level), scores(finest)
    parent_d = np.repeat(np.arange(len(level.level.matrices)), np.diff(level.level.direction_first))
    parent_s = np.repeat(np.arange(level.level.shifts), np.diff(level.level.shift_first))
    parent = (parent_d[:, None] * level.level.shifts + parent_s).ravel()
    wide = _wide(images, level, sigmas)
    flat = np.tile(level.prior, len(level.level.matrices))
    bound = (coarse + (wide - flat)[:, :, None])[:, parent]
    if sigmas is None:
        assert (fine <= bound + 1e-2).all()
        assert (fine > coarse[:, parent]).any()  # so that there is something to bound
    else:
        assert (fine[:, pose, 0] <= bound[:, pose, 0]).all()


def test_the_likely_bound_scores_fewer_poses_and_is_seldom_wrong():
    data, start, tree, references = searched(0.5, 1)
    top = exhaustive(data, start, tree)[0]
    sure = best_by_bound(data, np.arange(N), start.noise_power, references)
    likely = best_by_bound(data, np.arange(N), start.noise_power, references, sigmas=3.0)
    assert likely.evaluated.poses[-1] < 0.8 * sure.evaluated.poses[-1]
    assert (likely.score > top - 0.01).mean() >= 0.9


def test_a_point_group_leaves_one_unit_to_search():
    one, four = (pose_of(group) for group in (None, symmetry_matrices("D2").double().numpy()))
    assert 0.2 < len(four.finest.matrices) / len(one.finest.matrices) < 0.3


def pose_of(group):
    return searched(5.0, 0, group=group)[2]


def test_children_are_turned_the_shortest_way_from_their_parents():
    tree = pose_of(None)
    above, below = tree.levels
    parent = np.repeat(np.arange(len(above.matrices)), np.diff(above.direction_first))
    relative = np.swapaxes(above.matrices[parent], 1, 2) @ below.matrices
    angle = np.arccos((np.trace(relative, axis1=1, axis2=2) - 1) / 2)
    np.testing.assert_allclose(np.cos(angle), relative[:, 2, 2], atol=1e-6)
    assert below.rows == len(below.matrices) * below.shifts
    np.testing.assert_allclose(np.linalg.det(below.matrices), 1, atol=1e-9)


def test_levels_that_cannot_be_are_refused():
    data = searched(5.0, 0)[0]
    assert level_rings(9) == (6, 9)
    for wrong in ((6,), (6, 4), (4, 5)):
        with pytest.raises(ValueError, match="levels: expected two or more"):
            pose_tree(data, RINGS, offset_range_A=10.0, levels=wrong)
