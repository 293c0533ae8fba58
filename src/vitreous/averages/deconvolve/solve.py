"""Minimum of a deconvolution problem over y >= 0 by accelerated projected gradients with restarts.

FISTA (Beck and Teboulle 2009) with the adaptive restart of O'Donoghue and Candes (2015), for many classes at once;
a class that has converged drops out. Step: 1 / max H.

Convergence: the projected step from a point v to y = max(v - grad(v) / h, 0), h = max H, is so short that
``h |v - y| <= tolerance |b|``. It vanishes exactly where the conditions of Karush, Kuhn and Tucker hold
(y >= 0, grad >= 0, y grad = 0), and y violates them by at most twice as much.
"""

from dataclasses import dataclass

import torch

from vitreous.averages.deconvolve.problem import Problem, gradient, normal_equations, tikhonov

__all__ = ["Solution", "deconvolve_averages", "solve"]


@dataclass(frozen=True, kw_only=True)
class Solution:
    """images (K, L, L) >= 0; residual (K,) of the convergence criterion over |b|; iterations (K,); converged (K,)."""

    images: torch.Tensor
    residual: torch.Tensor
    iterations: torch.Tensor
    converged: torch.Tensor


@dataclass
class _Path:
    """Where the classes that are not done are: image, extrapolated image and momentum."""

    index: torch.Tensor
    image: torch.Tensor
    ahead: torch.Tensor
    momentum: torch.Tensor

    def keep(self, going: torch.Tensor) -> None:
        self.index, self.image = self.index[going], self.image[going]
        self.ahead, self.momentum = self.ahead[going], self.momentum[going]


def deconvolve_averages(
    averages: torch.Tensor,
    ctf: torch.Tensor,
    weights: torch.Tensor,
    *,
    alpha: float = 10.0,
    nonnegative: bool = True,
    tolerance: float = 1e-4,
    max_iterations: int = 5000,
) -> Solution:
    """The images y (K, L, L) behind G averages of each of K classes.

    They minimise ``1/2 sum n |z - f * y|^2 + alpha/2 |grad y|^2`` over y >= 0.

    averages: (K, G, L, L) averages of aligned images, in units where the noise variance of one image is 1; ctf: values
    (K, G, L, L // 2 + 1), such as :func:`vitreous.optics.ctf_2d` makes; weights: (K, G) images behind every frame.
    One frame (G = 1) is single-frame deconvolution. Without ``nonnegative`` the result is the Wiener filter, in closed
    form. Source: Joubert 2016, chapter 4; SCIENCE.md section 9.

    Raises ValueError for shapes that do not agree, values that are not finite, and settings out of range.
    """
    problem = normal_equations(averages, ctf, weights, alpha)
    if nonnegative:
        return solve(problem, tolerance=tolerance, max_iterations=max_iterations)
    images = tikhonov(problem)
    nothing = torch.zeros_like(problem.constant)
    return Solution(
        images=images, residual=nothing, iterations=nothing.to(torch.int64), converged=torch.ones_like(nothing) > 0
    )


def solve(problem: Problem, *, tolerance: float = 1e-4, max_iterations: int = 5000) -> Solution:
    """The non-negative images (K, L, L) that minimise the objective of each problem (see the module for when).

    Classes without data (b = 0) come back as zeros. Raises ValueError for a tolerance that is not positive.
    """
    if tolerance <= 0:
        raise ValueError(f"tolerance: expected a positive number, found {tolerance:g}")
    count = len(problem.right)
    images = tikhonov(problem).clamp_min(0)
    residual = torch.zeros(count, dtype=images.dtype, device=images.device)
    iterations = torch.zeros(count, dtype=torch.int64, device=images.device)
    size = problem.right.flatten(1).norm(dim=1)
    index = (size > 0).nonzero()[:, 0]
    images[size == 0] = 0
    active = problem.take(index)
    path = _Path(index=index, image=images[index], ahead=images[index], momentum=torch.ones_like(size[index]))
    for number in range(1, max_iterations + 1):
        if not len(path.index):
            break
        residual[path.index] = _advance(active, path) / size[path.index]
        iterations[path.index] = number
        going = residual[path.index] > tolerance
        if not going.all():
            images[path.index] = path.image
            path.keep(going)
            active = problem.take(path.index)
    images[path.index] = path.image
    return Solution(images=images, residual=residual, iterations=iterations, converged=residual <= tolerance)


def _advance(problem: Problem, path: _Path) -> torch.Tensor:
    """One step of every class; returns h |v - y|, (K,)."""
    largest = problem.matrix.amax((1, 2))[:, None, None]
    step = gradient(problem, path.ahead) / largest
    image = (path.ahead - step).clamp_min(0)
    moved, back = image - path.image, path.ahead - image
    against = (back * moved).sum((1, 2)) > 0  # the momentum points uphill: forget it
    momentum = torch.where(against, 1.0, 0.5 + (0.25 + path.momentum.square()).sqrt())
    share = torch.where(against, 0.0, (path.momentum - 1) / momentum)[:, None, None]
    path.image, path.ahead, path.momentum = image, image + share * moved, momentum
    return back.flatten(1).norm(dim=1) * largest[:, 0, 0]
