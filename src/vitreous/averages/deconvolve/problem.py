"""Deconvolution of several averages of one image as a quadratic problem whose matrix is diagonal in Fourier space.

    minimise over y >= 0:   1/2 sum_g n_g |z_g - f_g * y|^2 + alpha/2 |grad y|^2          (SCIENCE.md section 9)

Averages z_g enter through two sums only, whatever their number: with C_g the transform of f_g (the CTF) and D the
transform of the forward differences,

    H = sum_g n_g C_g^2 + alpha |D|^2   (a real number per frequency),     b = sum_g n_g f_g^T z_g   (an image)

the objective is 1/2 <y, H y> - <b, y> + const and its gradient H y - b: one transform forwards and one backwards.
Source: Joubert 2016, chapter 4, eqs. 4.2 to 4.4.
"""

import math
from dataclasses import dataclass

import torch

from vitreous.fourier import centred_irfft2, centred_rfft2, frequency_xy_rfft2

__all__ = ["Problem", "apply_matrix", "gradient", "normal_equations", "objective", "tikhonov"]

_TINY = 1e-12  # of the largest value of H: below, a frequency was not seen by any frame


@dataclass(frozen=True, kw_only=True)
class Problem:
    """K problems of box L.

    right: b (K, L, L); matrix: H (K, L, L // 2 + 1); constant: (K,) 1/2 sum n |z|^2.
    """

    right: torch.Tensor
    matrix: torch.Tensor
    constant: torch.Tensor

    def take(self, index: torch.Tensor) -> "Problem":
        """Some of them."""
        return Problem(right=self.right[index], matrix=self.matrix[index], constant=self.constant[index])


def normal_equations(averages: torch.Tensor, ctf: torch.Tensor, weights: torch.Tensor, alpha: float) -> Problem:
    """H and b of K classes.

    averages: (K, G, L, L) averages z_g of aligned images, in units where the noise variance of one image is 1;
    ctf: (K, G, L, L // 2 + 1), such as :func:`vitreous.optics.ctf_2d` makes; weights: (K, G) images n_g behind a
    frame, 0 for a frame that is not there; alpha: weight of the gradient, more makes y smoother.

    Raises ValueError for shapes that do not agree, values that are not finite, and alpha that is not positive.
    """
    _check(averages, ctf, weights, alpha)
    n = averages.shape[-1]
    n_g = weights[:, :, None, None]
    kx, ky = frequency_xy_rfft2(n, device=averages.device, dtype=averages.dtype)
    differences = 4 * (torch.sin(math.pi * kx) ** 2 + torch.sin(math.pi * ky) ** 2)
    return Problem(
        right=centred_irfft2((n_g * ctf * centred_rfft2(averages)).sum(1), n),
        matrix=(n_g * ctf.square()).sum(1) + alpha * differences,
        constant=0.5 * (n_g * averages.square()).sum((1, 2, 3)),
    )


def apply_matrix(problem: Problem, images: torch.Tensor) -> torch.Tensor:
    """H y of images (K, L, L)."""
    return centred_irfft2(centred_rfft2(images) * problem.matrix, images.shape[-1])


def gradient(problem: Problem, images: torch.Tensor) -> torch.Tensor:
    """Of the objective at images y (K, L, L): H y - b."""
    return apply_matrix(problem, images) - problem.right


def objective(problem: Problem, images: torch.Tensor) -> torch.Tensor:
    """Of images (K, L, L): (K,)."""
    curved = 0.5 * (images * apply_matrix(problem, images)).sum((1, 2))
    return curved - (images * problem.right).sum((1, 2)) + problem.constant


def tikhonov(problem: Problem) -> torch.Tensor:
    """The minimum without y >= 0: the Wiener filter sum n C Z / (sum n C^2 + alpha |D|^2), (K, L, L).

    A frequency that no frame has seen gets 0.
    """
    seen = problem.matrix > _TINY * problem.matrix.amax((1, 2), keepdim=True)
    inverse = torch.where(seen, 1 / torch.where(seen, problem.matrix, 1), 0)
    return centred_irfft2(centred_rfft2(problem.right) * inverse, problem.right.shape[-1])


def _check(averages: torch.Tensor, ctf: torch.Tensor, weights: torch.Tensor, alpha: float) -> None:
    if averages.ndim != 4 or averages.shape[-1] != averages.shape[-2]:
        raise ValueError(f"averages: expected (classes, groups, L, L), found {tuple(averages.shape)}")
    k, g, n = averages.shape[:3]
    if tuple(ctf.shape) != (k, g, n, n // 2 + 1):
        raise ValueError(f"ctf: expected {(k, g, n, n // 2 + 1)} for averages of box {n}, found {tuple(ctf.shape)}")
    if tuple(weights.shape) != (k, g):
        raise ValueError(f"weights: expected {(k, g)}, found {tuple(weights.shape)}")
    for name, values in (("averages", averages), ("ctf", ctf), ("weights", weights)):
        bad = ~torch.isfinite(values)
        if bad.any():
            where = ", ".join(str(int(k)) for k in bad.flatten(1).any(1).nonzero()[:3, 0])
            raise ValueError(f"{name}: NaN or infinite values in class {where} (counted from 0)")
    if (weights < 0).any():
        raise ValueError(f"weights: expected numbers of images, found {float(weights.min()):g}")
    if not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha: expected a positive number, found {alpha:g}")
