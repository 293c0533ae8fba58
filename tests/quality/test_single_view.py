"""Which sets of views determine a structure, by their poses and by their pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate, shift

from vitreous.jobs.averages import read_averages
from vitreous.mixtures import Mixture, project
from vitreous.quality import along_one_axis, doubt_about_views, repeated_view
from vitreous.rotations import euler_to_matrix, random_rotations, symmetry_matrices

BOX, PIXEL = 48, 5.0
DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def poses(*angles: tuple[float, float, float]) -> np.ndarray:
    return euler_to_matrix(torch.tensor(angles, dtype=torch.float64)).numpy()


def particle() -> Mixture:
    rng = np.random.default_rng(3)
    return Mixture(means_A=rng.normal(size=(30, 3)) * 28, weights=np.full(30, 1 / 30), precision_per_A2=9.0**-2)


def ring_of_seven() -> Mixture:
    """With D7 symmetry, like a chaperonin."""
    unit = np.array([[45.0, 5.0, 18.0], [38.0, -8.0, 45.0], [52.0, 9.0, 60.0], [30.0, 3.0, 8.0]])
    means = np.einsum("gab,kb->gka", symmetry_matrices("D7").numpy(), unit).reshape(-1, 3)
    return Mixture(means_A=means, weights=np.full(len(means), 1 / len(means)), precision_per_A2=9.0**-2)


def noisy(images: np.ndarray, sd: float, seed: int = 0) -> np.ndarray:
    return images + sd * images.std() * np.random.default_rng(seed).normal(size=images.shape)


def test_poses_along_one_axis_are_recognised():
    assert along_one_axis(poses((0, 90, 80), (5, 102, 175), (-8, 80, 3)), "C1")
    assert along_one_axis(poses((0, 90, 80), (180, 90, 175)), "C1")  # opposite views are mirror images
    assert not along_one_axis(random_rotations(6, seed=2).numpy(), "C1")
    side = poses((0, 90, 0), (180, 88, 0), (4, 90, 10))
    assert along_one_axis(side, "C2")
    assert not along_one_axis(side, "D7")  # every one of them is seven views
    assert along_one_axis(poses((0, 3, 0), (40, 8, 0)), "D7")


@pytest.mark.parametrize("sd", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("how", ["repeated", "turned"])
def test_one_view_many_times_is_recognised_whatever_its_poses(sd, how):
    rng = np.random.default_rng(1)
    images = np.repeat(project(particle(), random_rotations(1, seed=5).numpy(), BOX, PIXEL), 10, axis=0)
    if how == "turned":
        turned = [shift(rotate(v, 360 * rng.random(), reshape=False, order=3), rng.normal(size=2)) for v in images]
        images = np.stack([v[:, ::-1] if i % 3 == 0 else v for i, v in enumerate(turned)])
    images = noisy(images, sd)
    assert repeated_view(images) is not None
    anywhere = random_rotations(10, seed=6).numpy()
    assert "again, turned" in doubt_about_views(images, anywhere, "C1")
    assert doubt_about_views(images, poses(*[(30.0 * i, 90, 0) for i in range(10)]), "D7") is None


@pytest.mark.parametrize("sd", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("views", [5, 25])
def test_different_views_are_not(sd, views):
    rotations = random_rotations(views, seed=views).numpy()
    assert doubt_about_views(noisy(project(particle(), rotations, BOX, PIXEL), sd), rotations, "C1") is None


def test_side_views_of_a_symmetric_particle_determine_it():
    rng = np.random.default_rng(2)
    side = poses(*[(360 * rng.random(), 90, 360 * rng.random()) for _ in range(10)])
    images = noisy(project(ring_of_seven(), side, BOX, PIXEL), 0.3)
    assert doubt_about_views(images, side, "D7") is None
    top = poses(*[(360 * rng.random(), 2, 360 * rng.random()) for _ in range(10)])
    assert doubt_about_views(noisy(project(ring_of_seven(), top, BOX, PIXEL), 0.3), top, "D7") is not None


def test_real_averages_give_no_alarm():
    if not DATA.is_dir():
        pytest.skip("the shared data folder is not beside the repository")
    for stack in sorted((DATA / "averages").glob("*.mrcs")):
        _, images, _ = read_averages(stack, pixel_size_A=3.54)
        assert repeated_view(images) is None, stack.name
