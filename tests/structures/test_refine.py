"""Refinement as a whole: poses and map found again, errors that are true, halves apart, and nothing out of noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from posed_scenes import DIAMETER_A, PIXEL_A, error_deg, scene, true_map
from scipy.spatial.transform import Rotation

from vitreous.iterate import state_from_arrays, state_to_arrays
from vitreous.particles import Volume
from vitreous.quality import compare_maps, resolution_at, shell_correlation
from vitreous.rotations import random_rotations
from vitreous.structures import Poses
from vitreous.structures.abinitio import Abinitio, abinitio
from vitreous.structures.refine import Refine, prepare_refinement, refine
from vitreous.structures.refine.final import _postprocessed
from vitreous.structures.refine.start import SHARED_A, initial_rings
from vitreous.structures.refine.state import RefineState
from vitreous.volumes import RingPoints, postprocess, slice_power, spherical_mask

SETTINGS = Refine(particle_diameter_A=DIAMETER_A, folds=6, initial_lowpass_A=35.0)


def agreement(found: Volume, true: Volume) -> np.ndarray:
    """FSC of two maps on the same grid, within a sphere."""
    n = found.box_px
    axis = np.arange(n) - n // 2
    ball = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 < (0.45 * n) ** 2).astype(np.float32)
    a, b = (torch.from_numpy(v.data * ball)[None] for v in (found, true))
    return shell_correlation(a, b)[0].numpy()


@pytest.fixture(scope="module")
def made():
    return scene(400, snr=1.0)


@pytest.fixture(scope="module")
def result(made):
    return refine(made.particles, SETTINGS, poses=made.start(5.0, 3.0, lost=0.1), threads=1)


def test_poses_and_map_are_found_again(made, result):
    error = error_deg(result.poses.rotation, made.truth.rotation)
    assert np.median(error) < 2.5
    assert (error < 10).mean() > 0.97  # a tenth began anywhere
    fsc = agreement(result.full, made.map)
    assert fsc[1:8].min() > 0.9
    assert result.found_signal
    assert result.same_view > 0.95
    assert 2 * PIXEL_A <= result.resolution_A < 18.0
    assert result.messages == []


def test_errors_of_poses_are_those_that_are_said(made, result):
    """Normalised by what is said of them, errors per axis have unit variance: in the plane, of directions, of
    origins.
    """
    error = error_deg(result.poses.rotation, made.truth.rotation)
    near = error < 10
    relative = result.poses.rotation @ np.swapaxes(made.truth.rotation, 1, 2)
    u, _, v = np.linalg.svd(relative[near].mean(0))
    w = Rotation.from_matrix(np.swapaxes((u @ v) @ made.truth.rotation, 1, 2) @ result.poses.rotation).as_rotvec()
    w = np.rad2deg(w[near])
    assert (w[:, 2] / result.sigma_psi_deg[near]).std() == pytest.approx(1.0, abs=0.25)
    assert (w[:, :2] / result.sigma_direction_deg[near, None]).std() == pytest.approx(1.0, abs=0.25)
    frame = np.swapaxes(result.poses.rotation[near][:, :, :2], 1, 2)
    difference = (result.poses.origin_A - made.truth.origin_A)[near]
    shift = np.linalg.lstsq(frame.reshape(-1, 3), difference.ravel(), rcond=None)[0]
    assert ((difference - frame @ shift) / result.sigma_origin_A[near, None]).std() == pytest.approx(1.0, abs=0.25)


@pytest.mark.slow
def test_errors_are_true_of_noisy_particles():
    """180 nats per particle, as a ribosome of 64 pixels has at SNR 0.1, and enough particles for a good map: 10 %."""
    made = scene(2000, snr=0.5, seed=7)
    found = refine(made.particles, SETTINGS, poses=made.start(6.0, 3.0), threads=1)
    near = error_deg(found.poses.rotation, made.truth.rotation) < 15
    relative = found.poses.rotation @ np.swapaxes(made.truth.rotation, 1, 2)
    frame = Rotation.from_matrix(relative[near]).mean().as_matrix()
    w = Rotation.from_matrix(np.swapaxes(frame @ made.truth.rotation, 1, 2) @ found.poses.rotation).as_rotvec()[near]
    for values, sigma in ((w[:, 2:], found.sigma_psi_deg), (w[:, :2], found.sigma_direction_deg)):
        normalised = np.rad2deg(values) / sigma[near, None]
        assert 1.4826 * np.median(np.abs(normalised)) == pytest.approx(1.0, abs=0.1)
    assert near.mean() > 0.9


def test_halves_are_equal_and_apart(made, result):
    assert np.bincount(result.half).tolist() == [200, 200]
    noise = [half.data - made.map.data * (half.data * made.map.data).sum() / (made.map.data**2).sum()
             for half in result.halves]  # fmt: skip
    outer = agreement(Volume(data=noise[0], pixel_size_A=PIXEL_A), Volume(data=noise[1], pixel_size_A=PIXEL_A))[14:]
    assert np.abs(outer).max() < 0.2


def test_a_reference_on_another_grid_without_poses(made):
    """All views are searched; grey scale, box and pixel size of the reference do not matter."""
    reference = true_map(30, 6.3)
    found = refine(
        made.particles,
        SETTINGS,
        reference=reference.with_data(37.0 * reference.data + 5.0),
        iterations=3,
        folds=4,
        initial_lowpass_A=22.0,
        threads=1,
    )
    error = error_deg(found.poses.rotation, made.truth.rotation)
    assert np.median(error) < 3.0
    assert (error < 10).mean() > 0.95


def test_of_a_finer_reference_the_halves_share_20_A(made):
    """The second half begins without what is finer: what halves have in common there is in the particles."""
    start = {"reference": made.map, "poses": made.truth, "threads": 1}
    run = prepare_refinement(made.particles, replace(SETTINGS, initial_lowpass_A=12.0), **start)
    with torch.no_grad():
        work = run.work(run.algorithm.init(0))
    first, second = (work.initial_of(fold) for fold in work.folds[:2])
    points = RingPoints(basis=work.data.basis.truncated(initial_rings(work.data, 12.0)))
    power = [slice_power(volume, points, random_rotations(20, seed=1)).numpy() for volume in (first, second)]
    shared = initial_rings(work.data, SHARED_A)
    np.testing.assert_allclose(power[1][: shared - 1], power[0][: shared - 1], rtol=1e-5)
    assert power[1][shared + 1 :].max() == 0.0 < power[0][shared + 1 :].min()
    coarse = prepare_refinement(made.particles, SETTINGS, **start)
    with torch.no_grad():
        work = coarse.work(coarse.algorithm.init(0))
    assert work.initial_of(work.folds[0]) is work.initial_of(work.folds[1])


def test_nothing_is_claimed_of_a_ball():
    """A hollow ball, refined against a map that has it and something inside, which no particle shows.

    Both halves come to what they began with, and the ball makes it strong: they agree, in views that nobody has.
    """
    true = true_map()
    axis = PIXEL_A * (np.arange(true.box_px) - true.box_px // 2)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    ball = np.exp(-0.5 * ((radius - 45.0) / 6.0) ** 2).astype(np.float32)
    ball *= true.data.std() / ball.std()
    particles = scene(200, snr=1.0, seed=8, volume=true.with_data(ball)).particles
    reference = true.with_data(ball + true.data)
    found = refine(particles, SETTINGS, reference=reference, folds=4, iterations=2, threads=1)
    assert found.in_sphere.certain_resolution_A < 25.0  # the halves do agree
    assert found.same_view < 2 / 3
    assert found.resolution_A == np.inf


def test_nothing_is_claimed_for_noise():
    """Noise aligned to a reference reproduces it in both halves; particles fit the other half's map no better than
    noise.
    """
    noise = scene(160, snr=0.1, seed=3, signal=False)
    found = refine(noise.particles, SETTINGS, reference=noise.map, folds=4, iterations=2, threads=1)
    assert not found.found_signal
    assert found.resolution_A == np.inf
    assert "No resolution is claimed" in found.messages[0]


def test_nothing_is_claimed_from_views_that_are_not_those_of_the_particles(made):
    """Halves that start from random poses agree on the map of these; particles match it, but in other views."""
    found = refine(
        made.particles, SETTINGS, poses=made.start(1.0, 1.0, lost=1.0), iterations=2, search="never", threads=1
    )
    assert found.in_sphere.certain_resolution_A < np.inf  # the halves do agree
    assert found.same_view < 1 / 3
    assert found.resolution_A == found.masked_resolution_A == np.inf
    assert "find their view again" in found.messages[0]


@pytest.mark.slow
@pytest.mark.parametrize("colour", ["white", "coloured"])
def test_nothing_is_claimed_for_noise_of_any_colour_or_start(colour):
    """A reference, and poses that an ab initio run has found in the noise."""
    noise = scene(300, snr=0.1, seed=4, signal=False)
    if colour == "coloured":
        k = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)[None])
        images = np.fft.irfft2(np.fft.rfft2(noise.particles.images) / np.sqrt(1 + (k / 0.06) ** 2), s=(32, 32))
        noise = replace(noise, particles=replace(noise.particles, images=images.astype(np.float32)))
    poses = abinitio(noise.particles, Abinitio(particle_diameter_A=DIAMETER_A, starts=1, iterations=3)).poses
    for start in ({"reference": noise.map}, {"poses": poses}):
        found = refine(noise.particles, SETTINGS, iterations=3, threads=1, **start)
        assert found.resolution_A == np.inf
        assert "No resolution is claimed" in found.messages[0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_the_claim_is_no_finer_than_the_truth(seed):
    """Of 1,500 particles of 50 nats: within the same sphere the map of both halves and the truth correlate by 0.5."""
    made = scene(1500, snr=0.15, seed=seed)
    found = refine(made.particles, SETTINGS, poses=made.start(6.0, 3.0), threads=1)
    ball = spherical_mask(made.map, DIAMETER_A).data
    aligned = compare_maps(found.post.mean, made.map)[1]
    curve = shell_correlation(torch.from_numpy(aligned.data * ball), torch.from_numpy(made.map.data * ball))
    truth = float(resolution_at(curve, 0.5, made.map.box_px, PIXEL_A))
    assert np.isfinite(found.resolution_A)
    assert truth * 0.98 <= found.resolution_A < truth * 1.25


def test_a_run_goes_on_from_any_state_with_the_same_bits(made):
    def run():
        return prepare_refinement(made.particles, SETTINGS, poses=made.start(5.0, 3.0), threads=1).algorithm

    whole, states = run(), []
    state = whole.init(0)
    with torch.no_grad():
        for _ in range(4):
            state, _ = whole.step(state)
            states.append(state)
        again = run()
        arrays = state_to_arrays(states[1])
        resumed = state_from_arrays(RefineState, arrays)
        for _ in range(2):
            resumed, _ = again.step(resumed)
    for name, value in state_to_arrays(states[3]).items():
        assert np.array_equal(value, state_to_arrays(resumed)[name]), name


def test_a_run_that_ends_just_as_more_rings_are_prepared_is_finished(made):
    settings = replace(SETTINGS, iterations=1)
    algorithm = prepare_refinement(made.particles, settings, poses=made.start(5.0, 3.0), threads=1).algorithm
    with torch.no_grad():
        state, _ = algorithm.step(algorithm.init(0))
        widened = algorithm.finalise(replace(state, inserted_rings=0))  # as it is left where the room has grown
    assert widened.found_signal
    assert np.isfinite(widened.resolution_A)


def test_threads_change_no_bit(made):
    found = []
    for threads in (1, 3):
        algorithm = prepare_refinement(made.particles, SETTINGS, poses=made.start(5.0, 3.0), threads=threads).algorithm
        with torch.no_grad():
            state = algorithm.init(0)
            for _ in range(2):
                state, _ = algorithm.step(state)
        found.append(state)
    assert np.array_equal(found[0].rotation, found[1].rotation)
    assert torch.equal(found[0].noise_power, found[1].noise_power)


def test_what_cannot_be_refined_is_said(made):
    with pytest.raises(ValueError, match="a reference map or poses"):
        prepare_refinement(made.particles, SETTINGS)
    with pytest.raises(ValueError, match="no poses and no reference"):
        prepare_refinement(made.particles, SETTINGS, poses=Poses.unknown(400)).algorithm.init(0)
    with pytest.raises(ValueError, match="400 usable particles are too few for 100 folds"):
        prepare_refinement(made.particles, replace(SETTINGS, folds=100), poses=made.truth).algorithm.init(0)
    with pytest.raises(ValueError, match=r"four folds at .* need .* GB"):
        prepare_refinement(made.particles, SETTINGS, poses=made.truth, memory_bytes=1 << 20)
    # 600 MB for the program and 3/16 of the memory for tiles and searches leave room for six folds of 2.9 MB and work.
    planned = prepare_refinement(made.particles, SETTINGS, poses=made.truth, memory_bytes=840 << 20)
    assert (planned.fold_count, planned.memory_limit_A) == (6, None)
    for wrong, words in (({"folds": 5}, "an even number"), ({"search": "x"}, "auto"), ({"symmetry": "Q2"}, "C1")):
        with pytest.raises(ValueError, match=words):
            Refine(**wrong)


def test_a_map_that_fills_its_box_is_still_a_result():
    """No mask can be made from such a map, which is found out after all passes; the sphere stands in for it."""
    draw, axis = np.random.default_rng(0), np.arange(15) - 7
    blob = np.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) / 32)
    halves = tuple(Volume(data=blob + 0.02 * draw.normal(size=blob.shape), pixel_size_A=19.0) for _ in range(2))
    ball = spherical_mask(halves[0], 250.0)
    with pytest.raises(ValueError, match="mask"):
        postprocess(*halves)
    post, said = _postprocessed(halves, None, ball, None, 0)
    assert np.array_equal(post.mask.data, ball.data)
    assert "the sphere of the particle" in said[0]
