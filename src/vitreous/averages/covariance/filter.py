"""The covariance Wiener filter: posterior mean and covariance of clean coefficients.

    L_g = (S^-1 + K_g)^-1,     alpha_i = mu + L_g (z_i - K_g mu)

which for ``z = A y / s^2`` and ``K = A^2 / s^2`` equals S - S A (A S A + s^2)^-1 A S and
mu + S A (A S A + s^2)^-1 (y - A mu) of SCIENCE.md section 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vitreous.averages.covariance.prior import ImagePrior, posterior_block
from vitreous.fourier import FourierBessel

__all__ = ["DenoisedCoefficients", "posterior_covariance", "wiener_filter"]


@dataclass(frozen=True, kw_only=True)
class DenoisedCoefficients:
    """What is known about n clean images.

    coefficients: alpha, complex (n, M); group: (n,) int64; posterior: L per order q, float64 (G, k_q, k_q), of the
    complex coefficients (for q > 0 half of it in each part).
    """

    coefficients: torch.Tensor
    group: torch.Tensor
    posterior: tuple[torch.Tensor, ...]


def posterior_covariance(prior: ImagePrior, information: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """L of every group and order: per q float64 (G, k_q, k_q). It depends on the defocus group only."""
    return tuple(posterior_block(s, k) for s, k in zip(prior.covariance, information, strict=True))


def wiener_filter(
    basis: FourierBessel,
    prior: ImagePrior,
    information: Sequence[torch.Tensor],
    posterior: Sequence[torch.Tensor],
    matched: torch.Tensor,
    group: torch.Tensor,
) -> DenoisedCoefficients:
    """Filter matched coefficients (n, M) of groups (n,): one real product per group and order.

    information, posterior: per order q (G, k_q, k_q), the latter from :func:`posterior_covariance`.
    """
    dtype = matched.real.dtype
    out = torch.zeros(len(matched), basis.size, 2, dtype=dtype, device=matched.device)
    mean = prior.mean.double()
    # alpha_0 = L z + (mu - L K mu): the second term is one vector per group.
    offset = mean - (posterior[0] @ (information[0].double() @ mean)[:, :, None])[:, :, 0]
    for g in torch.unique(group).tolist():
        mine = torch.nonzero(group == g)[:, 0]
        parts = matched[mine]
        parts = torch.cat([parts.real, parts.imag])  # rows: real parts, then imaginary parts
        filtered = torch.empty_like(parts)
        for block, gain in zip(basis.blocks, posterior, strict=True):
            filtered[:, block] = parts[:, block] @ gain[g].to(parts)
        filtered[: len(mine), basis.blocks[0]] += offset[g].to(parts)
        out[mine] = torch.stack([filtered[: len(mine)], filtered[len(mine) :]], 2)
    return DenoisedCoefficients(coefficients=torch.view_as_complex(out), group=group, posterior=tuple(posterior))
