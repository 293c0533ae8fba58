"""From the small maps that iterate to maps at the box and pixel size of the particles."""

import numpy as np
import torch

from vitreous.matching import PreparedParticles
from vitreous.particles import Volume

__all__ = ["at_particle_size"]


def at_particle_size(volume: torch.Tensor, data: PreparedParticles) -> Volume:
    """A map (n, n, n) of the window of the rings -> a map of the box and the pixels of the raw images.

    Trigonometric interpolation: the values are those of the band-limited map at the new points; beyond the window
    there is nothing. The density is such that an image is its integral along the line of sight, in Angstrom.
    """
    box, pixel = data.preparation.box_px, data.preparation.pixel_size_A
    window_px = data.basis.window_px * box / data.basis.box_px
    n = len(volume)
    matrix = torch.from_numpy(_interpolation(n, box, window_px)).to(volume)
    finer = volume
    for _ in range(3):  # along the last axis, which then becomes the first one
        finer = (finer @ matrix.T).permute(2, 0, 1)
    density = finer.contiguous() * ((n / window_px) ** 3 / pixel)
    return Volume(data=density.cpu().numpy(), pixel_size_A=pixel)


def _interpolation(n: int, box: int, window: float) -> np.ndarray:
    """(box, n): values at pixels of the box from those at n points across the window, 0 outside of it."""
    position = (np.arange(box) - box // 2)[:, None] * n / window
    distance = position - (np.arange(n) - n // 2)
    frequency = np.arange(-(n // 2) + 1, n // 2)
    # The component at the Nyquist frequency of the small map lies beyond the rings and is left out.
    kernel = np.cos(2 * np.pi * distance[..., None] * frequency / n).sum(-1) / n
    return np.asarray(np.where(np.abs(position) < n / 2, kernel, 0.0))
