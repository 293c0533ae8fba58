"""Shells of the Fourier transform of a cube, as ``torch.fft.rfftn`` gives it."""

import torch

from vitreous.fourier import shell_sums

__all__ = ["fsc_of_products", "multiplicity", "shell_index", "shell_products"]

_ROUNDING = 1e-12  # of the power of the strongest shell: below it lies what single precision leaves of nothing


def shell_index(n: int) -> torch.Tensor:
    """Radius in Fourier pixels, rounded: int64 (n, n, n // 2 + 1)."""
    full = torch.fft.fftfreq(n, 1.0 / n, dtype=torch.float64) ** 2
    half = torch.fft.rfftfreq(n, 1.0 / n, dtype=torch.float64) ** 2
    return torch.floor(torch.sqrt(full[:, None, None] + full[:, None] + half) + 0.5).to(torch.int64)


def multiplicity(n: int) -> torch.Tensor:
    """How many coefficients of the whole transform each stored one stands for, 1 or 2: float64 (n // 2 + 1) in kx."""
    weight = torch.full((n // 2 + 1,), 2.0, dtype=torch.float64)
    weight[0] = 1.0
    if n % 2 == 0:
        weight[-1] = 1.0
    return weight


def shell_products(ft_a: torch.Tensor, ft_b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``Re sum A conj(B)``, ``sum |A|^2``, ``sum |B|^2`` over every shell of two transforms: float64 (n // 2 + 1)."""
    n = ft_a.shape[0]
    shell, weight = shell_index(n), multiplicity(n)
    products = (
        ft_a.real * ft_b.real + ft_a.imag * ft_b.imag,
        ft_a.real**2 + ft_a.imag**2,
        ft_b.real**2 + ft_b.imag**2,
    )
    cross, a, b = (shell_sums(p.to(torch.float64) * weight, shell, n // 2 + 1) for p in products)
    return cross, a, b


def fsc_of_products(cross: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Correlation over shells (..., n // 2 + 1) from their sums; 0 where a map has nothing but rounding in a shell."""
    alive = (a > _ROUNDING * a.amax(-1, keepdim=True)) & (b > _ROUNDING * b.amax(-1, keepdim=True))
    norm = torch.sqrt(torch.where(alive, a * b, torch.ones_like(a)))
    return torch.where(alive, cross / norm, torch.zeros_like(cross)).clamp(-1.0, 1.0)
