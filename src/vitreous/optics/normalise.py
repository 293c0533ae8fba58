"""Bring particle images to one scale: background mean 0 and standard deviation 1."""

import torch

__all__ = ["invert_contrast", "normalise_images"]

_FLAT = 1e-6  # of the largest background value: less is rounding, not variation


def normalise_images(
    images: torch.Tensor, particle_radius_px: float, *, remove_ramp: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Background mean 0 and sd 1 outside the particle circle: images (b, n, n) -> (images, bad).

    The background is everything farther than ``particle_radius_px`` from pixel n // 2, as in ``relion_preprocess``.
    ``remove_ramp`` also subtracts the plane that fits the background best (least squares). ``bad`` (b,) is true
    for images with NaN or infinite pixels or a constant background; they come back as zeros.

    Raises ValueError when the circle leaves less than a handful of background pixels.
    """
    batch, n = images.shape[0], images.shape[-1]
    dtype = images.dtype if images.dtype == torch.float64 else torch.float32
    basis, fit, background = _background(n, particle_radius_px, remove_ramp, images.device, dtype)
    flat = images.to(dtype).reshape(batch, n * n)
    finite = torch.isfinite(flat).all(dim=1)
    flat = torch.where(finite[:, None], flat, torch.zeros((), dtype=dtype, device=images.device))
    flat = flat - flat[:, :1]  # the corner is background: large offsets cost no precision, constants become zero
    largest = (flat * background).abs().amax(dim=1)
    residual = flat - (flat @ fit) @ basis.T
    sd = torch.sqrt((residual * residual) @ background / background.sum())
    good = finite & (sd > _FLAT * largest) & torch.isfinite(sd)
    scale = torch.where(good, 1.0 / sd, torch.zeros_like(sd))
    normalised = torch.where(good[:, None], residual * scale[:, None], torch.zeros_like(residual))
    return normalised.reshape(batch, n, n), ~good


def invert_contrast(images: torch.Tensor) -> torch.Tensor:
    """Dark particles become white ones and the reverse."""
    return -images


def _background(
    n: int, radius_px: float, ramp: bool, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(basis (n^2, m), matrix from pixels to least-squares coefficients (n^2, m), background mask (n^2,))."""
    axis = torch.arange(n, device=device, dtype=torch.float64) - n // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    outside = (torch.hypot(x, y) > radius_px).flatten()
    if int(outside.sum()) < 8:
        raise ValueError(
            f"A particle radius of {radius_px:g} pixels leaves no background in a box of {n}: "
            "give a smaller particle diameter or extract in a larger box."
        )
    columns = [torch.ones_like(x), x / n, y / n] if ramp else [torch.ones_like(x)]
    basis = torch.stack([c.flatten() for c in columns], dim=1)
    fit = torch.linalg.pinv(basis * outside[:, None]).T * outside[:, None]
    return basis.to(dtype), fit.to(dtype), outside.to(dtype)
