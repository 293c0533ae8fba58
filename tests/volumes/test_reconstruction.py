"""Reconstruction from known poses: statistics, symmetry, the four methods on small objects with known truth."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous.fourier import (
    central_slices,
    centred_irfft2,
    centred_rfft2,
    prepare_volume,
    rfft2_multiplicity,
    shift_phase,
)
from vitreous.iterate import state_from_arrays, state_to_arrays
from vitreous.matching import ImagePreparation
from vitreous.optics import CTFParameters, ctf_2d
from vitreous.particles import read_particles, read_star, read_volume
from vitreous.quality import shell_correlation, soft_ball
from vitreous.rotations import euler_to_matrix, random_rotations, symmetry_matrices
from vitreous.volumes.reconstruction import (
    ART,
    Gridding,
    LeastSquares,
    PosedParticles,
    ReconstructionState,
    WeightedBackProjection,
    accumulate,
    add_sums,
    background_power,
    empty_sums,
    full_circle,
    least_squares,
    random_halves,
    reconstruct,
    reconstruction_algorithm,
)
from vitreous.volumes.reconstruction.art import blob_transform
from vitreous.volumes.reconstruction.grid import from_real_space, to_real_space
from vitreous.volumes.reconstruction.solve import back_projection_weights, point_spread
from vitreous.volumes.reconstruction.statistics import DiscPoints, coset_matrices

BOX, PIXEL_A = 20, 5.0
METHODS = [Gridding(), WeightedBackProjection(), LeastSquares(), ART()]
by_method = pytest.mark.parametrize("settings", METHODS, ids=lambda s: type(s).__name__)


def blobs(group: str = "C1") -> torch.Tensor:
    """A lopsided map of a few blobs, or one of a point group."""
    rng = np.random.default_rng(2)
    centres = torch.from_numpy(rng.uniform(-2.2, 2.2, (5, 3)))
    centres = torch.einsum("gab,nb->gna", symmetry_matrices(group), centres).reshape(-1, 3)
    axis = torch.arange(BOX, dtype=torch.float64) - BOX // 2
    parts = torch.exp(-((axis - centres[..., None]) ** 2) / (2 * 1.3**2))
    return torch.einsum("mz,my,mx->zyx", parts[:, 2], parts[:, 1], parts[:, 0]).float()


def microscope(n: int) -> CTFParameters:
    """Astigmatic, with a phase plate for some."""
    rng = np.random.default_rng(3)
    u = rng.uniform(8000, 20000, n)
    same = {"voltage_kV": np.full(n, 300.0), "cs_mm": np.full(n, 2.0), "amplitude_contrast": np.full(n, 0.1)}
    return CTFParameters(
        defocus_u_A=u,
        defocus_v_A=u - rng.uniform(0, 3000, n),
        defocus_angle_deg=rng.uniform(0, 180, n),
        phase_shift_deg=np.where(np.arange(n) % 3 == 0, 60.0, 0.0),
        b_factor_A2=np.zeros(n),
        **same,
    )


def scene(
    n: int = 200, *, noise: float = 0.0, ctf: bool = True, group: str = "C1", volume: torch.Tensor | None = None
) -> PosedParticles:
    """Images of a map (:func:`blobs`): projected, shifted, seen by a microscope, with white noise."""
    truth = blobs(group) if volume is None else volume
    rotations = random_rotations(n, seed=1)
    origin = np.random.default_rng(4).uniform(-8, 8, (n, 2))
    ft = central_slices(prepare_volume(truth, 4), rotations.float(), BOX)
    ft = ft * shift_phase(torch.from_numpy(-origin / PIXEL_A).float(), BOX)
    parameters = microscope(n) if ctf else None
    if parameters is not None:
        ft = ft * ctf_2d(parameters, BOX, PIXEL_A)
    clean = centred_irfft2(ft, BOX).numpy()
    images = clean + noise * np.random.default_rng(5).normal(size=clean.shape).astype(np.float32)
    return PosedParticles(
        read=lambda index: images[index],
        preparation=ImagePreparation.for_box(BOX, PIXEL_A, 95.0, normalise=False),
        ctf=parameters,
        rotations=rotations.numpy(),
        origins_A=origin,
    )


def fsc(a: np.ndarray, b: torch.Tensor) -> np.ndarray:
    mask = soft_ball(BOX, 7.0, 2.0)
    return shell_correlation(torch.from_numpy(a) * mask, b * mask).numpy()


def all_sums(particles: PosedParticles, group: str | None = None, index: np.ndarray | None = None):
    matrices = None if group is None else symmetry_matrices(group)
    nothing = (empty_sums(BOX), empty_sums(BOX))
    chosen = np.arange(len(particles)) if index is None else index
    found, bad = accumulate(particles, chosen, nothing, group=matrices)
    return tuple(full_circle(half, matrices) for half in found), bad


@by_method
@pytest.mark.parametrize("ctf", [False, True])
def test_many_exact_images_give_the_map_back(settings, ctf):
    """To shell 8 of 10 (back-projection: 7), where the blobs have a millionth of their power."""
    found = reconstruct(scene(400, ctf=ctf), settings)
    last = 7 if isinstance(settings, WeightedBackProjection) else 8
    assert fsc(found.full.data, blobs())[: last + 1].min() > 0.99
    assert fsc(found.halves[0].data, blobs())[:7].min() > 0.98
    assert found.fsc[1:6].min() > 0.97
    truth = blobs().numpy()
    scale = (found.halves[0].data * truth).sum() / (truth**2).sum()
    assert scale == pytest.approx(1.0, abs=0.12)  # units are those of the images


def test_sums_are_the_adjoint_of_imaging():
    """<projections of V under CTF and shift, X> = <V, what X inserts>, in double sums of single precision."""
    particles = scene(6)
    volume = torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(1))
    points = DiscPoints.of(BOX, PIXEL_A, "cpu")
    prepared = prepare_volume(volume)
    slices = central_slices(prepared, torch.from_numpy(particles.rotations).float(), BOX).reshape(6, -1)
    ctf = ctf_2d(particles.ctf, BOX, PIXEL_A).reshape(6, -1)
    centre = shift_phase(torch.from_numpy(-particles.origins_A / PIXEL_A).float(), BOX).reshape(6, -1)
    images = torch.from_numpy(particles.read(np.arange(6)))
    seen = centred_rfft2(images).reshape(6, -1)
    half = rfft2_multiplicity(BOX).flatten() / 2
    forward = ((ctf * centre * slices).conj() * seen * half)[:, points.inside].sum().real
    (a, b), _ = accumulate(particles, np.arange(6), (empty_sums(BOX), empty_sums(BOX)))
    backward = (prepared.conj() * (a.numerator + b.numerator)).sum().real
    assert backward == pytest.approx(float(forward), rel=1e-4)
    weight = ((ctf**2) * half)[:, points.inside].sum()
    assert float(a.denominator.sum() + b.denominator.sum()) == pytest.approx(float(weight), rel=1e-4)


def test_halves_chunks_and_weights_add_up():
    particles = scene(30)
    whole, _ = all_sums(particles)
    parts = [all_sums(particles, index=np.arange(k, 30, 3))[0] for k in range(3)]
    for half in (0, 1):
        together = add_sums(*(part[half] for part in parts))
        for name in ("numerator", "denominator"):
            a, b = getattr(together, name), getattr(whole[half], name)
            assert (a - b).abs().max() < 1e-5 * b.abs().max()
        assert int(together.particles) == int(whole[half].particles) == 15
    one = all_sums(replace(particles, half=np.zeros(30, int)))[0][0]
    assert (add_sums(*whole).numerator - one.numerator).abs().max() < 1e-5 * one.numerator.abs().max()
    with pytest.raises(ValueError, match="different boxes"):
        add_sums(empty_sums(8), empty_sums(10))


def test_weight_zero_nan_pose_and_bad_images_are_as_good_as_absent():
    particles = scene(24, noise=0.5)
    images = particles.read(np.arange(24)).copy()
    images[5, 3, 3] = np.nan
    rotations = particles.rotations.copy()
    rotations[7] = np.nan
    weights = np.ones(24)
    weights[2] = 0.0
    spoiled = replace(particles, read=lambda i: images[i], rotations=rotations, weights=weights)
    left = np.setdiff1d(np.arange(24), [2, 5, 7])
    found, bad = all_sums(spoiled)
    expected, _ = all_sums(particles, index=left)
    assert bad.tolist() == [5]
    assert np.flatnonzero(spoiled.unusable).tolist() == [7]
    for a, b in zip(found, expected, strict=True):
        assert (a.numerator - b.numerator).abs().max() < 1e-5 * b.numerator.abs().max()
        assert (int(a.particles), float(a.weight)) == (int(b.particles), float(b.weight))
    result = reconstruct(spoiled)
    assert (result.bad.tolist(), sum(result.particles)) == ([5], 21)


def test_a_particle_at_several_poses_is_the_mean_of_particles_at_one():
    particles = scene(12)
    turns = random_rotations(12 * 3, seed=4).numpy().reshape(12, 3, 3, 3)
    origins = np.random.default_rng(4).normal(size=(12, 3, 2))
    spread, _ = all_sums(replace(particles, spread=lambda index: (turns[index], origins[index])))
    each = [all_sums(replace(particles, rotations=turns[:, j], origins_A=origins[:, j]))[0] for j in range(3)]
    for half in (0, 1):
        for name in ("numerator", "denominator"):
            mean = sum(getattr(sums[half], name) for sums in each) / 3
            found = getattr(spread[half], name)
            assert (found - mean).abs().max() < 1e-5 * mean.abs().max()
        assert spread[half].particles == each[0][half].particles
        assert spread[half].weight == each[0][half].weight


def test_two_of_weight_one_are_one_of_weight_two():
    particles = scene(10)
    index = np.arange(10) % 5
    twice = replace(
        particles, read=lambda i: particles.read(i % 5), rotations=particles.rotations[index],
        origins_A=particles.origins_A[index], ctf=particles.ctf.take(index), half=np.zeros(10, int),
    )  # fmt: skip
    a = all_sums(twice)[0][0]
    b = all_sums(replace(particles, weights=np.repeat([2.0, 0.0], 5), half=np.zeros(10, int)))[0][0]
    assert (a.numerator - b.numerator).abs().max() < 1e-5 * b.numerator.abs().max()
    assert (a.denominator - b.denominator).abs().max() < 1e-5 * b.denominator.max()


@pytest.mark.parametrize(("group", "inserted"), [("C4", 1), ("D2", 1), ("D7", 7), ("O", 1), ("I", 5), ("C3", 3)])
def test_symmetry_is_that_of_explicit_copies(group, inserted):
    particles = scene(4)
    matrices = symmetry_matrices(group)
    assert len(coset_matrices(matrices)) == inserted
    found, _ = all_sums(particles, group)
    copies = (matrices[:, None].numpy() @ particles.rotations).reshape(-1, 3, 3)
    times = len(matrices)
    index = np.tile(np.arange(4), times)
    explicit = replace(
        particles, read=lambda i: particles.read(i % 4), rotations=copies, origins_A=particles.origins_A[index],
        ctf=particles.ctf.take(index), half=particles.half_of[index],
    )  # fmt: skip
    expected, _ = all_sums(explicit)
    for a, b in zip(found, expected, strict=True):
        assert (a.numerator * times - b.numerator).abs().max() < 2e-4 * b.numerator.abs().max()
        assert (a.denominator * times - b.denominator).abs().max() < 2e-4 * b.denominator.abs().max()


@by_method
def test_few_images_of_a_symmetric_particle(settings):
    """24 views of D7 are 336 of it; without the group they do not determine it as well."""
    particles, truth = scene(24, group="D7", noise=0.3), blobs("D7")
    with_group = fsc(reconstruct(particles, replace(settings, symmetry="D7")).full.data, truth)[1:8].mean()
    without = fsc(reconstruct(particles, settings).full.data, truth)[1:8].mean()
    assert with_group > 0.95
    assert with_group > without + 0.02


def test_least_squares_is_the_dense_solution_and_never_rises():
    """On a box of 10: the normal matrix column by column, solved directly."""
    n = 10
    rng = np.random.default_rng(6)
    images = rng.normal(size=(12, n, n)).astype(np.float32)
    particles = PosedParticles(
        read=lambda i: images[i],
        preparation=ImagePreparation.for_box(n, 6.0, 54.0, normalise=False),
        ctf=None,
        rotations=random_rotations(12, seed=2).numpy(),
        origins_A=np.zeros((12, 2)),
    )
    (a, b), _ = accumulate(particles, np.arange(12), (empty_sums(n), empty_sums(n)))
    sums = full_circle(add_sums(a, b), None)
    prior = torch.full_like(sums.denominator, 0.3 * float(sums.denominator.max()))
    mask = soft_ball(n, 2.0, 2.0)
    told: list[float] = []
    found = least_squares(sums, prior, mask, iterations=60, objective=told.append)

    kernel = point_spread(sums.denominator, n)

    def filtered(volume, gain):
        return to_real_space(from_real_space(volume, n) * gain, n, correct=False)

    columns = torch.eye(n**3).reshape(-1, n, n, n)
    matrix = torch.stack([(mask * filtered(mask * c, kernel) + filtered(c, prior)).flatten() for c in columns])
    right = (mask * to_real_space(sums.numerator, n)).flatten().double()
    assert (matrix - matrix.T).abs().max() < 1e-5 * matrix.abs().max()
    direct = torch.linalg.solve(matrix.double(), right).reshape(n, n, n) * mask
    assert (found - direct).norm() < 1e-3 * direct.norm()
    assert all(later <= earlier + 1e-6 * abs(earlier) for earlier, later in pairwise(told))
    best = float(0.5 * right @ torch.linalg.solve(matrix.double(), right))
    assert told[-1] == pytest.approx(-best, rel=1e-3)


def test_filter_of_back_projection_is_radermachers():
    """Without a CTF: sum_i D sinc(D k . d_i) for an object of diameter D, at samples within the sphere."""
    n, radius = BOX, 6.0
    particles = replace(scene(40, ctf=False), preparation=ImagePreparation.for_box(n, PIXEL_A, 60.0, normalise=False))
    sums = full_circle(add_sums(*accumulate(particles, np.arange(40), (empty_sums(n), empty_sums(n)))[0]), None)
    found = back_projection_weights(sums, n, radius)
    h = found.shape[-1] - 2
    rng = np.random.default_rng(1)
    k = np.stack([rng.integers(-8, 9, 60), rng.integers(-8, 9, 60), rng.integers(1, 9, 60)], 1)  # z, y, x samples
    along = (k[:, ::-1] / (2 * n)) @ particles.rotations[:, :, 2].T
    expected = np.sinc(2 * radius * along).sum(1)
    values = found[k[:, 0] + h + 1, k[:, 1] + h + 1, k[:, 2]].numpy()
    assert np.corrcoef(values, expected)[0, 1] > 0.98


def test_blob_is_smooth_normalised_and_never_zero_below_nyquist():
    k = torch.linspace(0, 0.5, 200)
    values = blob_transform(k)
    assert float(values[0]) == pytest.approx(1.0, abs=1e-5)
    assert (values.diff() < 0).all()
    assert values[-1] > 0.02
    assert float(blob_transform(torch.tensor([10.4 / (4 * np.pi)]))[0]) > 0  # where the two forms meet


def test_noise_of_groups_is_measured_and_weighs():
    particles = scene(120, noise=1.0)
    group = np.arange(120) % 2
    images = particles.read(np.arange(120)).copy()
    images[1::2] += 3 * np.random.default_rng(8).normal(size=images[1::2].shape).astype(np.float32)
    noisy = replace(particles, read=lambda i: images[i])
    power = background_power(noisy.read, noisy.preparation, group)
    assert float(power[0, 2:].mean()) == pytest.approx(1.0, abs=0.15)
    assert float(power[1, 2:].mean()) == pytest.approx(10.0, abs=1.5)
    weighed = replace(noisy, noise_group=group, noise_power=power, half=np.arange(120) // 2 % 2)
    plain = replace(noisy, half=weighed.half)
    gain = (
        fsc(reconstruct(weighed).full.data, blobs())[1:8].mean()
        - fsc(reconstruct(plain).full.data, blobs())[1:8].mean()
    )
    assert gain > 0.01


def test_a_map_of_noise_has_no_resolution():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(200, BOX, BOX)).astype(np.float32)
    found = reconstruct(replace(scene(200), read=lambda i: noise[i]))
    assert found.fsc[3:].abs().mean() < 0.15
    assert np.abs(found.full.data).max() < np.abs(found.halves[0].data).max()


@by_method
def test_threads_and_interruptions_change_no_bit(settings, monkeypatch):
    monkeypatch.setattr("vitreous.volumes.reconstruction.algorithm.CHUNK", 8)
    particles = scene(40, noise=0.5)
    whole = reconstruct(particles, settings)
    algorithm = reconstruction_algorithm(particles, settings, threads=2)
    state, steps, before = algorithm.init(0), 0, torch.get_num_threads()
    torch.set_num_threads(2)
    while not algorithm.done(state):
        state, _ = algorithm.step(state)
        state = state_from_arrays(ReconstructionState, state_to_arrays(state))
        steps += 1
    again = algorithm.finalise(state)
    torch.set_num_threads(before)
    assert steps == 5 + (2 if isinstance(settings, ART) else 0)
    assert np.array_equal(whole.full.data, again.full.data)
    assert np.array_equal(whole.halves[1].data, again.halves[1].data)


def test_halves_are_of_equal_size_and_depend_on_the_seed():
    half = random_halves(101, 3)
    assert sorted(np.bincount(half)) == [50, 51]
    assert np.array_equal(half, random_halves(101, 3))
    assert not np.array_equal(half, random_halves(101, 4))


@pytest.mark.parametrize("ctf", [False, True])
def test_relions_projections_give_relions_map(ctf):
    """24 stored views of a 64 px map: within the shells that 24 views fill, its map comes back."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "conventions"
    if not folder.is_dir():
        pytest.skip(f"RELION's projections are not at {folder}")
    poses = read_star(folder / "poses.star")
    table = poses[next(name for name in poses if "rlnAngleRot" in poses[name])]
    particles = read_particles(folder / ("ctf.star" if ctf else "noctf.star"))
    angles = np.stack([table.numbers(f"rlnAngle{name}") for name in ("Rot", "Tilt", "Psi")], axis=1)
    given = PosedParticles(
        read=particles.read,
        preparation=ImagePreparation.for_box(particles.box_px, particles.pixel_size_A, normalise=False),
        ctf=particles.ctf if ctf else None,
        rotations=euler_to_matrix(torch.from_numpy(angles)).numpy(),
        origins_A=particles.origin_A,
    )
    truth = torch.from_numpy(np.array(read_volume(folder / "map_64_5A.mrc").data))
    mask = soft_ball(64, 26.0, 4.0)
    curve = shell_correlation(torch.from_numpy(reconstruct(given).full.data) * mask, truth * mask)
    assert curve[1:6].min() > 0.9  # at shell 6 the gaps between 24 views are as wide as the particle's transform varies
    mirrored = truth.flip(2).roll(1, 2)
    other = shell_correlation(torch.from_numpy(reconstruct(given).full.data) * mask, mirrored * mask)
    assert curve[3:8].mean() > other[3:8].mean() + 0.2  # the hand is RELION's


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rotations": np.zeros((0, 3, 3)), "origins_A": np.zeros((0, 2)), "ctf": None}, "no particles"),
        ({"rotations": np.full((8, 3, 3), np.nan)}, "0 and 0 particles with a pose"),
        ({"half": np.zeros(8, int)}, "8 and 0 particles"),
        ({"half": np.full(8, 2)}, "half: expected 0 or 1"),
        ({"weights": np.full(8, -1.0)}, "weights: expected numbers that are not negative"),
        ({"origins_A": np.zeros((7, 2))}, "origins_A: expected shape"),
        ({"ctf": microscope(7)}, "parameters of 8 particles, found 7"),
        ({"noise_group": np.zeros(8, int)}, "belong together"),
        ({"read": lambda i: np.full((len(i), BOX, BOX), np.nan, np.float32)}, "0 and 0 usable images"),
    ],
)
def test_what_cannot_be_reconstructed_is_explained(change, words):
    with pytest.raises(ValueError, match=words):
        reconstruct(replace(scene(8), **change))


def test_settings_refuse_what_cannot_work():
    for make, words in (
        (lambda: Gridding(symmetry="X3"), "symmetry: symmetry group: expected"),
        (lambda: ART(relaxation=3.0), "relaxation: expected at most 2"),
        (lambda: LeastSquares(iterations=0), "iterations: expected at least 1"),
        (lambda: WeightedBackProjection(particle_diameter_A=-1.0), "particle_diameter_A"),
    ):
        with pytest.raises(ValueError, match=words):
            make()
