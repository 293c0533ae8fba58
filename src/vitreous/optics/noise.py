"""Radial noise power spectra: measured by groups in a stream, used to whiten, used to colour.

Power is per pixel: for a centred transform X of a box of n, ``power = <|X|^2> / n^2`` over a ring, so that white
noise of variance s has power s on every ring and in every box.
"""

from dataclasses import dataclass

import torch

from vitreous.fourier import centred_irfft2, centred_rfft2, rfft2_multiplicity, shell_index_rfft2, shell_sums

__all__ = [
    "NoiseSums",
    "add_noise_images",
    "colour_noise",
    "empty_noise_sums",
    "merge_noise_sums",
    "noise_power",
    "radial_to_plane",
    "whiten",
]


@dataclass(frozen=True, kw_only=True)
class NoiseSums:
    """What has been seen so far: float64 sums per noise group and ring."""

    power: torch.Tensor  # (groups, n // 2 + 1) sum of ring-averaged power over images
    images: torch.Tensor  # (groups,) number of images


def empty_noise_sums(groups: int, n: int, *, device: torch.device | str = "cpu") -> NoiseSums:
    """Nothing seen yet, for ``groups`` noise groups of images of n pixels."""
    return NoiseSums(
        power=torch.zeros(groups, n // 2 + 1, dtype=torch.float64, device=device),
        images=torch.zeros(groups, dtype=torch.float64, device=device),
    )


def add_noise_images(
    sums: NoiseSums, images: torch.Tensor, group: torch.Tensor, mask: torch.Tensor | None = None
) -> NoiseSums:
    """Add images (b, n, n) of groups (b,) int64; returns new sums.

    ``mask`` (n, n) selects the background (1 outside the particle, soft edge: ``1 - soft_disc``); the mean under it
    is subtracted and the power corrected for the area. None: whole images, mean included.
    """
    n = images.shape[-1]
    area = 1.0
    if mask is not None:
        mean = (images * mask).sum((-2, -1), keepdim=True) / mask.sum()
        images = (images - mean) * mask
        area = float((mask * mask).mean())
    ft = centred_rfft2(images)
    power = (ft.real**2 + ft.imag**2).to(torch.float64)
    rings = _ring_means(power, n) / (n * n * area)
    return NoiseSums(
        power=sums.power.index_add(0, group, rings),
        images=sums.images.index_add(0, group, torch.ones_like(group, dtype=torch.float64)),
    )


def merge_noise_sums(a: NoiseSums, b: NoiseSums) -> NoiseSums:
    """The sums over both sets of images."""
    return NoiseSums(power=a.power + b.power, images=a.images + b.images)


def noise_power(sums: NoiseSums) -> torch.Tensor:
    """Power per group and ring, float64 (groups, n // 2 + 1); a group without images gets the mean of all.

    Raises ValueError when no image has been added.
    """
    total = sums.images.sum()
    if total == 0:
        raise ValueError("the noise spectrum of no images was asked for")
    overall = sums.power.sum(0) / total
    seen = sums.images[:, None] > 0
    return torch.where(seen, sums.power / sums.images.clamp(min=1.0)[:, None], overall)


def radial_to_plane(curve: torch.Tensor, n: int) -> torch.Tensor:
    """Spread a curve over rings (..., n // 2 + 1) on the half plane (..., n, n // 2 + 1); corners get the last ring."""
    shell = shell_index_rfft2(n, device=curve.device).clamp(max=n // 2)
    return curve[..., shell]


def whiten(ft: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """Fourier images (..., n, n // 2 + 1) divided by the root of a noise power (..., n // 2 + 1): noise of variance 1.

    Rings whose power is not positive are set to zero.
    """
    gain = torch.where(power > 0, power, torch.inf).rsqrt().to(ft.real.dtype)
    return ft * radial_to_plane(gain, ft.shape[-2])


def colour_noise(white: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """Give white noise images (..., n, n) of variance 1 the radial power (..., n // 2 + 1)."""
    n = white.shape[-1]
    return centred_irfft2(centred_rfft2(white) * radial_to_plane(power.sqrt().to(white.dtype), n), n)


def _ring_means(values: torch.Tensor, n: int) -> torch.Tensor:
    shell = shell_index_rfft2(n, device=values.device)
    weight = rfft2_multiplicity(n, device=values.device, dtype=values.dtype)
    shells = n // 2 + 1
    return shell_sums(values * weight, shell, shells) / shell_sums(weight, shell, shells)
