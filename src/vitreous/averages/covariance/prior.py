"""What is known of clean images before one of them is seen, and what an image adds to it."""

from dataclasses import dataclass

import torch

__all__ = ["ImagePrior", "posterior_block"]


@dataclass(frozen=True, kw_only=True)
class ImagePrior:
    """Clean coefficients are N(mean, covariance): mean (k_0,) of q = 0; covariance per order q, float64 (k_q, k_q).

    The covariance is E (a - mu) conj(a - mu)^T; for q > 0 half of it lies in each of the real and imaginary parts.
    """

    mean: torch.Tensor
    covariance: tuple[torch.Tensor, ...]


def posterior_block(covariance: torch.Tensor, information: torch.Tensor) -> torch.Tensor:
    """``(S^-1 + K)^-1`` for S (k, k) positive semi-definite, also singular, and K (G, k, k): (G, k, k)."""
    value, vector = torch.linalg.eigh(covariance.double())
    kept = value > 1e-12 * value[-1].clamp(min=1e-300)
    root = vector[:, kept] * value[kept].sqrt()
    inner = torch.eye(root.shape[1], dtype=root.dtype, device=root.device) + root.T @ information.double() @ root
    return root @ torch.linalg.solve(inner, root.T.expand(len(information), -1, -1))
