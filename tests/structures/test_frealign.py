"""FREALIGN's iteration: poses of the best correlation, Wiener's filter with a constant, the same outputs as MAP-EM."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from posed_scenes import DIAMETER_A, Scene, error_deg, scene
from scipy.spatial.transform import Rotation

from vitreous.matching import ImagePreparation, PreparedParticles, prepare_particles
from vitreous.structures.refine import Refine, prepare_refinement, refine
from vitreous.structures.refine.correlation import correlate_locally, scales
from vitreous.structures.refine.images import PointImages, point_images
from vitreous.structures.refine.insertion import insert
from vitreous.structures.refine.methods import method_of
from vitreous.volumes import RingPoints, density, masked, prepared, prior_share, resample, zero_volume_sums

RINGS, COUNT = 8, 40
SETTINGS = Refine(method="frealign", particle_diameter_A=DIAMETER_A, folds=4, initial_lowpass_A=35.0)


@pytest.fixture(scope="module")
def made() -> Scene:
    return scene(COUNT, snr=2.0)


@pytest.fixture(scope="module")
def data(made) -> PreparedParticles:
    particles = made.particles
    preparation = ImagePreparation.for_box(particles.box_px, particles.pixel_size_A, DIAMETER_A, normalise=False)
    return prepare_particles(particles.read, COUNT, preparation, rings=RINGS, ctf=particles.ctf)


@pytest.fixture(scope="module")
def images(made, data) -> tuple[torch.Tensor, PointImages]:
    points = RingPoints(basis=data.basis)
    pixel_A = data.basis.window_px * data.pixel_size_A / points.side
    grid = resample(made.map, points.side, pixel_A)
    return prepared(masked(torch.from_numpy(grid.data), points.basis)), point_images(
        data, np.arange(COUNT), points, 0.1 * data.group_power
    )


def correlation(volume: torch.Tensor, tile: PointImages, rotation: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """CC of whole tensors."""
    slices, x = tile.slices(volume, rotation), tile.centred(origin)
    product = (slices.conj() * x).real.sum(1)
    return (product / (slices.abs().square().sum(1) * x.abs().square().sum(1)).sqrt()).numpy()


def test_the_gain_is_the_square_of_the_correlation(made, images):
    volume, tile = images
    found = correlation(volume, tile, made.truth.rotation, made.truth.origin_A)
    _, gain = scales(volume, tile, made.truth.rotation, made.truth.origin_A)
    assert (found > 0.3).all()
    assert np.allclose(gain, found**2 * tile.x.abs().square().sum(1).numpy(), rtol=2e-3)


def test_the_correlation_climbs_whatever_the_scale_of_the_map(made, images):
    """A pose of MAP-EM depends on the scale of the map; that of the best correlation does not."""
    volume, tile = images
    rng = np.random.default_rng(0)
    rotation = made.truth.rotation @ Rotation.from_rotvec(rng.normal(0, 0.06, (COUNT, 3))).as_matrix()
    origin = made.truth.origin_A + rng.normal(0, 2.0, (COUNT, 2))
    before = correlation(volume, tile, rotation, origin)
    found = correlate_locally(volume, tile, rotation, origin)
    after = correlation(volume, tile, found.rotation, found.origin_A)
    assert (after > before - 1e-4).all()
    assert np.median(error_deg(found.rotation, made.truth.rotation)) < 2.0
    again = correlate_locally(4.0 * volume, tile, rotation, origin)
    assert np.median(error_deg(again.rotation, found.rotation)) < 0.05
    assert np.allclose(again.gain, found.gain, rtol=0.01)


def test_the_map_is_a_wiener_filter_with_a_constant(made, data, images):
    """Where the constant is tiny, that of plain division; where it is huge, the numerator over the constant."""
    _, tile = images
    sums = zero_volume_sums(RINGS)
    insert(sums, tile, made.truth.rotation[:, None], made.truth.origin_A[:, None])
    basis, tau2 = data.basis, torch.full((RINGS,), torch.inf)

    def reference(constant: float, rings: int) -> torch.Tensor:
        method = method_of(replace(SETTINGS, wiener_constant=constant))
        return method.reference(sums, basis, tau2, rings)

    plain = density(sums, basis, torch.full((RINGS,), 1e9))
    assert torch.allclose(reference(1e-12, RINGS), plain, atol=1e-3 * float(plain.abs().max()))
    weak, weaker = reference(1e5, RINGS), reference(1e6, RINGS)
    assert torch.allclose(weak, 10 * weaker, atol=1e-3 * float(weak.abs().max()))
    constant = float(prior_share(basis, RINGS))
    assert constant > 0
    half = prepared(reference(0.1, 4))
    outer = half[1:-1, 1:-1, :-1][:, :, 2 * 7 :]  # beyond seven rings; the mask spreads a little
    assert float(outer.abs().max()) < 0.05 * float(half.abs().max())


def test_poses_and_map_are_found_again():
    made = scene(240, snr=1.0)
    result = refine(made.particles, SETTINGS, poses=made.start(5.0, 3.0, lost=0.1), threads=1)
    error = error_deg(result.poses.rotation, made.truth.rotation)
    assert np.median(error) < 4.0  # 2.5 with MAP-EM
    assert (error < 10).mean() > 0.93
    assert result.found_signal
    assert result.messages == []


def test_particles_see_no_more_than_the_halves_agree_on_and_are_never_spread():
    made = scene(100, snr=0.3)
    job = prepare_refinement(made.particles, SETTINGS, poses=made.start(5.0, 3.0), threads=1)
    state = job.algorithm.init(0)
    work = job.work(state)
    assert not work.method.spreads
    assert not work.method.priors
    for _ in range(3):
        state, info = job.algorithm.step(state)
        assert info["spread"] is False
