"""FREALIGN's poses: the maximum of the weighted correlation of an image with a slice, which has a scale of its own.

    CC = sum Re(conj(x) c V) / (|x| |c V|)

over the ring points, x and c divided by the standard deviation of the noise (:mod:`.images`). With a scale a of the
slice, ``|x|^2 - |x - a c V|^2`` has its maximum ``|x|^2 CC^2`` at ``a = s / r``, ``s = sum Re(conj(x) c V)`` and
``r = |c V|^2``. So poses and scales that climb in turns come to a maximum of the correlation, and the ascent of the
likelihood (:mod:`.local`) is all that is needed.

Source: Grigorieff 2007; SCIENCE.md section 10 (Sigworth's lecture).
"""

import math

import numpy as np
import torch

from vitreous.structures.refine.images import PointImages
from vitreous.structures.refine.local import LocalPoses, refine_locally

__all__ = ["correlate_locally", "scales"]

ROUNDS = 2
LEAST_SCALE = 0.1  # a slice that the image is unlike still has to lead somewhere


def correlate_locally(
    volume_ft: torch.Tensor,
    images: PointImages,
    rotation: np.ndarray,
    origin_A: np.ndarray,
    *,
    offset_sd_A: float = math.inf,
) -> LocalPoses:
    """The nearest maximum of the correlation of every particle, from poses (m, 3, 3) and (m, 2).

    gain: ``|x|^2 CC^2`` where CC is positive; information: that of a slice of the scale that was found. offset_sd_A:
    width of a Gaussian prior on origins, which FREALIGN does not have.
    """
    scale = scales(volume_ft, images, rotation, origin_A)[0]
    for _ in range(ROUNDS):
        found = refine_locally(volume_ft, images.scaled(scale), rotation, origin_A, offset_sd_A=offset_sd_A)
        rotation, origin_A = found.rotation, found.origin_A
        scale, gain = scales(volume_ft, images, rotation, origin_A)
    prior = 0.5 * (origin_A**2).sum(1) / offset_sd_A**2
    return LocalPoses(rotation=rotation, origin_A=origin_A, gain=gain - prior, information=found.information)


def scales(
    volume_ft: torch.Tensor, images: PointImages, rotation: np.ndarray, origin_A: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(a, ``2 a s - a^2 r``) of every particle at its pose (m, 3, 3), (m, 2); a is at least 0.1."""
    once, twice = (
        refine_locally(volume_ft, images.scaled(np.full(len(rotation), a)), rotation, origin_A, steps=0).gain
        for a in (1.0, 2.0)
    )
    r = np.maximum(once - 0.5 * twice, 1e-9)  # of 2 s - r and 4 s - 4 r
    s = 0.5 * (once + r)
    a = np.maximum(s / r, LEAST_SCALE)
    return a, 2 * a * s - a**2 * r
