"""What a map looks like in the poses of images."""

import numpy as np
import torch

from vitreous.fourier import central_slices, centred_irfft2, fourier_crop, fourier_pad, prepare_volume, shift_phase
from vitreous.particles import Volume

__all__ = ["project_map"]


def project_map(
    volume: Volume, rotations: np.ndarray, origins_A: np.ndarray, box_px: int, pixel_size_A: float
) -> np.ndarray:
    """Projections of a cubic map for poses (n, 3, 3) and origins (n, 2): float32 (n, box_px, box_px).

    Integrals of the density along the line of sight, by central slices. The images cover the field of the map, in
    pixels of their own; ValueError where they do not.
    """
    side = len(volume.data)
    if abs(side * volume.pixel_size_A - box_px * pixel_size_A) > 0.5 * pixel_size_A:
        raise ValueError(
            f"the map is {side * volume.pixel_size_A:.1f} A wide and the images {box_px * pixel_size_A:.1f} A; "
            "projections need a map of the same field"
        )
    prepared = prepare_volume(torch.from_numpy(np.ascontiguousarray(volume.data, dtype=np.float32)))
    slices = central_slices(prepared, torch.from_numpy(np.ascontiguousarray(rotations)).float(), side)
    resized = (fourier_crop if box_px <= side else fourier_pad)(slices, side, box_px)
    moved = resized * shift_phase(torch.from_numpy(-origins_A / pixel_size_A).float(), box_px)
    return (centred_irfft2(moved, box_px) * volume.pixel_size_A).numpy()
