"""Scores of steerable coefficients against the plain formula and against turned and mirrored images."""

import math

import pytest
import torch

from vitreous.fourier import FourierBessel, mirror_coefficients, rotate_coefficients
from vitreous.matching import RotationGrid, fourier_weights, pair_scores, rotation_scores
from vitreous.randomness import torch_generator

ORDERS = (0, 0, 0, 1, 1, 2, 2, 2, 3, 5, 5, 8)


def random_coefficients(n: int, *purpose: str) -> torch.Tensor:
    drawn = torch.randn(n, len(ORDERS), dtype=torch.complex128, generator=torch_generator(1, *purpose))
    drawn[:, : ORDERS.count(0)] = drawn[:, : ORDERS.count(0)].real.to(drawn.dtype)
    return drawn


def plain_score(b: torch.Tensor, a: torch.Tensor, psi: float) -> float:
    q = torch.tensor(ORDERS)
    weight = torch.where(q == 0, 1.0, 2.0)
    return float((weight * (b.conj() * a * torch.exp(1j * q * psi)).real).sum())


def test_scores_follow_the_formula():
    grid = RotationGrid.for_orders(ORDERS)
    b, a = random_coefficients(3, "images"), random_coefficients(4, "references")
    scores = rotation_scores(b, a, grid)
    assert scores.shape == (3, 4, 2, grid.angles)
    for i in range(3):
        for k in range(4):
            for t, psi in enumerate(grid.psi_rad.tolist()):
                assert scores[i, k, 0, t] == pytest.approx(plain_score(b[i], a[k], psi), abs=2e-5)
                assert scores[i, k, 1, t] == pytest.approx(plain_score(b[i], a[k].conj(), psi), abs=2e-5)


def test_pairs_agree_with_the_table():
    grid = RotationGrid.for_orders(ORDERS, angles=24)
    b, a = random_coefficients(5, "images"), random_coefficients(5, "references")
    table = rotation_scores(b, a, grid)
    own = torch.arange(5)
    torch.testing.assert_close(pair_scores(b, a, grid), table[own, own])


def test_one_parity_alone():
    grid = RotationGrid.for_orders((0, 2, 2))
    b = torch.ones(2, 3, dtype=torch.complex64)
    torch.testing.assert_close(rotation_scores(b, b, grid)[0, 0], pair_scores(b, b, grid)[0])


def test_the_best_rotation_turns_the_reference_into_the_image():
    basis = FourierBessel(box_px=33)
    picture = torch.randn(1, 33, 33, generator=torch_generator(2, "picture"))
    a = basis.project(picture)
    grid = RotationGrid.for_orders(basis.orders)
    for mirrored in (0, 1):
        for step in (3, 17):
            psi = float(grid.psi_rad[step])
            image = rotate_coefficients(mirror_coefficients(a) if mirrored else a, basis.orders, math.degrees(psi))
            best = rotation_scores(image, a, grid).reshape(-1).argmax()
            assert divmod(int(best), grid.angles) == (mirrored, step)


def test_turning_back_under_weights():
    grid = RotationGrid.for_orders(ORDERS)
    image = random_coefficients(1, "image")
    weights = torch.zeros(1, grid.angles, dtype=torch.float64)
    weights[0, 2], weights[0, 5] = 0.25, 0.75
    q = torch.tensor(ORDERS)
    expected = 0.25 * image * torch.exp(-1j * q * grid.psi_rad[2]) + 0.75 * image * torch.exp(-1j * q * grid.psi_rad[5])
    torch.testing.assert_close(image * fourier_weights(weights, grid), expected, rtol=1e-6, atol=1e-6)


def test_grids_that_make_no_sense():
    with pytest.raises(ValueError, match="angles: expected an even number"):
        RotationGrid(ORDERS, 7)
    with pytest.raises(ValueError, match="orders: expected to ascend"):
        RotationGrid((1, 0), 8)
