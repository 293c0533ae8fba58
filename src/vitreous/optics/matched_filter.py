"""Detection of a template in noise of known spectrum."""

import torch

from vitreous.fourier import centred_irfft2, centred_rfft2
from vitreous.optics.noise import radial_to_plane

__all__ = ["matched_filter"]


def matched_filter(
    image: torch.Tensor, template: torch.Tensor, ctf: torch.Tensor, noise_power: torch.Tensor
) -> torch.Tensor:
    """Cross-correlation ``F^-1[ conj(C T) G / P_N ]`` as a signal-to-noise map: image (n, n) -> (..., n, n).

    ``template`` (..., n, n) is centred in a box as large as the image; ``ctf`` (n, n // 2 + 1);
    ``noise_power`` (n // 2 + 1,) per pixel as in :mod:`vitreous.optics.noise` (carbon included, if there is any).
    The map is scaled so that noise alone has variance 1: its value at a pixel is the amplitude signal-to-noise
    ratio of the template found there.
    """
    n = image.shape[-1]
    if tuple(image.shape) != (n, n) or tuple(template.shape[-2:]) != (n, n):
        raise ValueError(f"image {tuple(image.shape)} and template {tuple(template.shape)} must share one square box")
    seen = ctf * centred_rfft2(template)
    power = radial_to_plane(noise_power.to(image.dtype), n)
    filtered = seen.conj() / power
    energy = (centred_irfft2(filtered * seen, n))[..., n // 2, n // 2]  # the map's value at a template of height 1
    correlation = centred_irfft2(centred_rfft2(image) * filtered, n)
    return correlation / torch.sqrt(energy)[..., None, None]
