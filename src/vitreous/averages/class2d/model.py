"""From fold statistics to references: signal power, Wiener averages, noise, and the resolution they support.

The data are split at random into F folds. Every fold keeps its own sums (see :mod:`vitreous.matching.accumulate`),
so references that leave a fold out are a subtraction, and the sums of even and of odd folds are two half-sets whose
noise is independent: their cross power estimates the power of the signal without bias.
"""

from dataclasses import dataclass

import torch

from vitreous.matching import RingBasis

__all__ = ["FoldSums", "left_out", "resolved_rings", "signal_power", "wiener"]


@dataclass(frozen=True, kw_only=True)
class FoldSums:
    """Statistics of F folds and K classes: signal (F, K, R, Q) complex, power (F, K, R), members (F, K),
    square_members (F, K), offset_square_px2 (F, K)."""

    signal: torch.Tensor
    power: torch.Tensor
    members: torch.Tensor
    square_members: torch.Tensor
    offset_square_px2: torch.Tensor

    @property
    def rings(self) -> int:
        """Number of rings that there is room for."""
        return self.power.shape[2]


def signal_power(sums: FoldSums, basis: RingBasis) -> torch.Tensor:
    """Power of the signal in a class average on every ring, pooled over classes, without noise bias: (R,) >= 0.

    The cross power of the averages of even and odd folds, weighted by the power of the poorer half.
    """
    half = [(sums.signal[s::2].sum(0), sums.power[s::2].sum(0)) for s in (0, 1)]
    (signal_a, power_a), (signal_b, power_b) = half
    weight = torch.minimum(power_a, power_b)
    product = (signal_a * signal_b.conj()).real * basis.multiplicity.to(weight.device)
    cross = product.sum(2) / (power_a * power_b).clamp_min(torch.finfo(torch.float32).tiny)
    pooled = (cross * weight).sum(0) / weight.sum(0).clamp_min(torch.finfo(torch.float32).tiny)
    return pooled.clamp_min(0)


def wiener(signal: torch.Tensor, power: torch.Tensor, tau2: torch.Tensor) -> torch.Tensor:
    """Averages sum / (power + 1 / tau^2): signal (K, R, Q), power (K, R), tau2 (R,) or (K, R) -> (K, R, Q)."""
    gain = tau2 / (tau2 * power + 1)
    return signal * gain[..., None]


def left_out(sums: FoldSums, fold: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """(signal, power) of all folds but one (None: of all)."""
    others = [f for f in range(len(sums.power)) if f != fold]
    return sums.signal[others].sum(0), sums.power[others].sum(0)


def resolved_rings(sums: FoldSums, tau2: torch.Tensor) -> int:
    """Rings before the first one where the SSNR of a class of average size falls below 1."""
    ssnr = tau2 * sums.power[:, :, : len(tau2)].sum(0).mean(0)
    poor = (ssnr < 1).nonzero().ravel()
    return int(poor[0]) if len(poor) else len(ssnr)
