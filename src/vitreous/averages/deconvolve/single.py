"""Averages that exist already, as group averages: one group each, on the scale of an average of many noisy images.

What noise an average holds cannot be read from it (it has been filtered, and often masked). It is taken for an average
of 100 images with a signal-to-noise ratio of 0.1, so that the weight of the gradient means what it means for particles.
"""

from collections.abc import Callable

import numpy as np
import torch

from vitreous.averages.deconvolve.group_averages import GroupAverages
from vitreous.matching import ImagePreparation
from vitreous.optics import CTFParameters, ctf_2d

__all__ = ["single_averages"]

IMAGES = 100.0
SNR = 0.1
_FLAT = 1e-6


def single_averages(
    read: Callable[[np.ndarray], np.ndarray],
    preparation: ImagePreparation,
    ctf: CTFParameters | None,
    rows: np.ndarray,
    *,
    phase_flipped: bool = False,
    device: str = "cpu",
) -> GroupAverages:
    """Averages ``rows`` as one frame each; those with NaN or without contrast get weight 0.

    The median of the background (beyond the particle's circle) is taken off, the standard deviation over the whole
    image becomes sqrt(0.1).
    """
    n = preparation.box_px
    images = torch.from_numpy(np.ascontiguousarray(read(rows), dtype=np.float32)).to(device)
    finite = torch.isfinite(images).all(-1).all(-1)
    images = torch.where(finite[:, None, None], images, 0.0)
    axis = torch.arange(n, device=device) - n // 2
    outside = torch.hypot(axis[:, None].float(), axis.float()) > preparation.radius_px
    centred = images - images[:, outside].median(1).values[:, None, None]
    spread = centred.std((1, 2))
    good = finite & (spread > _FLAT * images.abs().amax((1, 2)))
    scale = torch.where(good, SNR**0.5 / torch.where(good, spread, 1.0), 0.0)
    sign = -1.0 if preparation.invert_contrast else 1.0
    if ctf is None:
        transfer = torch.ones(len(rows), n, n // 2 + 1, device=device)
    else:
        transfer = ctf_2d(ctf.take(rows), n, preparation.pixel_size_A, device=device)
    return GroupAverages(
        images=(sign * centred * scale[:, None, None])[:, None],
        ctf=(transfer.abs() if phase_flipped else transfer)[:, None],
        count=(IMAGES * good)[:, None],
    )
