"""Noise spectra of groups of particles, from the background of some of their images."""

from collections.abc import Callable

import numpy as np
import torch

from vitreous.matching import ImagePreparation
from vitreous.optics import add_noise_images, empty_noise_sums, noise_power
from vitreous.quality import soft_disc

__all__ = ["background_power"]

SAMPLE = 256  # images of a group


def background_power(
    read: Callable[[np.ndarray], np.ndarray], preparation: ImagePreparation, group: np.ndarray
) -> torch.Tensor:
    """Power per pixel and ring (groups, L // 2 + 1) outside the particle, from at most 256 images of each group.

    group: (n,) from 0. Images that cannot be used are left out. Raises ValueError when none can be used.
    """
    n = preparation.box_px
    outside = 1 - soft_disc(n, preparation.radius_px, 2.0)
    sums = empty_noise_sums(int(group.max()) + 1, n)
    for number in np.unique(group):
        members = np.flatnonzero(group == number)
        chosen = members[:: max(1, len(members) // SAMPLE)][:SAMPLE]
        for start in range(0, len(chosen), preparation.batch):
            pixels = np.ascontiguousarray(read(chosen[start : start + preparation.batch]), dtype=np.float32)
            images, bad = preparation.clean(torch.from_numpy(pixels))
            good = images[~bad]
            sums = add_noise_images(sums, good, torch.full((len(good),), int(number)), outside)
    return noise_power(sums)
