"""A first look at the images: how strong the noise is, and up to which frequency there is signal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.averages.covariance.estimate import centred_moments, estimate_mean, whitened
from vitreous.averages.covariance.moments import Moments
from vitreous.fourier import FourierBessel

__all__ = ["Excess", "bulk_level", "choose_cutoff", "excess_power", "restricted_blocks", "second_and_noise"]

BAND_PER_PX = 0.025
SIGNIFICANT = 3.0  # standard errors of the excess
FLOOR = 0.003  # excess that no error of counting explains: sampling of the CTF, edges of masks
MARGIN_PER_PX = 0.06  # kept beyond the last band with signal: what is too weak to be seen there is cheap to keep
LOWEST_CUTOFF_PER_PX = 0.15
MOST_CHANGE = 1.25  # of the noise level by the bulk


@dataclass(frozen=True, kw_only=True)
class Excess:
    """Power in the disc over that of the noise, less 1, in bands of frequency, with its standard error. (bands,) each.

    upper_per_px: where the band ends.
    """

    upper_per_px: np.ndarray
    value: np.ndarray
    error: np.ndarray


def excess_power(
    basis: FourierBessel, second: Sequence[torch.Tensor], noise: Sequence[torch.Tensor], images: float
) -> Excess:
    """Excess of second moments about the mean over those of the noise; both per order (k, k), sums over the images."""
    ratio = torch.cat([(a.diagonal() / b.diagonal()) for a, b in zip(second, noise, strict=True)]).numpy()
    weight, band = basis.multiplicity.double().numpy(), (basis.frequencies.numpy() / BAND_PER_PX).astype(int)
    weights = np.bincount(band, weight)
    seen = weights > 0
    total = np.bincount(band, weight * ratio)[seen] / weights[seen]
    return Excess(
        upper_per_px=(np.flatnonzero(seen) + 1) * BAND_PER_PX,
        value=total - 1,
        error=np.sqrt(2 / (images * weights[seen])),
    )


def choose_cutoff(excess: Excess, noise_error: np.ndarray, highest_per_px: float) -> float:
    """Cutoff in cycles per pixel: the last band that, with the one before it, has significant excess, and a margin.

    noise_error: (bands,) relative standard error of the noise level that the excess was measured against. Bands of
    more noise than expected end nothing: noise in the particle's area is not quite that beside it.
    """
    limit = SIGNIFICANT * np.hypot(excess.error, noise_error) + FLOOR
    there = excess.value > limit
    pairs = np.flatnonzero(there[1:] & there[:-1]) + 1
    last = excess.upper_per_px[pairs[-1]] if len(pairs) else 0.0
    return float(min(max(last + MARGIN_PER_PX, LOWEST_CUTOFF_PER_PX), highest_per_px))


def bulk_level(second: Sequence[torch.Tensor], noise: Sequence[torch.Tensor], images: float) -> float:
    """Level of the noise relative to ``noise`` from the bulk of the eigenvalues of the whitened second moments.

    The eigenvalues of noise alone follow Marchenko and Pastur, median 1 - ratio / 3 to within 2 %. Eigenvalues beyond
    the edge are signal and left out; 1 where hardly any others are. Second moments: about the mean, per order (k, k).
    """
    values, edges = [], []
    for q, (a, b) in enumerate(zip(second, noise, strict=True)):
        ratio = len(a) / (images * (1 if q == 0 else 2))
        if ratio < 1:
            values.append(torch.linalg.eigvalsh(whitened(a, b)) / (1 - ratio / 3))
            edges.append(torch.full((len(a),), (1 + ratio**0.5) ** 2 / (1 - ratio / 3), dtype=torch.float64))
    if not values:
        return 1.0
    value, edge, level = torch.cat(values), torch.cat(edges), 1.0
    for _ in range(20):
        bulk = value[value < level * edge]
        if len(bulk) < 0.25 * len(value):
            return 1.0
        level = float(bulk.median())
    return min(max(level, 1 / MOST_CHANGE), MOST_CHANGE)


def restricted_blocks(blocks: Sequence[torch.Tensor], narrow: FourierBessel) -> list[torch.Tensor]:
    """Of blocks (..., k, k) of a basis, those of a basis on the same disc with a lower cutoff: a corner of each."""
    sizes = [block.stop - block.start for block in narrow.blocks]
    return [b[..., :k, :k] for b, k in zip(blocks[: len(sizes)], sizes, strict=True)]


def second_and_noise(
    moments: Moments, information: Sequence[torch.Tensor], noise: Sequence[torch.Tensor]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Second moments about the mean, and those of the noise, per order (k, k): sums over all groups.

    moments: of coefficients matched with noise of power 1, which ``information`` belongs to; noise: (G, k, k), what
    the noise of one image adds.
    """
    mean = estimate_mean(moments, information)
    second = [centred_moments(moments, information, mean, q).sum(0) for q in range(len(information))]
    return second, [torch.einsum("g,gkl->kl", moments.count, block.double()) for block in noise]
