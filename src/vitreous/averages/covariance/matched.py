"""Matched coefficients: an image times CTF over noise power, on the whole box, then projected on the basis."""

import torch

from vitreous.fourier import FourierBessel, centred_irfft2, centred_rfft2
from vitreous.optics import (
    CTFParameters,
    add_noise_images,
    ctf_2d,
    empty_noise_sums,
    noise_power,
    radial_to_plane,
)

__all__ = ["matched_coefficients", "white_noise_variance"]


def matched_coefficients(
    basis: FourierBessel,
    images: torch.Tensor,
    ctf: CTFParameters | None,
    pixel_size_A: float,
    noise: torch.Tensor | float,
) -> torch.Tensor:
    """``z = E^T C sigma^-2 y``: images (n, L, L), CTF of n particles (None: no CTF) -> complex (n, M).

    noise: a variance, or the noise power on the rings (L // 2 + 1,). Every image has its own two-dimensional CTF,
    astigmatism included, applied by a circular FFT.
    """
    box = images.shape[-1]
    power = torch.as_tensor(noise, dtype=images.dtype, device=images.device)
    gain = 1.0 / power if power.ndim == 0 else radial_to_plane(1.0 / power, box)
    ft = centred_rfft2(images) * gain
    if ctf is not None:
        ft = ft * ctf_2d(ctf, box, pixel_size_A, device=images.device, dtype=images.dtype)
    return basis.project(centred_irfft2(ft, box))


def white_noise_variance(images: torch.Tensor, lowest_per_px: float = 0.4) -> float:
    """Variance of white noise in images (n, L, L), from rings between ``lowest_per_px`` and Nyquist.

    What signal there is at these frequencies counts as noise: an estimate from above.
    """
    box = images.shape[-1]
    group = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    rings = noise_power(add_noise_images(empty_noise_sums(1, box, device=images.device), images, group))[0]
    radius = torch.arange(len(rings), device=rings.device, dtype=rings.dtype)
    weight = radius * ((radius >= lowest_per_px * box) & (radius < 0.5 * box))
    if not weight.sum() > 0:
        raise ValueError(f"no ring of a box of {box} px lies between {lowest_per_px:g} and 0.5 cycles per pixel")
    return float((rings * weight).sum() / weight.sum())
