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

import torch

from vitreous.averages.covariance.moments import Moments
from vitreous.averages.covariance.prior import ImagePrior

__all__ = [
    "centred_moments",
    "estimate_covariance",
    "estimate_mean",
    "optimal_shrinkage",
    "whitened",
]

_FLOOR = 1e-8  # of the largest eigenvalue of W: directions that no group has seen
_TOLERANCE, _MOST_STEPS = 1e-8, 500  # of the conjugate gradients


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
        centred = centred_moments(moments, information, mean, q).sum(0)
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


def centred_moments(moments: Moments, information: Sequence[torch.Tensor], mean: torch.Tensor, q: int) -> torch.Tensor:
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
    eigenvalue, direction = torch.linalg.eigh(whitened(centred, noise))
    signal = optimal_shrinkage(eigenvalue, len(noise) / samples)
    colour = _root(noise)[1]
    return colour @ (direction * signal) @ direction.T @ colour


def whitened(moment: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """A second moment (k, k) where that of the noise (k, k) is the identity: ``noise^-1/2 moment noise^-1/2``."""
    inverse = _root(noise)[0]
    return _symmetric(inverse @ moment @ inverse)


def _root(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``matrix^-1/2`` and ``matrix^1/2``; directions without weight are given a little."""
    value, vector = torch.linalg.eigh(matrix)
    root = value.clamp(min=_FLOOR * float(value[-1])).sqrt()
    return (vector / root) @ vector.T, (vector * root) @ vector.T


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
