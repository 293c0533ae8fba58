"""Steerable principal components: the eigenvectors of every block of the covariance."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from vitreous.averages.covariance.prior import ImagePrior
from vitreous.fourier import FourierBessel

__all__ = ["PrincipalBasis", "from_principal", "principal_basis", "principal_blocks", "to_principal"]


@dataclass(frozen=True, kw_only=True)
class PrincipalBasis:
    """C components with q >= 0, ordered by q and within q by falling variance.

    vectors: per order q orthonormal columns (k_q, c_q) float64, c_q may be 0; variances: float64 (C,) eigenvalues;
    orders: int64 (C,); mean: (k_0,) of the images, which components of q = 0 are measured from.
    """

    vectors: tuple[torch.Tensor, ...]
    variances: torch.Tensor
    orders: torch.Tensor
    mean: torch.Tensor

    @property
    def blocks(self) -> tuple[slice, ...]:
        """Where the components of every order are."""
        ends = [0]
        for v in self.vectors:
            ends.append(ends[-1] + v.shape[1])
        return tuple(slice(a, b) for a, b in pairwise(ends))


def principal_basis(prior: ImagePrior, most: int) -> PrincipalBasis:
    """The up to ``most`` components of largest variance with q >= 0 (those of q > 0 stand for -q too)."""
    pairs = [torch.linalg.eigh(s) for s in prior.covariance]
    values = torch.cat([value for value, _ in pairs])
    positive = values[values > 1e-10 * values.max().clamp(min=1e-300)]
    if len(positive) == 0:
        raise ValueError("the covariance is zero: no principal component rises above the noise")
    least = positive.sort(descending=True).values[: max(1, most)][-1]
    vectors = [vector[:, value >= least].flip(1) for value, vector in pairs]
    return PrincipalBasis(
        vectors=tuple(vectors),
        variances=torch.cat([value[value >= least].flip(0) for value, _ in pairs]),
        orders=torch.repeat_interleave(torch.arange(len(vectors)), torch.tensor([v.shape[1] for v in vectors])),
        mean=prior.mean,
    )


def to_principal(principal: PrincipalBasis, basis: FourierBessel, coefficients: torch.Tensor) -> torch.Tensor:
    """Components (n, C) of coefficients (n, M), measured from the mean."""
    parts = []
    for q, (block, vectors) in enumerate(zip(basis.blocks, principal.vectors, strict=True)):
        centred = coefficients[:, block] - principal.mean.to(coefficients) if q == 0 else coefficients[:, block]
        parts.append(centred @ vectors.to(coefficients))
    return torch.cat(parts, 1)


def from_principal(principal: PrincipalBasis, basis: FourierBessel, components: torch.Tensor) -> torch.Tensor:
    """Coefficients (n, M) of components (n, C), the mean added."""
    out = torch.zeros(len(components), basis.size, dtype=components.dtype, device=components.device)
    for block, mine, vectors in zip(basis.blocks, principal.blocks, principal.vectors, strict=True):
        out[:, block] = components[:, mine] @ vectors.T.to(components)
    out[:, basis.blocks[0]] += principal.mean.to(components)
    return out


def principal_blocks(principal: PrincipalBasis, blocks: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Matrices (G, k_q, k_q) seen by the components: per order (G, c_q, c_q). For posterior covariances, CTFs, K."""
    return tuple(v.T @ b.double() @ v for b, v in zip(blocks, principal.vectors, strict=True))
