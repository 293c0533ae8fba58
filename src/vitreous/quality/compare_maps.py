"""A map against another one of the same particle in an unknown frame, over both hands."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.particles import Volume
from vitreous.quality.align_maps import align_maps, resample_aligned
from vitreous.quality.correlation import resolution_at, shell_correlation

__all__ = ["MapAgreement", "compare_maps"]

ALIGNED_AT_A = 30.0


@dataclass(frozen=True, kw_only=True)
class MapAgreement:
    """Agreement of a map and of its mirror image with the truth, each at its best rotation and shift."""

    correlation: float  # over the box, of the better hand
    resolution_A: float  # where the FSC falls below 0.5; inf when it never is above
    mirrored_correlation: float  # of the other hand
    mirrored_resolution_A: float
    other_hand: bool  # whether the mirror image is the better one
    fsc: tuple[float, ...]  # of the better hand, one value per Fourier pixel of the box of the truth
    mirrored_fsc: tuple[float, ...]


def compare_maps(found: Volume, true: Volume) -> tuple[MapAgreement, Volume]:
    """The agreement over both hands, and ``found``, of the better hand, in the frame and on the grid of ``true``.

    FSC and correlation are taken over the whole box, without a mask. Raises ValueError for a map that is nowhere
    positive.
    """
    aligned, figures = {}, {}
    for hand in (False, True):
        aligned_by = align_maps(
            found.data,
            found.pixel_size_A,
            true.data,
            true.pixel_size_A,
            resolution_A=ALIGNED_AT_A,
            hands=(hand,),
        )
        map_ = resample_aligned(found.data, found.pixel_size_A, aligned_by, len(true.data), true.pixel_size_A)
        curve = shell_correlation(torch.from_numpy(map_), torch.from_numpy(true.data))
        resolution = float(resolution_at(curve, 0.5, len(true.data), true.pixel_size_A))
        correlation = float(np.corrcoef(map_.ravel(), true.data.ravel())[0, 1])
        aligned[hand], figures[hand] = map_, (correlation, resolution, tuple(curve.tolist()))
    other_hand = figures[True][0] > figures[False][0]
    better, mirrored = figures[other_hand], figures[not other_hand]
    agreement = MapAgreement(
        correlation=better[0],
        resolution_A=better[1],
        mirrored_correlation=mirrored[0],
        mirrored_resolution_A=mirrored[1],
        other_hand=other_hand,
        fsc=better[2],
        mirrored_fsc=mirrored[2],
    )
    return agreement, true.with_data(aligned[other_hand])
