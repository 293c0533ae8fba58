"""The quadratic problem and its solver: against the formula in pixels, finite differences, KKT, another optimiser."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sets import defocus

from vitreous.averages.deconvolve import deconvolve_averages, gradient, normal_equations, objective, solve, tikhonov
from vitreous.optics import ctf_2d
from vitreous.testing import Blobs, with_ctf

PIXEL_A = 5.0


def made_up(box: int, seed: int, *, classes: int = 2, groups: int = 3, noise: float = 0.2):
    """(frames, ctf, weights, truth), float64: blobs under the CTFs of some defoci, with noise as of 1 image over n."""
    rng = np.random.default_rng(seed)
    params = defocus(groups, seed)
    truth = np.stack([Blobs.random(seed + k, reach_px=box / 5).image(box) for k in range(classes)])
    weights = rng.integers(5, 30, (classes, groups)).astype(float)
    frames = np.stack([[with_ctf(image, params, g, PIXEL_A) for g in range(groups)] for image in truth])
    frames += noise * rng.normal(size=frames.shape) / np.sqrt(weights)[..., None, None]
    ctf = ctf_2d(params, box, PIXEL_A, dtype=torch.float64).expand(classes, -1, -1, -1)
    return torch.from_numpy(frames), ctf, torch.from_numpy(weights), torch.from_numpy(truth)


def in_pixels(y: np.ndarray, frames: np.ndarray, params, weights: np.ndarray, alpha: float) -> float:
    """The objective of one class as it is printed."""
    data = sum(
        w * ((z - with_ctf(y, params, g, PIXEL_A)) ** 2).sum()
        for g, (z, w) in enumerate(zip(frames, weights, strict=True))
    )
    slope = sum(((np.roll(y, -1, axis) - y) ** 2).sum() for axis in (0, 1))
    return 0.5 * data + 0.5 * alpha * slope


@pytest.mark.parametrize("box", [15, 16])
def test_objective_is_the_printed_formula(box):
    frames, ctf, weights, _ = made_up(box, 3)
    y = torch.from_numpy(np.stack([Blobs.random(k, reach_px=3).image(box) for k in (1, 2)]) - 0.3)
    found = objective(normal_equations(frames, ctf, weights, 10.0), y)
    params = defocus(3, 3)
    expected = [in_pixels(y[k].numpy(), frames[k].numpy(), params, weights[k].numpy(), 10.0) for k in range(2)]
    assert found.numpy() == pytest.approx(expected, rel=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), box=st.sampled_from([9, 12]))
def test_gradient_is_that_of_finite_differences(seed, box):
    problem = normal_equations(*made_up(box, seed)[:3], 3.0)
    rng = np.random.default_rng(seed)
    y, direction = (torch.from_numpy(rng.normal(size=(2, box, box))) for _ in range(2))
    step = 1e-3
    numeric = (objective(problem, y + step * direction) - objective(problem, y - step * direction)) / (2 * step)
    analytic = (gradient(problem, y) * direction).sum((1, 2))
    assert numeric.numpy() == pytest.approx(analytic.numpy(), rel=1e-6, abs=1e-6)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), box=st.sampled_from([15, 16]), groups=st.integers(1, 4))
def test_solution_fulfils_the_kkt_conditions(seed, box, groups):
    problem = normal_equations(*made_up(box, seed, groups=groups, noise=1.0)[:3], 2.0)
    found = solve(problem, tolerance=1e-8)
    assert found.converged.all()
    slope = gradient(problem, found.images)
    size = problem.right.flatten(1).norm(dim=1)[:, None, None]
    assert (found.images >= 0).all()
    assert (found.images == 0).any()  # the bound is active somewhere
    assert (slope / size > -1e-6).all()
    assert (torch.where(found.images > 0, slope, 0.0).abs() / size < 1e-6).all()


def test_solution_is_that_of_l_bfgs_b():
    problem = normal_equations(*made_up(12, 5, noise=1.0)[:3], 2.0)
    found = objective(problem, solve(problem, tolerance=1e-9).images)
    for k in range(2):
        one = problem.take(torch.tensor([k]))

        def value_and_slope(flat, one=one):
            y = torch.from_numpy(flat.reshape(1, 12, 12))
            return float(objective(one, y)), gradient(one, y).numpy().ravel()

        options = {"maxiter": 5000, "maxfun": 10**5, "ftol": 1e-15, "gtol": 1e-9}
        other = minimize(
            value_and_slope, np.zeros(144), jac=True, method="L-BFGS-B", bounds=[(0, None)] * 144, options=options
        )
        assert float(found[k]) == pytest.approx(other.fun, rel=1e-9)


def test_without_bound_it_is_the_wiener_filter():
    frames, ctf, weights, _ = made_up(16, 7)
    problem = normal_equations(frames, ctf, weights, 10.0)
    free = deconvolve_averages(frames, ctf, weights, alpha=10.0, nonnegative=False)
    assert gradient(problem, free.images).abs().max() < 1e-9 * problem.right.abs().max()
    assert (free.images < 0).any()
    # On a pedestal nothing is negative: then the bound must not change anything.
    pedestal = 10.0
    raised = frames + pedestal * ctf[:, :, 0, 0, None, None]
    bounded = deconvolve_averages(raised, ctf, weights, alpha=10.0, tolerance=1e-10)
    assert bounded.images.numpy() == pytest.approx(free.images.numpy() + pedestal, abs=1e-6)


def test_frames_of_one_ctf_are_one_frame():
    frames, ctf, weights, _ = made_up(16, 9, groups=1)
    share = torch.tensor([0.25, 0.75], dtype=torch.float64)
    split = deconvolve_averages(
        frames.expand(-1, 2, -1, -1), ctf.expand(-1, 2, -1, -1), weights * share, tolerance=1e-9
    )
    whole = deconvolve_averages(frames, ctf, weights, tolerance=1e-9)
    assert split.images.numpy() == pytest.approx(whole.images.numpy(), abs=1e-8)


def test_a_class_does_not_depend_on_its_neighbours_and_an_empty_one_is_zero():
    frames, ctf, weights, _ = made_up(16, 13, classes=3)
    weights[1] = 0
    together = deconvolve_averages(frames, ctf, weights, tolerance=1e-7)
    alone = deconvolve_averages(frames[2:], ctf[2:], weights[2:], tolerance=1e-7)
    assert (together.images[1] == 0).all()
    assert together.images[2].numpy() == pytest.approx(alone.images[0].numpy(), abs=1e-9)
    assert int(together.iterations[2]) == int(alone.iterations[0])


def test_a_frequency_that_nobody_saw_is_zero():
    frames, ctf, weights, _ = made_up(16, 15)
    ctf = ctf.clone()
    ctf[..., 0, 0] = 0.0
    assert float(tikhonov(normal_equations(frames, ctf, weights, 1.0)).mean().abs()) < 1e-12


def test_too_few_iterations_are_admitted():
    found = deconvolve_averages(*made_up(16, 17, noise=1.0)[:3], tolerance=1e-12, max_iterations=3)
    assert not found.converged.all()
    assert (found.iterations[~found.converged] == 3).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f, c, w: (f[0], c, w, 1.0), "averages: expected"),
        (lambda f, c, w: (f, c[..., :-1], w, 1.0), "ctf: expected"),
        (lambda f, c, w: (f, c, w[:, :1], 1.0), "weights: expected"),
        (lambda f, c, w: (f, c, -w, 1.0), "numbers of images"),
        (lambda f, c, w: (f, c, w, 0.0), "alpha: expected a positive"),
        (lambda f, c, w: (f.index_fill(0, torch.tensor([1]), torch.nan), c, w, 1.0), "averages: NaN .* class 1"),
    ],
)
def test_what_cannot_be_used_is_named(change, said):
    with pytest.raises(ValueError, match=said):
        normal_equations(*change(*made_up(9, 1)[:3]))
