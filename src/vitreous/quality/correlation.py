"""Fourier ring and shell correlation, the resolution they imply, and the soft masks they need."""

import numpy as np
import torch

from vitreous.fourier import shell_sums

__all__ = [
    "image_correlations",
    "resolution_at",
    "ring_correlation",
    "shell_correlation",
    "soft_ball",
    "soft_disc",
    "without_dips",
]


FIRST_SHELLS = 5  # where the CTF may hide the signal of a class that has some at finer resolution


def ring_correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Fourier ring correlation of real images (..., n, n) -> (..., n // 2 + 1), one value per Fourier pixel of radius.

    FRC(r) = Re sum A conj(B) / sqrt(sum |A|^2 sum |B|^2) over the ring (Saxton and Baumeister 1982). Rings without
    power in either image give 0. Leading axes broadcast.
    """
    return _correlation(a, b, 2)


def shell_correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Fourier shell correlation of real volumes (..., n, n, n) -> (..., n // 2 + 1); see :func:`ring_correlation`."""
    return _correlation(a, b, 3)


def image_correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of image pairs (n, L, L) about their means: (n,)."""
    x, y = (v.reshape(len(v), -1) - v.mean(axis=(1, 2))[:, None] for v in (np.asarray(a, float), np.asarray(b, float)))
    return (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1)).clip(min=1e-300)


def resolution_at(curve: torch.Tensor, threshold: float, n: int, pixel_size_A: float) -> torch.Tensor:
    """Resolution in Angstrom where a curve (..., n // 2 + 1) over shells first falls below ``threshold``.

    Linear interpolation between the last shell at or above and the first below; shell 0 is ignored. Below (or not
    a number) already at shell 1: inf, nothing is resolved. Never below: the last shell. Result (...).
    """
    shells = curve.shape[-1]
    if shells != n // 2 + 1 or shells < 2:
        raise ValueError(f"a curve for a box of {n} has {n // 2 + 1} shells, found {shells}")
    below = ~(curve[..., 1:] >= threshold)
    first = below.to(torch.int8).argmax(dim=-1) + 1  # shell of the first value below, meaningful where any is
    after = torch.gather(curve, -1, first[..., None])[..., 0]
    before = torch.gather(curve, -1, (first - 1)[..., None])[..., 0]
    fraction = torch.nan_to_num((before - threshold) / (before - after), nan=0.0).clamp(0.0, 1.0)
    radius = torch.where(below.any(dim=-1), first - 1 + fraction, torch.full_like(fraction, shells - 1))
    unresolved = below[..., 0]
    resolution = n * pixel_size_A / torch.where(unresolved, torch.ones_like(radius), radius)
    return torch.where(unresolved, torch.full_like(resolution, torch.inf), resolution)


def without_dips(frc: np.ndarray) -> np.ndarray:
    """Curves (K, F) in which the resolution of averages is looked for.

    Smoothed with weights 1/4, 1/2, 1/4, because one shell of a small class scatters by more than the threshold; and
    without dips before the best of the first shells, where the CTF is weak.
    """
    padded = np.pad(frc, ((0, 0), (1, 1)), mode="edge")
    curve = 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]
    first = curve[:, 1 : FIRST_SHELLS + 1]
    before = np.arange(1, first.shape[1] + 1) <= first.argmax(1)[:, None]
    curve[:, 1 : FIRST_SHELLS + 1] = np.where(before, first.max(1, keepdims=True), first)
    return curve


def soft_disc(
    n: int,
    radius_px: float,
    edge_px: float,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Disc of 1 within ``radius_px`` of pixel n // 2, falling as a raised cosine to 0 over ``edge_px``: (n, n)."""
    return _soft_edge(_radius(n, 2, device, dtype), radius_px, edge_px)


def soft_ball(
    n: int,
    radius_px: float,
    edge_px: float,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """The same in three dimensions: (n, n, n)."""
    return _soft_edge(_radius(n, 3, device, dtype), radius_px, edge_px)


def _correlation(a: torch.Tensor, b: torch.Tensor, dims: int) -> torch.Tensor:
    n = a.shape[-1]
    if tuple(a.shape[-dims:]) != (n,) * dims or tuple(b.shape[-dims:]) != (n,) * dims:
        raise ValueError(f"expected two arrays with {dims} equal last axes, found {tuple(a.shape)}, {tuple(b.shape)}")
    axes = tuple(range(-dims, 0))
    ft_a, ft_b = torch.fft.rfftn(a, dim=axes), torch.fft.rfftn(b, dim=axes)
    shell, weight = _half_space(n, dims, a.device)
    shells = n // 2 + 1
    cross = ft_a.real * ft_b.real + ft_a.imag * ft_b.imag
    cross, power_a, power_b = (
        shell_sums(p.to(torch.float64) * weight, shell, shells)
        for p in (cross, ft_a.real**2 + ft_a.imag**2, ft_b.real**2 + ft_b.imag**2)
    )
    norm = torch.sqrt(power_a * power_b)
    frc = torch.where(norm > 0, cross / torch.where(norm > 0, norm, torch.ones_like(norm)), torch.zeros_like(norm))
    return frc.clamp(-1, 1).to(ft_a.real.dtype)  # rounding may exceed 1 where both are the same


def _half_space(n: int, dims: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounded radius and Friedel multiplicity (along the last axis) of the half plane or half space of a box n."""
    full = torch.fft.fftfreq(n, 1.0 / n, dtype=torch.float64, device=device) ** 2
    half = torch.fft.rfftfreq(n, 1.0 / n, dtype=torch.float64, device=device) ** 2
    squared = half
    for _ in range(dims - 1):
        squared = full.reshape(-1, *([1] * squared.ndim)) + squared
    weight = torch.full_like(half, 2.0)
    weight[0] = 1.0
    if n % 2 == 0:
        weight[-1] = 1.0
    return torch.floor(torch.sqrt(squared) + 0.5).to(torch.int64), weight


def _radius(n: int, dims: int, device: torch.device | str, dtype: torch.dtype) -> torch.Tensor:
    axis = (torch.arange(n, device=device, dtype=dtype) - n // 2) ** 2
    squared = axis
    for _ in range(dims - 1):
        squared = axis.reshape(-1, *([1] * squared.ndim)) + squared
    return torch.sqrt(squared)


def _soft_edge(radius: torch.Tensor, radius_px: float, edge_px: float) -> torch.Tensor:
    if edge_px <= 0:
        return (radius <= radius_px).to(radius.dtype)
    return 0.5 * (1.0 + torch.cos(torch.pi * ((radius - radius_px) / edge_px).clamp(0.0, 1.0)))
