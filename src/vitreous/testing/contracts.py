"""Contracts that any linear operator must keep, checked with random vectors in float64."""

from collections.abc import Callable

import torch

__all__ = ["check_adjoint", "check_linear"]

Operator = Callable[[torch.Tensor], torch.Tensor]


def check_linear(
    operator: Operator,
    x_shape: tuple[int, ...],
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    rtol: float = 1e-9,
) -> None:
    """Check that ``operator(a x + b y) = a operator(x) + b operator(y)`` for random x, y of ``x_shape``.

    rtol is relative to the norm of the result. Raises AssertionError with the deviation that was found.
    """
    rng = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(x_shape, generator=rng, dtype=dtype) for _ in range(2))
    a, b = 0.75, -1.5
    whole, parts = operator(a * x + b * y), a * operator(x) + b * operator(y)
    deviation = float((whole - parts).abs().max() / parts.abs().max().clamp_min(1e-300))
    if not deviation <= rtol:
        raise AssertionError(f"not linear: f(ax + by) differs from a f(x) + b f(y) by {deviation:.2e} of its maximum")


def check_adjoint(
    forward: Operator,
    adjoint: Operator,
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    *,
    x_dtype: torch.dtype = torch.float64,
    y_dtype: torch.dtype = torch.float64,
    seed: int = 0,
    rtol: float = 1e-9,
) -> None:
    """Check that ``Re <forward(x), y> = Re <x, adjoint(y)>`` for random x of ``x_shape`` and y of ``y_shape``.

    rtol is relative to ``|forward(x)| |y|``. Raises AssertionError with both products, or for a wrong shape.
    """
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(x_shape, generator=rng, dtype=x_dtype)
    y = torch.randn(y_shape, generator=rng, dtype=y_dtype)
    there, back = forward(x), adjoint(y)
    if there.shape != y.shape or back.shape != x.shape:
        raise AssertionError(
            f"shapes: forward gives {tuple(there.shape)}, expected {tuple(y.shape)}; "
            f"adjoint gives {tuple(back.shape)}, expected {tuple(x.shape)}"
        )
    left, right = _real_product(there, y), _real_product(x, back)
    scale = float(there.abs().square().sum().sqrt() * y.abs().square().sum().sqrt())
    if not abs(left - right) <= rtol * max(scale, 1e-300):
        raise AssertionError(f"not adjoint: <Ax, y> = {left:.12g}, <x, A'y> = {right:.12g}")


def _real_product(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.conj() * b).real.sum())
