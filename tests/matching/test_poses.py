"""Signs of angles and shifts, and continuous refinement of poses."""

import numpy as np
import pytest
import torch
from scenes import OFFSET_SD_PX, Scene, make_scene, prepared, whole

from vitreous.matching import PoseGrid, RingBasis, best_rows, disc_grid, make_references, refine_poses
from vitreous.matching.refine import _derivatives
from vitreous.testing import Blobs, polar_points, twin_scores

BASIS = RingBasis(box_px=32, radius_px=14.0, rings=11)
SHAPE = Blobs.random(11, reach_px=6)


def harmonics(image: np.ndarray) -> torch.Tensor:
    return BASIS.unpack(BASIS.expand(torch.from_numpy(image).float()[None]))


def in_class_frame(psi: float, o: np.ndarray) -> np.ndarray:
    c, s = np.cos(psi), np.sin(psi)
    return np.array([[c, -s], [s, c]]) @ o


def tile_of(images: np.ndarray, sigma2: float = 5.0):
    particles = prepared(BASIS, images, None)
    return particles.tile(np.arange(len(images)), BASIS.rings, torch.full((1, BASIS.rings), sigma2))


@pytest.mark.parametrize(("j", "shift"), [(0, (0, 0)), (9, (1, 0)), (25, (0, -1)), (40, (-1, 1)), (60, (2, 1))])
def test_the_best_hypothesis_is_the_pose_of_the_conventions(j, shift):
    grid = PoseGrid(basis=BASIS, n_psi=72, shifts_px=disc_grid(1.0, 2.5))
    psi = float(grid.psi[j])
    u = np.array(shift, float)
    o = in_class_frame(-psi, u)
    tile = tile_of(SHAPE.image(32, np.rad2deg(psi), tuple(o))[None])
    references = make_references(
        grid, harmonics(SHAPE.image(32)), ctf_harmonics=1, log_class_prior=torch.zeros(1), offset_sd_px=float("inf")
    )
    rows = best_rows(tile, whole(references, len(tile)), 0.0)
    top = int(rows.log_weight[0].argmax())
    assert top == j
    assert grid.shifts_px[rows.shift[0]].tolist() == list(shift)
    found = grid.origins_px(grid.psi[top][None], rows.shift[:1])[0]
    np.testing.assert_allclose(found.numpy(), o, atol=1e-5)


def test_the_disc_grid_is_a_disc_ordered_by_distance():
    points = disc_grid(0.5, 1.2)
    distance = points.norm(dim=1)
    assert points[0].tolist() == [0, 0]
    assert (distance.diff() >= -1e-6).all()
    expected = sum(1 for x in range(-2, 3) for y in range(-2, 3) if (x**2 + y**2) * 0.25 <= 1.44)
    assert len(points) == expected
    assert disc_grid(1.0, 0.0).tolist() == [[0, 0]]


@pytest.mark.parametrize("rings", [1, 4, 11])
def test_grids_carry_the_highest_harmonic(rings):
    grid = PoseGrid.for_rings(BASIS, rings, 3.0)
    assert grid.n_psi % 4 == 0
    assert grid.n_psi >= 2 * grid.harmonics - 1
    assert float(grid.shifts_px.norm(dim=1).max()) <= 3.0 + 1e-5
    fewer = PoseGrid.for_rings(BASIS, rings, 8.0, most_shifts=7)
    assert 1 <= len(fewer.shifts_px) <= 7
    assert len(PoseGrid.for_rings(BASIS, rings, 8.0).shifts_px) >= len(fewer.shifts_px)
    assert grid.psi_step_deg == pytest.approx(np.rad2deg(float(grid.psi[1])), rel=1e-6)


def test_shifting_there_and_back_is_the_identity_where_nothing_is_cut():
    """The rim of the particle passes beyond the last harmonic when it is shifted, hence a particle in the middle."""
    grid = PoseGrid(basis=BASIS, n_psi=4 * BASIS.harmonics, shifts_px=disc_grid(1.0, 1.5))
    a = harmonics(Blobs.random(3, reach_px=3).image(32))
    there = grid.shift_references(a)[0]
    back = grid.unshift(there, torch.arange(len(grid.shifts_px)))
    assert float((back - a).abs().max()) < 1e-3 * float(a.abs().max())
    assert float((there - a).abs().amax((1, 2))[1:].min()) > 0.05 * float(a.abs().max())


def poses(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 2 * np.pi * rng.random(n), rng.uniform(-1.5, 1.5, (n, 2))


def test_refinement_finds_poses_between_the_grid_points():
    n = 12
    psi, u = poses(n, 0)
    images = np.stack(
        [SHAPE.image(32, np.rad2deg(p), tuple(in_class_frame(-p, s))) for p, s in zip(psi, u, strict=True)]
    )
    grid = PoseGrid.for_rings(BASIS, BASIS.rings, 3.0)
    tile, reference = tile_of(images, 50.0), harmonics(SHAPE.image(32))
    references = make_references(
        grid, reference, ctf_harmonics=1, log_class_prior=torch.zeros(1), offset_sd_px=float("inf")
    )
    rows = best_rows(tile, whole(references, len(tile)), 0.0)
    start_psi, start_u = grid.psi[rows.log_weight.argmax(1)], grid.shifts_px[rows.shift]
    found_psi, found_u = refine_poses(
        tile, reference.expand(n, -1, -1), grid, start_psi, start_u, offset_sd_px=float("inf")
    )
    error = np.rad2deg((found_psi.numpy() - psi + np.pi) % (2 * np.pi) - np.pi)
    assert np.abs(error).max() < 0.1
    assert np.abs(found_u.numpy() - u).max() < 0.05
    start_error = np.rad2deg((start_psi.numpy() - psi + np.pi) % (2 * np.pi) - np.pi)
    assert np.abs(start_error).max() > 0.5


def test_refinement_stays_near_its_start_and_feels_the_prior():
    psi, u = np.zeros(1), np.array([[1.2, -0.7]])
    tile = tile_of(SHAPE.image(32, 0.0, tuple(u[0]))[None], 3000.0)
    grid = PoseGrid.for_rings(BASIS, BASIS.rings, 3.0)
    reference = harmonics(SHAPE.image(32))
    step = float(grid.shifts_px[1].norm())
    far = torch.tensor([[-2.0, 2.0]])
    _, kept = refine_poses(tile, reference, grid, torch.zeros(1), far, offset_sd_px=float("inf"), steps=10)
    assert float((kept - far).abs().max()) <= step * 1.0001
    start = torch.tensor([[0.9, -0.6]])
    _, free = refine_poses(tile, reference, grid, torch.from_numpy(psi).float(), start, offset_sd_px=float("inf"))
    _, pulled = refine_poses(tile, reference, grid, torch.from_numpy(psi).float(), start, offset_sd_px=0.3)
    assert float(pulled.norm()) < float(free.norm()) - 0.01


@pytest.mark.parametrize("astigmatism_A", [None, 0.0])
def test_gradient_and_hessian_are_those_of_the_twin(astigmatism_A):
    """Central differences of the float64 score, prior included; steps of 1e-3 leave errors below 1e-4 of the scale."""
    scene = make_scene(n=2, n_references=1, astigmatism_A=astigmatism_A, seed=4)
    grid = scene.grid()
    rng = np.random.default_rng(1)
    at = np.concatenate([2 * np.pi * rng.random((2, 1)), rng.uniform(-1, 1, (2, 2))], 1)

    def f(pose: np.ndarray) -> np.ndarray:
        return np.array([_twin_at(scene, i, *pose[i]) for i in range(len(pose))])

    h = np.diag([2e-3, 2e-3, 2e-3])
    gradient = np.stack([(f(at + d) - f(at - d)) / (2 * d.sum()) for d in h], 1)
    hessian = np.empty((2, 3, 3))
    for a in range(3):
        for b in range(3):
            up, down = f(at + h[a] + h[b]) + f(at - h[a] - h[b]), f(at + h[a] - h[b]) + f(at - h[a] + h[b])
            hessian[:, a, b] = (up - down) / (4 * h[a].sum() * h[b].sum())
    found_gradient, found_hessian = _found_derivatives(scene, grid, at)
    assert np.abs(found_gradient - gradient).max() < 1e-3 * np.abs(gradient).max()
    assert np.abs(found_hessian - hessian).max() < 1e-3 * np.abs(hessian).max()


def _found_derivatives(scene: Scene, grid: PoseGrid, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    k = torch.from_numpy(scene.basis.k_per_px).float()[:, None]
    wave = 2 * np.pi * torch.stack([k * torch.cos(grid.psi), k * torch.sin(grid.psi)])
    weight = scene.basis.ring_weight[:, None] / grid.n_psi
    on_angles = torch.fft.irfft(scene.reference_harmonics() * (torch.arange(grid.harmonics) % 2 == 0), grid.n_psi)
    odd = torch.fft.irfft(scene.reference_harmonics() * (torch.arange(grid.harmonics) % 2 == 1), grid.n_psi)
    on_angles = torch.complex(on_angles, odd) * grid.n_psi
    values = _derivatives(scene.tile.data, on_angles, wave, weight, torch.from_numpy(at).float(), OFFSET_SD_PX)
    return values[0].numpy(), values[1].numpy()


def _twin_at(scene: Scene, i: int, psi: float, x: float, y: float) -> float:
    score = twin_scores(
        scene.images[i : i + 1] * scene.basis.mask,
        scene.references * scene.basis.mask,
        polar_points(scene.basis, 64),
        np.array([psi]),
        np.array([[x, y]]),
        scene.noise_power,
        ctf=None if scene.ctf is None else scene.ctf.take(np.array([i])),
        pixel_size_A=4.0,
    )
    return float(score[0, 0, 0, 0]) - (x**2 + y**2) / (2 * OFFSET_SD_PX**2)
