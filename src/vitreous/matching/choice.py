"""What is done with the score: the part in which the methods of the field differ.

A choice turns the rows of a batch into posterior weights that sum to one per image. ``soft`` is maximum likelihood
(RELION), ``best`` is multi-reference alignment (K-means, FREALIGN), ``stochastic`` draws one hypothesis from the
posterior (PRIME, stochastic EM).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from vitreous.matching.score import Rows

__all__ = ["Choice", "Chosen", "best", "soft", "stochastic"]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """weight: (m, n_psi) posterior weights of the rows; log_evidence: (n,) log sum of all hypotheses of an image."""

    weight: torch.Tensor
    log_evidence: torch.Tensor


Choice = Callable[[Rows, int], Chosen]


def soft(rows: Rows, n_images: int, sharpness: float = 1.0) -> Chosen:
    """Posterior probabilities to the power of ``sharpness``: softmax over all hypotheses of an image.

    1 is the posterior itself. Above 1 the weights are more decided than the data warrant, which leads EM out of the
    plateau around the symmetric start, where all references are alike (anti-annealing: Naim and Gildea 2012).
    """
    top = _per_image_max(rows, n_images)
    weight = torch.exp(rows.log_weight - top[rows.image, None])
    total = torch.zeros_like(top).index_add_(0, rows.image, weight.sum(1))
    evidence = top + torch.log(total)
    if sharpness != 1.0:
        weight = weight.pow_(sharpness)
        total = torch.zeros_like(top).index_add_(0, rows.image, weight.sum(1))
    return Chosen(weight=weight / total[rows.image, None], log_evidence=evidence)


def best(rows: Rows, n_images: int) -> Chosen:
    """All weight on the single best hypothesis of an image (the first one where several are equal)."""
    return _single(rows, n_images, rows.log_weight)


def stochastic(rows: Rows, n_images: int, generator: torch.Generator) -> Chosen:
    """One hypothesis per image, drawn from its posterior (the Gumbel-max rule)."""
    uniform = torch.rand(rows.log_weight.shape, generator=generator, device=rows.log_weight.device)
    return _single(rows, n_images, rows.log_weight - torch.log(-torch.log(uniform.clamp_min(1e-30))))


def _single(rows: Rows, n_images: int, key: torch.Tensor) -> Chosen:
    value, psi = key.max(1)
    top = torch.full((n_images,), -torch.inf, device=key.device).scatter_reduce_(0, rows.image, value, "amax")
    winners = (value == top[rows.image]).nonzero().ravel()
    first = torch.full((n_images,), len(value), device=key.device).scatter_reduce_(
        0, rows.image[winners], winners, "amin"
    )
    first = first[first < len(value)]
    weight = torch.zeros_like(key)
    weight[first, psi[first]] = 1.0
    return Chosen(weight=weight, log_evidence=soft(rows, n_images).log_evidence)


def _per_image_max(rows: Rows, n_images: int) -> torch.Tensor:
    empty = torch.full((n_images,), -torch.inf, device=rows.log_weight.device)
    return empty.scatter_reduce_(0, rows.image, rows.log_weight.amax(1), "amax")
