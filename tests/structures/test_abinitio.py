"""Ab initio structures from simulated particles: right, reproducible, honest where there is nothing."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from vitreous.particles import Volume
from vitreous.rotations import compare_poses, random_rotations, symmetry_matrices
from vitreous.structures.abinitio import Abinitio, abinitio, prepare_run
from vitreous.structures.abinitio.directions import asymmetric_unit, directions_for, slice_matrices
from vitreous.structures.abinitio.maps import at_particle_size
from vitreous.structures.abinitio.origins import VIEWS_NATS, spherical
from vitreous.structures.abinitio.schedule import FIRST_RINGS, Schedule, particles_of_pass
from vitreous.structures.abinitio.views import one_view_message, share_along_axis
from vitreous.testing import ArrayParticles
from vitreous.volumes import project_map

BOX, PIXEL_A, N = 24, 6.0, 300
SETTINGS = Abinitio(particle_diameter_A=110.0, offset_range_A=8.0, starts=2, resolution_limit_A=22.0, folds=6)


def lopsided(*, spread_A: float = 24.0, width_A: float = 9.0) -> Volume:
    """Seven blobs."""
    rng = np.random.default_rng(3)
    z, y, x = (np.indices((BOX, BOX, BOX)) - BOX // 2) * PIXEL_A
    data = np.zeros((BOX, BOX, BOX))
    for _ in range(7):
        cx, cy, cz = spread_A * rng.normal(size=3).clip(-1.5, 1.5)
        data += rng.uniform(0.5, 1.5) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / (2 * width_A**2))
    return Volume(data=data.astype(np.float32), pixel_size_A=PIXEL_A)


def images_of(volume: Volume, rotations: np.ndarray, snr: float, seed: int = 0) -> ArrayParticles:
    rng = np.random.default_rng(seed)
    origins = rng.uniform(-5.0, 5.0, size=(len(rotations), 2))
    clean = project_map(volume, rotations, origins, BOX, PIXEL_A)
    noise = rng.normal(size=clean.shape) * np.sqrt(clean.var() / snr) if snr else rng.normal(size=clean.shape)
    return ArrayParticles(images=(clean * (snr > 0) + noise).astype(np.float32), pixel_size_A=PIXEL_A)


def test_a_structure_is_found_from_random_poses_and_starts_agree():
    rotations = random_rotations(N, seed=5).numpy()
    found = abinitio(images_of(lopsided(), rotations, snr=0.5), SETTINGS)
    assert found.found_signal
    assert found.reproducible
    assert found.messages == []
    truth = compare_poses(found.poses.rotation, rotations, group=np.eye(3)[None], within_deg=25.0)
    assert truth.fraction > 0.75  # two steps of the grid; chance: 3 in 100
    assert found.poses.known.all()
    assert found.volumes[0].data.shape == (BOX, BOX, BOX)
    assert found.starts[found.best].evidence == max(start.evidence for start in found.starts)


def test_noise_is_called_nothing():
    found = abinitio(
        images_of(lopsided(), random_rotations(160, seed=1).numpy(), snr=0.0), SETTINGS, starts=1, iterations=2
    )
    assert not found.found_signal
    assert any(message.startswith("Nothing was found") for message in found.messages)


def test_the_map_projects_to_the_images_in_size_and_scale():
    """A fit of projections of the map to clean images has the slope 1, within the loss of resolution."""
    rotations = random_rotations(N, seed=5).numpy()
    particles = images_of(lopsided(spread_A=16.0, width_A=7.0), rotations, snr=20.0)
    found = abinitio(particles, SETTINGS, starts=1, normalise=False)
    shown = project_map(found.volumes[0], found.poses.rotation, found.poses.origin_A, BOX, PIXEL_A)
    images = particles.read(slice(None))
    images = images - images.mean((1, 2), keepdims=True)
    shown = shown - shown.mean((1, 2), keepdims=True)
    slope = (images * shown).sum() / (shown**2).sum()
    assert slope == pytest.approx(1.0, abs=0.15)
    assert np.corrcoef(images.ravel(), shown.ravel())[0, 1] > 0.9


def test_too_few_particles_are_refused():
    few = images_of(lopsided(), random_rotations(10, seed=1).numpy(), snr=1.0)
    with pytest.raises(ValueError, match="too few"):
        prepare_run(few, SETTINGS)


@pytest.mark.parametrize("name", ["C1", "C4", "D2", "D7", "T", "O", "I"])
def test_every_direction_has_one_copy_in_the_asymmetric_unit(name):
    group = symmetry_matrices(name)
    directions = torch.nn.functional.normalize(torch.randn(500, 3, dtype=torch.float64, generator=None), dim=1)
    copies = torch.einsum("gab,nb->gna", group, directions)
    inside = torch.stack([asymmetric_unit(copy, group) for copy in copies])
    assert (inside.sum(0) == 1).all()
    assert (len(directions_for(8.0, group, seed=0, purpose=("x",))) * len(group)) == pytest.approx(645, rel=0.15)


def test_slice_matrices_are_rotations_with_their_direction():
    directions = directions_for(30.0, torch.eye(3, dtype=torch.float64)[None], seed=0, purpose=("x",))
    matrices = slice_matrices(directions)
    assert torch.allclose(matrices @ matrices.mT, torch.eye(3, dtype=torch.float64).expand_as(matrices), atol=1e-12)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(len(matrices), dtype=torch.float64))
    assert torch.allclose(matrices[:, :, 2], directions)


def test_maps_keep_their_mass_and_place_when_they_are_resized():
    run = prepare_run(images_of(lopsided(), random_rotations(200, seed=1).numpy(), snr=1.0), SETTINGS)
    data = run.data()
    n = 2 * (data.basis.rings + 1)
    z, y, x = np.indices((n, n, n)) - n // 2
    blob = torch.from_numpy(np.exp(-((x - 1.0) ** 2 + y**2 + z**2) / 4.0).astype(np.float32))
    finer = at_particle_size(blob, data).data
    window_px = data.basis.window_px * BOX / data.basis.box_px
    assert finer.sum() * PIXEL_A == pytest.approx(float(blob.sum()), rel=0.02)
    axis = np.arange(BOX) - BOX // 2
    assert (finer.sum((0, 1)) * axis).sum() / finer.sum() == pytest.approx(window_px / n, abs=0.05)


def test_passes_see_all_particles_in_turn():
    folds = (np.arange(10), np.arange(10, 21))
    passes = [particles_of_pass(folds, 8, number) for number in range(3)]
    assert [[len(part) for part in one] for one in passes] == [[4, 4]] * 3
    assert {int(i) for one in passes for part in one for i in part} == set(range(21))
    assert not set(passes[0][0].tolist()) & set(passes[1][0].tolist())
    everyone = particles_of_pass(folds, 100, 2)
    assert [sorted(part.tolist()) for part in everyone] == [fold.tolist() for fold in folds]


def test_the_prior_on_origins_keeps_a_third_of_the_range():
    """Particles are in the centre: what is learnt alone would be far narrower."""
    rotations = random_rotations(N, seed=5).numpy()
    volume = lopsided()
    clean = project_map(volume, rotations, np.zeros((N, 2)), BOX, PIXEL_A)
    noise = np.random.default_rng(0).normal(size=clean.shape) * np.sqrt(clean.var())
    particles = ArrayParticles(images=(clean + noise).astype(np.float32), pixel_size_A=PIXEL_A)
    widths: list[float] = []
    abinitio(particles, SETTINGS, starts=1, iterations=5, on_step=lambda info: widths.append(info["sigma_offset_A"]))
    assert widths[-1] == SETTINGS.offset_range_A / 3


def test_a_ball_decides_no_views_and_no_width_of_origins():
    """A ball is seen well, but its views are not: what an empty volume is worse by does not count."""
    z, y, x = (np.indices((BOX, BOX, BOX)) - BOX // 2) * PIXEL_A
    ball = Volume(data=np.exp(-(x**2 + y**2 + z**2) / (2 * 20.0**2)).astype(np.float32), pixel_size_A=PIXEL_A)
    particles = images_of(ball, random_rotations(N, seed=5).numpy(), snr=0.5)
    passes: list[dict[str, float]] = []
    abinitio(particles, SETTINGS, starts=1, iterations=5, on_step=passes.append)
    assert passes[-1]["log_likelihood"] > 2 * VIEWS_NATS
    assert passes[-1]["sigma_offset_A"] == 0


def test_a_spherical_average_keeps_the_mean_of_the_first_harmonic():
    slices = torch.tensor([[[2.0, 5.0]], [[4.0, 7.0]], [[1.0, 1.0]], [[3.0, 1.0]]], dtype=torch.complex64)
    assert spherical(slices, 2).tolist() == [[[3.0, 0.0]], [[2.0, 0.0]]]


def test_more_particles_take_part_while_images_say_little_and_rings_march():
    first = Schedule.start(9, 1000)
    little = first.next(moved=0.9, evidence=1.0, most_rings=9, most_particles=5000)
    assert (little.batch, little.rings, little.here) == (5000, FIRST_RINGS, 1)
    many = Schedule(rings=9, batch=5000, first=1000).next(moved=0.9, evidence=12.5, most_rings=9, most_particles=5000)
    assert many.batch == 2000
    much = first.next(moved=0.1, evidence=50.0, most_rings=9, most_particles=5000)
    assert (much.batch, much.rings) == (1000, FIRST_RINGS + 1)


def test_a_start_settles_only_at_the_last_rings_with_poses_at_rest_and_evidence_no_longer_rising():
    last = Schedule(rings=9, batch=1000, first=1000, here=1, evidence=50.0)
    assert last.next(moved=0.02, evidence=50.1, most_rings=9, most_particles=1000).settled
    assert not last.next(moved=0.02, evidence=55.0, most_rings=9, most_particles=1000).settled
    assert not last.next(moved=0.4, evidence=50.1, most_rings=9, most_particles=1000).settled


def test_one_view_is_said_to_be_one():
    """Not so with a fifth of the views anywhere, nor for side views of a particle with an axis of its own."""
    anywhere = random_rotations(400, seed=1).numpy()
    about_z = Rotation.from_rotvec(np.linspace(0, 2 * np.pi, 400)[:, None] * [0.0, 0.0, 1.0]).as_matrix()
    tilted = Rotation.from_rotvec(np.random.default_rng(2).normal(0, np.deg2rad(8.0), (400, 3))).as_matrix() @ about_z
    some = np.where(np.arange(400)[:, None, None] % 5 == 0, anywhere, tilted)
    side = about_z @ Rotation.from_rotvec([np.pi / 2, 0.0, 0.0]).as_matrix()
    assert one_view_message(tilted, "C1")[0].startswith("One view: ")
    assert one_view_message(some, "C1") == one_view_message(anywhere, "C1") == one_view_message(side, "C7") == []
    assert share_along_axis(some, "C1") == pytest.approx(0.8 + 0.2 * (1 - np.cos(np.deg2rad(30.0))), abs=0.05)
