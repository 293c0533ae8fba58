"""From statistics of folds to references: signal power, Wiener averages, noise, and the rings that they resolve.

The cross power of even and odd folds estimates the power of the signal without bias (SCIENCE.md section 3).
"""

from collections.abc import Sequence

import torch

from vitreous.matching.accumulate import Sums
from vitreous.matching.folds import stacked
from vitreous.matching.prepare import PreparedParticles
from vitreous.matching.rings import RingBasis

__all__ = ["residual_noise", "resolved_rings", "signal_power", "wiener"]

NOISE_FLOOR = 0.1  # of the total power of a ring: what the noise cannot fall below


def signal_power(parts: Sequence[Sums], basis: RingBasis) -> torch.Tensor:
    """Power of the signal in an average on every ring, pooled over references, without noise bias: (R,) >= 0.

    The cross power of the averages of even and odd folds, weighted by the power of the poorer half.
    """
    (signal_a, power_a), (signal_b, power_b) = (
        (stacked(half, "signal").sum(0), stacked(half, "power").sum(0)) for half in (parts[0::2], parts[1::2])
    )
    weight = torch.minimum(power_a, power_b)
    product = (signal_a * signal_b.conj()).real * basis.multiplicity.to(weight.device)
    cross = product.sum(2) / (power_a * power_b).clamp_min(torch.finfo(torch.float32).tiny)
    pooled = (cross * weight).sum(0) / weight.sum(0).clamp_min(torch.finfo(torch.float32).tiny)
    return pooled.clamp_min(0)


def wiener(signal: torch.Tensor, power: torch.Tensor, tau2: torch.Tensor) -> torch.Tensor:
    """Averages sum / (power + 1 / tau^2): signal (K, R, Q), power (K, R), tau2 (R,) or (K, R) -> (K, R, Q)."""
    gain = tau2 / (tau2 * power + 1)
    return signal * gain[..., None]


def resolved_rings(parts: Sequence[Sums], tau2: torch.Tensor) -> int:
    """Rings before the first one where the SSNR of a reference of average size falls below 1; tau2 (<= R,)."""
    ssnr = tau2 * stacked(parts, "power")[:, :, : len(tau2)].sum(0).mean(0)
    poor = (ssnr < 1).nonzero().ravel()
    return int(poor[0]) if len(poor) else len(ssnr)


def residual_noise(noise_power: torch.Tensor, data: PreparedParticles, tau2: torch.Tensor, rings: int) -> torch.Tensor:
    """Noise power (G, R): what is left of the images' power when that of the averages (after the CTF) is taken away.

    Rings from ``rings`` on keep what they had; tau2 (>= rings,) is the power of the signal.
    """
    out = noise_power.clone()
    for group in range(len(noise_power)):
        power = data.group_power[group, :rings]
        signal = data.mean_ctf_power(group, rings) * tau2[:rings]
        out[group, :rings] = torch.maximum(power - signal, NOISE_FLOOR * power)
    return out
