"""Undoing the CTF: phase flip and the Wiener family (SSNR from half-sets included).

Fourier images are in the rfft layout, CTFs real of the same shape. Sigworth et al. 2010 (Methods in Enzymology 482);
Grigorieff 2007 for the constant k; Unser et al. 1987 for the SSNR.
"""

import torch

from vitreous.optics.noise import radial_to_plane

__all__ = ["phase_flip", "ssnr_from_frc", "wiener_multi", "wiener_single", "wiener_ssnr"]


def phase_flip(ft: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
    """sgn(C) X: right phases, amplitudes as they are."""
    return torch.where(ctf < 0, -ft, ft)


def wiener_single(ft: torch.Tensor, ctf: torch.Tensor, k: float) -> torch.Tensor:
    """C X / (C^2 + k) of every image by itself; k > 0 is the inverse of the assumed signal-to-noise ratio."""
    _check_constant(k)
    return ctf * ft / (ctf * ctf + k)


def wiener_multi(fts: torch.Tensor, ctfs: torch.Tensor, k: float) -> torch.Tensor:
    """sum C_i X_i / (k + sum C_i^2) over the first axis: (m, n, n // 2 + 1) -> (n, n // 2 + 1)."""
    _check_constant(k)
    return (ctfs * fts).sum(0) / (k + (ctfs * ctfs).sum(0))


def wiener_ssnr(fts: torch.Tensor, ctfs: torch.Tensor, ssnr: torch.Tensor) -> torch.Tensor:
    """The same with k = 1 / SSNR ring by ring: (m, n, n // 2 + 1), ssnr (n // 2 + 1,) -> (n, n // 2 + 1).

    ``ssnr`` is that of one image at full contrast (C = 1): signal power / noise power. Rings with SSNR 0 give 0.
    """
    ratio = radial_to_plane(ssnr.to(ctfs.dtype), fts.shape[-2])
    return ratio * (ctfs * fts).sum(0) / (1.0 + ratio * (ctfs * ctfs).sum(0))


def ssnr_from_frc(frc: torch.Tensor, *, full: bool = True) -> torch.Tensor:
    """Spectral signal-to-noise ratio from a half-set correlation, any shape; negative correlations give 0.

    ``full``: of the sum of both halves, 2 FRC / (1 - FRC); otherwise of one half, FRC / (1 - FRC). A correlation of
    1 gives a large finite number.
    """
    positive = frc.clamp(min=0.0)
    one_half = positive / (1.0 - positive).clamp(min=torch.finfo(frc.dtype).eps)
    return 2.0 * one_half if full else one_half


def _check_constant(k: float) -> None:
    if not k > 0:
        raise ValueError(f"the Wiener constant k must be positive, found {k:g}")
