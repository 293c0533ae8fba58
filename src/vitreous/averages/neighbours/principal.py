"""Images as components of a steerable principal basis, with what is known of their noise and of their prior.

An image of defocus group g is ``y = A_g (mu + U x) + noise`` with mu the mean of the data set, which no rotation
changes, and x ~ N(0, diag(variance)) its clean components. For the comparison with a reference a only two things
matter,

    log p(y | a turned by psi) = sum_q m_q [ Re( conj(b_q) a_q exp(i q psi) ) - 1/2 a_q* P_gq a_q ] + const

with the natural parameter ``b = U^T (A_g^T y / s^2 - K_g mu)`` and the precision ``P_g = U^T K_g U``, a small matrix
per angular order, where ``K_g = A_g^T A_g / s^2`` (:mod:`vitreous.averages.covariance`). Source: SCIENCE.md
sections 6 and 12.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

from vitreous.averages.neighbours.mahalanobis import ImagePosteriors
from vitreous.matching import RotationGrid

__all__ = ["PrincipalImages", "image_posteriors_of", "posterior_references", "reference_norms"]


@dataclass(frozen=True, kw_only=True)
class PrincipalImages:
    """n images in M principal components, orders ascending.

    natural: (n, M) complex64, b of the module docstring; orders: (M,) int64; precision: per angular order that occurs
    (G, r, r) float32; variance: (M,) prior variance of a clean component; group: (n,) int64 defocus group.
    """

    natural: torch.Tensor
    orders: torch.Tensor
    precision: tuple[torch.Tensor, ...]
    variance: torch.Tensor
    group: torch.Tensor

    def __post_init__(self) -> None:
        n, m = self.natural.shape
        sizes = [len(block[0]) for block in self.precision]
        if not len(self.orders) == len(self.variance) == m == sum(sizes):
            raise ValueError(
                f"components: {m} in natural, {len(self.orders)} orders, {len(self.variance)} variances, "
                f"{sum(sizes)} in the precision; expected the same number everywhere"
            )
        if len(self.group) != n:
            raise ValueError(f"group: expected one for each of {n} images, found {len(self.group)}")

    def __len__(self) -> int:
        return len(self.natural)

    @property
    def groups(self) -> int:
        """Number of defocus groups G."""
        return len(self.precision[0])

    @property
    def size(self) -> int:
        """Number of principal coefficients M."""
        return len(self.orders)

    @cached_property
    def multiplicity(self) -> torch.Tensor:
        """1 for order 0, else 2, (M,)."""
        return torch.where(self.orders == 0, 1.0, 2.0)

    @cached_property
    def blocks(self) -> tuple[slice, ...]:
        """Where the coefficients of each angular order are."""
        ends = np.cumsum([0, *(len(block[0]) for block in self.precision)]).tolist()
        return tuple(slice(a, b) for a, b in pairwise(ends))

    @cached_property
    def grid(self) -> RotationGrid:
        """Rotations, three per period of the highest order: coarser ones lose neighbours (measured)."""
        return RotationGrid.for_orders(self.orders, 8 * math.ceil(3 * (int(self.orders.max()) + 1) / 8))


def image_posteriors_of(images: PrincipalImages) -> ImagePosteriors:
    """What is known of every clean image by itself: the covariance Wiener filter, in principal components.

    ``L_g = (1/variance + P_g)^-1`` and ``alpha = L_g b``, as the chains of image with image want them.
    """
    components = torch.empty_like(images.natural)
    posterior = []
    for where, block in zip(images.blocks, images.precision, strict=True):
        known = torch.linalg.inv(block.double() + torch.diag(1 / images.variance[where].double()))
        posterior.append(known)
        for g in torch.unique(images.group).tolist():
            mine = images.group == g
            components[mine, where] = images.natural[mine, where] @ known[g].to(components.dtype)
    return ImagePosteriors(
        components=components,
        orders=images.orders,
        variances=images.variance.double(),
        posterior=tuple(posterior),
        group=images.group,
    )


def reference_norms(images: PrincipalImages, references: torch.Tensor) -> torch.Tensor:
    """``1/2 sum_q m_q a* P_g a`` of references (K, M) under every defocus group, (G, K)."""
    total = torch.zeros(images.groups, len(references), device=references.device)
    for where, block in zip(images.blocks, images.precision, strict=True):
        weight = 0.5 * float(images.multiplicity[where.start])
        for part in (references[:, where].real, references[:, where].imag):
            total += weight * torch.einsum("kr,grs,ks->gk", part, block, part)
    return total


def posterior_references(images: PrincipalImages, signal: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Posterior mean of references: ``(1/variance + sum_g w_g P_g)^-1 signal``, (K, M) complex.

    signal: (K, M) sum of aligned natural parameters under their weights; weight: (K, G) sum of weights by group.
    """
    out = torch.empty_like(signal)
    for where, block in zip(images.blocks, images.precision, strict=True):
        inverse = 1 / images.variance[where]
        matrix = torch.einsum("kg,grs->krs", weight, block) + torch.diag(inverse)
        right = torch.view_as_real(signal[:, where].contiguous())
        solved = torch.cholesky_solve(right, torch.linalg.cholesky(matrix))
        out[:, where] = torch.view_as_complex(solved.contiguous())
    return out
