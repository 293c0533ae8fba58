"""The whole of 2D classification on a few hundred small particles with known truth."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from sets import (
    BOX,
    PIXEL_A,
    SHAPES,
    adjusted_rand_index,
    angle_error_deg,
    defocus,
    matched,
    ready,
    settings,
    simulate,
)

from vitreous.averages.class2d import class2d, em, prepare_run
from vitreous.averages.class2d.em import Class2DState
from vitreous.averages.result import Class2DResult
from vitreous.conventions import in_plane_matrix
from vitreous.fourier import resize_images
from vitreous.iterate import run, state_from_arrays, state_to_arrays
from vitreous.matching import NoiseRows
from vitreous.testing import ArrayParticles, Blobs

N = 320
ARRAYS = [f for f, t in Class2DResult.__annotations__.items() if t is np.ndarray or t == "np.ndarray"]


@lru_cache
def classified(snr: float, astigmatism_A: float | None):
    """(particles, truth, result)."""
    ctf = None if astigmatism_A is None else defocus(N, 3, astigmatism_A)
    particles, truth = simulate(N, snr, 7, ctf=ctf)
    return particles, truth, class2d(particles, settings())


@pytest.mark.parametrize(("snr", "astigmatism_A"), [(0.2, None), (0.1, 0.0), (0.1, 3000.0)])
def test_classes_and_angles_are_found(snr, astigmatism_A):
    _, truth, result = classified(snr, astigmatism_A)
    label = result.class_number - 1
    assert adjusted_rand_index(label, truth.label) > 0.95
    errors = [angle_error_deg(result.psi_deg[label == k], truth.psi_deg[label == k]) for k in range(4)]
    assert np.median(np.concatenate(errors)) < 3
    assert result.found_signal
    assert (result.resolution_A < 30).all()


def test_origins_are_found_up_to_one_shift_per_class():
    """A' (r) = A(R(d) r + t) is as good a class image as A: R(psi) (o_true - o_found) is t for all particles."""
    _, truth, result = classified(0.2, None)
    label = result.class_number - 1
    origin = np.stack([result.origin_x_A, result.origin_y_A], 1) / PIXEL_A
    u = np.stack([in_plane_matrix(p) @ d for p, d in zip(truth.psi_deg, truth.origin_px - origin, strict=True)])
    for k in range(4):
        mine = u[label == k]
        assert np.median(np.abs(mine - np.median(mine, 0))) < 0.25
        assert np.abs(np.median(mine, 0)).max() < 3


def test_averages_look_like_the_shapes():
    """Turned by the angle and shifted by the offset that the class settled on."""
    _, truth, result = classified(0.2, None)
    label = result.class_number - 1
    for found, true in matched(label, truth.label).items():
        mine = (label == found) & (truth.label == true)
        turn = np.rad2deg(np.angle(np.exp(1j * np.deg2rad(truth.psi_deg - result.psi_deg))[mine].mean()))
        origin = np.stack([result.origin_x_A, result.origin_y_A], 1)[mine] / PIXEL_A
        difference = truth.origin_px[mine] - origin
        t = np.median([in_plane_matrix(p) @ d for p, d in zip(result.psi_deg[mine], difference, strict=True)], 0)
        expected = SHAPES[true].image(BOX, turn, tuple(t))
        y, x = np.indices((BOX, BOX)) - BOX // 2
        inside = np.hypot(x, y) < 12
        assert np.corrcoef(result.averages[found][inside], expected[inside])[0, 1] > 0.95


def test_the_result_keeps_its_contract():
    particles, _, result = classified(0.1, 0.0)
    n, k, shells = N, 4, BOX // 2 + 1
    shapes = {
        "averages": (k, BOX, BOX),
        "averages_half": (2, k, BOX, BOX),
        "frc": (k, shells),
        "ssnr": (k, shells),
        "noise_power": (1, shells),
    }
    for name in ARRAYS:
        value = getattr(result, name)
        expected = shapes.get(name, (k,) if name in CLASS_FIELDS else (n,))
        assert value.shape == expected, name
        assert not np.isnan(value).any(), name
    assert result.averages.dtype == result.averages_half.dtype == np.float32
    assert (np.diff(result.population) <= 0).all()
    assert result.population.tolist() == np.bincount(result.class_number, minlength=k + 1)[1:].tolist()
    assert result.population.sum() == n
    assert result.distribution.sum() == pytest.approx(1, abs=1e-5)
    assert (result.effective_number <= n).all()
    assert ((result.max_probability > 0) & (result.max_probability <= 1 + 1e-5)).all()
    assert (result.entropy >= -1e-5).all()
    np.testing.assert_allclose(result.effective_classes, np.exp(result.entropy), rtol=1e-6)
    assert (result.significant >= 1).all()
    assert ((result.psi_deg >= -180) & (result.psi_deg < 180)).all()
    assert (result.frc <= 1).all()
    assert (result.ssnr >= 0).all()
    assert (result.weight == 1).all()
    assert result.pixel_size_A == particles.pixel_size_A
    # Images were normalised to background sd 1, and most of their power is noise.
    assert result.noise_power[0, 5:].mean() == pytest.approx(1, rel=0.2)


CLASS_FIELDS = ("resolution_A", "population", "distribution", "effective_number")


def same(a: Class2DResult, b: Class2DResult) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ARRAYS)


def test_one_seed_gives_one_result_and_another_another():
    particles, _, result = classified(0.1, 0.0)
    assert same(result, class2d(particles, settings()))
    assert not same(result, class2d(particles, settings(seed=2)))


@pytest.mark.parametrize("stop", [pytest.param(0, marks=pytest.mark.slow), 3, pytest.param(8, marks=pytest.mark.slow)])
def test_a_resumed_run_ends_with_the_same_bits(stop):
    particles, _, result = classified(0.1, 0.0)
    first, state = ready(particles)
    with torch.no_grad():
        for _ in range(stop):
            assert not first.algorithm.done(state)
            state, _ = first.algorithm.step(state)
        kept = state_from_arrays(Class2DState, state_to_arrays(state))
        fresh = prepare_run(particles, settings())
        resumed, last = run(fresh.algorithm, seed=99, state=kept)
        _, uninterrupted = run(first.algorithm, seed=99, state=state)
    assert same(result, resumed)
    assert last.iteration == uninterrupted.iteration > stop


def test_the_input_is_not_changed_and_states_are_values():
    particles, _ = simulate(64, 0.2, 3)
    before = particles.images.copy()
    prepared, state = ready(particles)
    kept = state_to_arrays(state)
    with torch.no_grad():
        a, _ = prepared.algorithm.step(state)
        b, _ = prepared.algorithm.step(state)
    assert all(np.array_equal(v, state_to_arrays(state)[name]) for name, v in kept.items())
    x, y = state_to_arrays(a), state_to_arrays(b)
    assert all(np.array_equal(x[name], y[name]) for name in x)
    assert np.array_equal(before, particles.images)


def test_bad_images_are_refused_and_carried_through():
    particles, truth = simulate(N, 0.2, 7)
    images = particles.images.copy()
    images[5, 3, 3], images[17], images[40, 0, 0] = np.nan, 2.5, np.inf
    result = class2d(ArrayParticles(images=images, pixel_size_A=PIXEL_A), settings())
    bad = np.zeros(N, bool)
    bad[[5, 17, 40]] = True
    assert (result.class_number[bad] == 0).all()
    assert (result.weight[bad] == 0).all()
    assert (result.weight[~bad] == 1).all()
    assert result.population.sum() == N - 3
    assert any("3 particles could not be used" in m for m in result.messages)
    assert adjusted_rand_index(result.class_number[~bad] - 1, truth.label[~bad]) > 0.9
    assert np.isfinite(result.averages).all()


def test_passes_may_see_a_part_of_the_data():
    particles, truth, _ = classified(0.1, 0.0)
    history: list[dict] = []
    result = class2d(particles, settings(subset=120), on_step=history.append)
    sizes = [h["batch_size"] for h in history]
    assert sizes[0] == pytest.approx(120, abs=8)
    assert max(sizes) <= N
    seen = [h["particles_seen"] for h in history]
    assert seen[0] < N
    assert seen == sorted(seen)
    assert (result.class_number > 0).all()
    assert adjusted_rand_index(result.class_number - 1, truth.label) > 0.9


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_found_in_noise(seed):
    particles, _ = simulate(N, 0, seed)
    result = class2d(particles, settings(seed=seed))
    assert not result.found_signal
    assert any("Nothing was found" in m for m in result.messages)


def test_the_stand_ins_for_images_are_like_real_noise():
    """Noise images and what replaces them in the noise test: same power on every ring, same variance of scores."""
    n, rings = 1500, 9
    particles, _ = simulate(n, 0, 1)
    prepared, state = ready(particles)
    data = prepared.data(16)
    stand_ins = replace(data, packed=NoiseRows(data, seed=1))
    shape = torch.from_numpy(SHAPES[0].image(BOX)).float()[None]
    reference = data.basis.unpack(data.basis.expand(resize_images(shape, data.basis.box_px)), rings)
    m = data.basis.multiplicity[: reference.shape[2]]
    variance, power = [], []
    for source in (data, stand_ins):
        x = source.tile(np.arange(n), rings, state.noise_power).data
        scores = ((x.conj() * reference).real * m * data.basis.ring_weight[:rings, None]).sum((1, 2))
        variance.append(float(scores.var()))
        power.append(((x.abs().square() * m).sum(2) * state.noise_power[:, :rings] ** 2).mean(0))
    assert variance[1] == pytest.approx(variance[0], rel=5 * (4 / n) ** 0.5)
    torch.testing.assert_close(power[1], power[0], rtol=0.08, atol=0)


def test_averages_are_centred():
    """Shapes whose mass is two pixels off the centre of rotation of the images."""
    shapes = []
    for s in SHAPES[:2]:
        middle = (s.heights @ s.centres_px) / s.heights.sum()
        shapes.append(
            Blobs(centres_px=0.8 * (s.centres_px - middle) + [2.0, 0.5], heights=s.heights, width_px=s.width_px)
        )
    particles, _ = simulate(240, 0.3, 7, shapes=shapes)
    result = class2d(particles, settings(classes=2))
    axis = np.arange(BOX) - BOX // 2
    for average in result.averages:
        mass = np.clip(average - 0.2 * average.max(), 0, None)
        centre = np.array([mass.sum(0) @ axis, mass.sum(1) @ axis]) / mass.sum()
        assert np.abs(centre).max() < 0.5


def test_contrast_may_be_inverted():
    particles, _, result = classified(0.2, None)
    dark = ArrayParticles(images=-particles.images, pixel_size_A=PIXEL_A)
    inverted = class2d(dark, settings(invert_contrast=True))
    np.testing.assert_array_equal(inverted.class_number, result.class_number)
    np.testing.assert_allclose(inverted.psi_deg, result.psi_deg, atol=1e-3)


def test_a_resolution_limit_is_kept():
    particles, _, _ = classified(0.1, 0.0)
    history: list[dict] = []
    class2d(particles, settings(resolution_limit_A=25.0), on_step=history.append)
    assert min(h["search_resolution_A"] for h in history) >= 25.0


@pytest.mark.parametrize("folds", [4, 5])
def test_few_folds_will_do(folds):
    particles, truth, _ = classified(0.2, None)
    result = class2d(particles, settings(folds=folds))
    assert adjusted_rand_index(result.class_number - 1, truth.label) > 0.6


def test_settings_that_do_not_fit_are_refused_in_plain_words():
    particles, _ = simulate(20, 0.2, 1)
    with pytest.raises(ValueError, match="20 particles are too few for 30 classes"):
        prepare_run(particles, settings(classes=30))  # before any image is read
    images = particles.images.copy()
    images[:8] = np.nan
    with pytest.raises(ValueError, match="12 usable particles are too few for 6 classes and 8 folds"):
        class2d(ArrayParticles(images=images, pixel_size_A=PIXEL_A), settings(classes=6))
    with pytest.raises(ValueError, match="does not leave a background"):
        class2d(particles, settings(particle_diameter_A=200.0))
    with pytest.raises(ValueError, match="fewer than 8 pixels"):
        class2d(particles, settings(particle_diameter_A=20.0))
    tiny = ArrayParticles(images=particles.images[:, :8, :8], pixel_size_A=PIXEL_A)
    with pytest.raises(ValueError, match="images of 8 pixels are too small"):
        class2d(tiny, settings(particle_diameter_A=None))


def test_memory_that_does_not_hold_one_class_is_said_and_changes_nothing():
    """30 kB hold a few of the shifted copies of one average; 4 GB hold all of hundreds."""
    particles, _ = simulate(60, 0.5, 3)
    some = settings(iterations=2, classes=2)
    assert not [note for note in prepare_run(particles, some).plan.notes if "memory" in note]
    prepared = prepare_run(particles, some, memory_bytes=30 << 10)
    assert [note for note in prepared.plan.notes if "more will be used" in note]
    result, _ = run(prepared.algorithm, seed=1)
    plenty, _ = run(prepare_run(particles, some).algorithm, seed=1)
    assert np.array_equal(result.averages, plenty.averages)
    assert np.array_equal(result.class_number, plenty.class_number)


def test_a_snapshot_shows_the_state():
    particles, _ = simulate(64, 0.2, 3)
    prepared, state = ready(particles)
    with torch.no_grad():
        first = prepared.snapshot(state)
        assert (first["class_number"] == 0).all()
        state, _ = prepared.algorithm.step(state)
    snapshot = prepared.snapshot(state)
    assert snapshot["averages"].shape == (4, BOX, BOX)
    assert snapshot["distribution"].sum() == pytest.approx(1)
    assert set(snapshot["class_number"]) <= {0, 1, 2, 3, 4}  # 0: the jury, which waits for the final pass
    found = np.stack([snapshot["origin_x_A"], snapshot["origin_y_A"]], 1)
    np.testing.assert_array_equal(found, state.alignments.origin_A)
    assert np.hypot(*found.T).max() <= prepared.plan.offset_range_A + 1e-4


def test_examples_are_members_of_their_class_turned_into_its_frame():
    particles, _, result = classified(0.2, None)
    prepared = prepare_run(particles, settings())
    examples = prepared.examples(result, per_class=3, classes=2)
    assert [number for number, _, _ in examples] == [1, 1, 1, 2, 2, 2]
    for number, row, image in examples:
        assert result.class_number[row] == number
        inside = np.hypot(*(np.indices((BOX, BOX)) - BOX // 2)) < 12
        assert np.corrcoef(image[inside], result.averages[number - 1][inside])[0, 1] > 0.2


@pytest.mark.parametrize("stop", [13, pytest.param(16, marks=pytest.mark.slow)])
def test_a_run_that_needs_more_rings_prepares_them_and_resumes_with_the_same_bits(stop):
    shapes = [Blobs.random(400 + k, count=10, reach_px=16, width_px=1.0) for k in range(2)]
    particles, truth = simulate(96, 1.0, 5, shapes=shapes, box=64)
    options = {"classes": 2, "particle_diameter_A": 240.0, "folds": 4, "iterations": 20}
    history: list[dict] = []
    result = class2d(particles, settings(**options), on_step=history.append)
    rings = [h["rings"] for h in history]
    assert max(rings) > 16  # more than are prepared at the start
    assert adjusted_rand_index(result.class_number - 1, truth.label) == 1
    first, state = ready(particles, **options)
    with torch.no_grad():
        for _ in range(stop):
            state, _ = first.algorithm.step(state)
        kept = state_from_arrays(Class2DState, state_to_arrays(state))
        resumed, _ = run(prepare_run(particles, settings(**options)).algorithm, seed=99, state=kept)
    assert same(result, resumed)


def test_every_other_pass_meets_the_contenders_only(monkeypatch):
    for name in ("NARROW_SHARE", "NARROW_SHARE_COARSE"):
        monkeypatch.setattr(em, name, 0.5)  # four classes of distinct shapes: 0.4 of them are close
    particles, _ = simulate(N, 1.0, 7)
    algorithm = prepare_run(particles, settings()).algorithm
    state, narrow = algorithm.init(3), 0
    assert (state.contenders == 255).all()  # of particles that were not seen yet
    while not algorithm.done(state):
        before, (state, _) = state, algorithm.step(state)
        close = np.unpackbits(before.contenders, axis=1, count=4).astype(bool)
        turn = before.iteration % em.FULL_EVERY != 0 and before.march.rings >= em.NARROW_FROM_RINGS
        if turn and close.mean() < 0.5:
            narrow += 1
            assert (state.contenders == before.contenders).all()  # only a pass over all classes renews them
            assert close[np.arange(N), state.alignments.reference].all()
    assert narrow > 0
