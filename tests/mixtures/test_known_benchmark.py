"""The benchmark of known poses measures what it says: inversion, views, noise and scores, on tiny data."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mixtures import random_mixture
from vitreous.fourier import central_slices, centred_irfft2, prepare_volume
from vitreous.mixtures import evaluate, project
from vitreous.quality import unseen_cone
from vitreous.rotations import random_rotations
from vitreous.simulate import Atoms, volume_from_atoms

BOX, PIXEL = 24, 6.0


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))


def scaled_correlation(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Correlation about 0, and the scale that takes b to a."""
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())), float((a * b).sum() / (b**2).sum())


def test_fourier_inversion_of_many_images_is_the_object():
    from benchmarks.fourier_inversion import fourier_inversion

    truth = random_mixture(8, spread_A=18.0, sigma_A=9.0, seed=3)
    g = random_rotations(400, seed=2).numpy()
    images = project(truth, g, BOX, PIXEL)
    found, expected = fourier_inversion(images, g), evaluate(truth, BOX, PIXEL) * PIXEL
    correlation, scale = scaled_correlation(found, expected)
    assert correlation > 0.995
    assert scale == pytest.approx(1.0, abs=0.03)
    mirrored = fourier_inversion(images, g.swapaxes(1, 2))
    assert scaled_correlation(mirrored, expected)[0] < 0.9


def test_fourier_inversion_of_few_images_has_these_images_as_projections():
    from benchmarks.fourier_inversion import fourier_inversion

    truth = random_mixture(8, spread_A=14.0, sigma_A=9.0, seed=3)
    g = random_rotations(3, seed=6).numpy()
    images = project(truth, g, BOX, PIXEL)
    volume = torch.from_numpy(fourier_inversion(images, g))
    matrices = torch.from_numpy(g).float()
    seen = centred_irfft2(central_slices(prepare_volume(volume), matrices, BOX), BOX).numpy()
    for image, again in zip(images, seen, strict=True):
        assert scaled_correlation(again, image)[0] > 0.97


@pytest.mark.parametrize("cone", [0.0, 30.0, 60.0])
def test_views_leave_the_cone_that_is_asked_for(cone):
    from benchmarks.known_poses import random_views

    g = random_views(600, cone, seed=1)
    tilt = np.rad2deg(np.arccos(g[:, 2, 2]))
    if cone:
        assert tilt.max() == pytest.approx(90.0 - cone, abs=1.0)
        assert unseen_cone(g, np.eye(3)[None]).half_angle_deg == pytest.approx(cone, abs=3.0)
    # Uniform on the sphere or on a cap: cos(tilt) is uniform.
    low = np.sin(np.deg2rad(cone)) if cone else -1.0
    assert np.cos(np.deg2rad(tilt)).mean() == pytest.approx((1 + low) / 2, abs=0.05)


def test_images_are_projections_of_the_truth_and_noise_has_the_counts():
    from benchmarks import known_poses

    rng = np.random.default_rng(4)
    atoms = Atoms(positions_A=rng.normal(size=(60, 3)) * 20.0, weights=rng.uniform(1, 8, 60))
    g = random_rotations(3, seed=1).numpy()
    g[0] = np.eye(3)
    images = known_poses.project_atoms(atoms, g)
    truth = volume_from_atoms(atoms, known_poses.BOX, known_poses.PIXEL_A, known_poses.RESOLUTION_A)
    assert np.allclose(images[0], truth.sum(0) * known_poses.PIXEL_A, rtol=1e-3, atol=1e-3 * images.max())
    prepared = prepare_volume(truth)
    seen = centred_irfft2(central_slices(prepared, torch.from_numpy(g).float(), known_poses.BOX), known_poses.BOX)
    assert np.abs(seen.numpy() * known_poses.PIXEL_A - images).max() < 0.05 * images.max()
    noisy = known_poses.drawn(images, seed=1)
    assert noisy.sum(axis=(1, 2)) == pytest.approx(known_poses.DRAWN, rel=0.05)
    assert np.array_equal(noisy, np.rint(noisy))


def test_scores_and_table():
    from benchmarks import known_poses

    n = known_poses.BOX
    truth = evaluate(random_mixture(20, spread_A=25.0, sigma_A=6.0), n, known_poses.PIXEL_A)
    same = known_poses.score(3 * truth, truth)
    assert same["cc"] == same["fsc_to_20_A"] == 1.0
    assert same["fsc_0.5_A"] == pytest.approx(2 * known_poses.PIXEL_A)
    blurred = evaluate(random_mixture(20, spread_A=25.0, sigma_A=9.0), n, known_poses.PIXEL_A)
    noise = np.random.default_rng(0).normal(size=truth.shape) * blurred.std() * 0.3
    worse = known_poses.score(blurred + noise, truth)
    assert worse["fsc_to_20_A"] < worse["fsc_to_40_A"] < 1.0
    assert worse["fsc_0.5_A"] > worse["fsc_0.143_A"] > 2 * known_poses.PIXEL_A
    nothing = known_poses.score(-truth, truth)
    assert nothing["fsc_0.5_A"] is None
    support = known_poses.soft_support(truth)
    assert (support[truth > 0.02 * truth.max()] == 1).all()
    assert support[0, 0, 0] == 0

    what = {"images": 5, "cone_deg": 0.0, "unseen_deg": 30.0, "noise": "none", "program": "this"}
    row = {**what, "seed": 1, "plain": worse, "masked": same, "cpu_s": 2.0}
    rows = [row, {**row, "seed": 2, "masked": nothing}, {**row, "noise": "Poisson", "cone_deg": 45.0}]
    text = known_poses.table({"components": 500, "rows": rows})
    assert "means over 2 seeds" in text
    first, second = ([cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[4:])
    assert first[:6] == ["5", "-", "30°", "none", "this", f"{round(worse['fsc_0.5_A'], 1):g}"]
    assert first[10:13] == ["-", "0", "0"]  # no crossing in one seed; FSC 1 and -1
    assert second[:5] == ["5", "45°", "30°", "Poisson", "this"]
    assert second[10:] == ["8", "1", "1", "1", "2"]
