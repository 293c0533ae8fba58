"""Mean and covariance of the clean coefficients from the moments of the matched ones, block by block.

With ``z = K_g (a - mu) + noise of covariance K_g`` and Z_g the sum of z z^T over the n_g images of group g, about the
mean, the least-squares covariance S obeys

    sum_g n_g K_g S K_g = sum_g (Z_g - n_g K_g).

(For white noise and a CTF A within the basis this is sum_g n_g A^2 S A^2 = sum_g A (B_g - n_g s^2 I) A, the equation
of Bhamre, Zhang, Singer 2016.) The noise part of the right-hand side is a sample covariance of W = sum_g n_g K_g, so
``W^-1/2 (sum_g Z_g) W^-1/2`` has the eigenvalues of a spiked model with unit noise: they are shrunk there.

Sources: Bhamre, Zhang, Singer, J. Struct. Biol. 195, 72 (2016); Donoho, Gavish, Johnstone, Ann. Stat. 46, 1742
(2018), Frobenius loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vitreous.averages.covariance.filter import posterior_block
from vitreous.averages.covariance.moments import Moments

__all__ = ["ImagePrior", "estimate_covariance", "estimate_mean", "optimal_shrinkage", "refine_by_em"]

_FLOOR = 1e-8  # of the largest eigenvalue of W: directions that no group has seen
_TOLERANCE, _MOST_STEPS = 1e-8, 500  # of the conjugate gradients


@dataclass(frozen=True, kw_only=True)
class ImagePrior:
    """Clean coefficients are N(mean, covariance): mean (k_0,) of q = 0; covariance per order q, float64 (k_q, k_q).

    The covariance is E (a - mu) conj(a - mu)^T; for q > 0 half of it lies in each of the real and imaginary parts.
    """

    mean: torch.Tensor
    covariance: tuple[torch.Tensor, ...]


def estimate_mean(moments: Moments, information: Sequence[torch.Tensor]) -> torch.Tensor:
    """Least-squares mean of q = 0, (k_0,): ``sum n_g K_g mu = sum z``. Directions hardly seen by any group are zero."""
    _check_any(moments)
    weight = torch.einsum("g,gkl->kl", moments.count, information[0].double())
    value, vector = torch.linalg.eigh(weight)
    inverse = torch.where(value > 1e-5 * value[-1], 1.0 / value, 0.0)
    return vector @ (inverse * (vector.T @ moments.first.sum(0)))


def estimate_covariance(
    moments: Moments, information: Sequence[torch.Tensor], mean: torch.Tensor, *, shrink: bool = True
) -> ImagePrior:
    """Least-squares covariance about ``mean``, positive semi-definite, with optimally shrunk eigenvalues.

    ``shrink=False`` is the plain least-squares solution, noise and negative eigenvalues included.
    """
    _check_any(moments)
    images = float(moments.count.sum())
    covariance = []
    for q, k in enumerate(information):
        centred = _centred(moments, information, mean, q).sum(0)
        # For q > 0 real and imaginary part are two independent samples.
        right = _signal_part(centred, moments.count, k, images * (1 if q == 0 else 2), shrink)
        s = _solve(k, moments.count, right)
        covariance.append(_positive(s) if shrink else s)
    return ImagePrior(mean=mean, covariance=tuple(covariance))


def optimal_shrinkage(eigenvalues: torch.Tensor, ratio: float) -> torch.Tensor:
    """Signal eigenvalues behind those of a sample covariance with unit noise; ratio = dimension / samples.

    Zero up to the bulk edge (1 + sqrt(ratio))^2, beyond it (l - 1) c^2 with the spike l and the cosine c of Donoho,
    Gavish, Johnstone: the least Frobenius error.
    """
    above = eigenvalues > (1 + ratio**0.5) ** 2
    y = torch.where(above, eigenvalues, (1 + ratio**0.5) ** 2 + 1.0)
    b = y + 1 - ratio
    excess = 0.5 * (b + (b * b - 4 * y).sqrt()) - 1
    cosine2 = (1 - ratio / excess**2) / (1 + ratio / excess)
    return torch.where(above, excess * cosine2, 0.0)


def refine_by_em(
    moments: Moments, information: Sequence[torch.Tensor], prior: ImagePrior, iterations: int
) -> ImagePrior:
    """Expectation-maximisation of the likelihood of mean and covariance, on the moments alone.

    Not part of the default chain: on simulated ribosomes it did not lower the error of the denoised images.
    ``S <- mean of posterior second moments``; the likelihood never falls. The rank never grows, so eigenvalues that
    shrinkage has removed stay away. Without limit on ``iterations`` this is the maximum-likelihood estimate, whose
    small eigenvalues are noise.
    """
    _check_any(moments)
    images = moments.count.sum()
    for _ in range(iterations):
        mean, covariance = prior.mean, []
        for q, (k, s) in enumerate(zip(information, prior.covariance, strict=True)):
            posterior = posterior_block(s, k)
            centred = _centred(moments, information, prior.mean, q)
            second = moments.count[:, None, None] * posterior + posterior @ centred @ posterior
            covariance.append(_symmetric(second.sum(0) / images))
            if q == 0:
                residual = moments.first - moments.count[:, None] * (k.double() @ prior.mean)
                step = torch.einsum("gkl,gl->k", posterior, residual) / images
                mean = prior.mean + step
                covariance[0] = _symmetric(covariance[0] - torch.outer(step, step))
        prior = ImagePrior(mean=mean, covariance=tuple(covariance))
    return prior


def _centred(moments: Moments, information: Sequence[torch.Tensor], mean: torch.Tensor, q: int) -> torch.Tensor:
    """Sums of (z - K mu)(z - K mu)^T per group, (G, k, k)."""
    if q > 0:
        return moments.second[q]
    shift = information[0].double() @ mean
    cross = moments.first[:, :, None] * shift[:, None, :]
    return moments.second[0] - cross - cross.mT + moments.count[:, None, None] * shift[:, :, None] * shift[:, None, :]


def _signal_part(
    centred: torch.Tensor, count: torch.Tensor, information: torch.Tensor, samples: float, shrink: bool
) -> torch.Tensor:
    """What is left of ``sum Z_g`` (k, k) once the noise W is removed, with shrunk eigenvalues if asked for."""
    noise = torch.einsum("g,gkl->kl", count, information.double())
    if not shrink:
        return centred - noise
    value, vector = torch.linalg.eigh(noise)
    root = value.clamp(min=_FLOOR * float(value[-1])).sqrt()
    whiten, colour = (vector / root) @ vector.T, (vector * root) @ vector.T
    eigenvalue, direction = torch.linalg.eigh(_symmetric(whiten @ centred @ whiten))
    signal = optimal_shrinkage(eigenvalue, len(noise) / samples)
    return colour @ (direction * signal) @ direction.T @ colour


def _solve(information: torch.Tensor, count: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """S with ``sum_g n_g K S K = right`` by conjugate gradients; symmetric."""
    k = information.double()
    solution, residual = torch.zeros_like(right), right.clone()
    direction, square = residual, residual.square().sum()
    target = _TOLERANCE**2 * square
    for _ in range(_MOST_STEPS):
        if square <= target:
            break
        image = torch.einsum("g,gkl->kl", count, k @ direction @ k)
        step = square / (direction * image).sum()
        solution = solution + step * direction
        residual = residual - step * image
        before, square = square, residual.square().sum()
        direction = residual + square / before * direction
    return _symmetric(solution)


def _positive(matrix: torch.Tensor) -> torch.Tensor:
    value, vector = torch.linalg.eigh(matrix)
    return (vector * value.clamp(min=0)) @ vector.T


def _symmetric(matrix: torch.Tensor) -> torch.Tensor:
    return 0.5 * (matrix + matrix.mT)


def _check_any(moments: Moments) -> None:
    if not float(moments.count.sum()) > 0:
        raise ValueError("mean and covariance of no images were asked for")
