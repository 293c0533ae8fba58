"""A map against another one of the same particle in an unknown frame, over both hands."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.particles import Volume
from vitreous.quality.align_finely import align_finely
from vitreous.quality.align_maps import MapAlignment, align_maps, resample_aligned
from vitreous.quality.correlation import resolution_at, shell_correlation

__all__ = ["MapAgreement", "compare_maps"]

ALIGNED_AT_A = 30.0
ROUNDS = 4  # most of the finer alignments, each up to where the one before has let the maps agree
AGREE = 0.5  # FSC


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

    Both are aligned at 30 A over all rotations, and then up to the resolution where the FSC falls below 0.5, anew while
    that becomes finer (:func:`vitreous.quality.align_finely`). FSC and correlation are taken over the whole box,
    without a mask. Raises ValueError for a map that is nowhere positive or holds NaN.
    """
    aligned, figures = {}, {}
    for hand in (False, True):
        map_, curve = _aligned(found, true, hand)
        resolution = float(resolution_at(curve, AGREE, len(true.data), true.pixel_size_A))
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


def _aligned(found: Volume, true: Volume, hand: bool) -> tuple[np.ndarray, torch.Tensor]:
    """A map of one hand in the frame of the truth, and their FSC."""
    where = align_maps(
        found.data,
        found.pixel_size_A,
        true.data,
        true.pixel_size_A,
        resolution_A=ALIGNED_AT_A,
        hands=(hand,),
    )
    best = _compared(found, true, where)
    nyquist_A = 2 * max(found.pixel_size_A, true.pixel_size_A)
    finest = min(len(map_.data) * map_.pixel_size_A for map_ in (found, true))  # its box holds nothing coarser
    for _ in range(ROUNDS):
        resolution = float(resolution_at(best[1], AGREE, len(true.data), true.pixel_size_A))
        if not resolution < finest:
            break
        finest = resolution
        where = align_finely(found, true, where, resolution_A=max(finest, nyquist_A))
        best = _compared(found, true, where)
    return best


def _compared(found: Volume, true: Volume, where: MapAlignment) -> tuple[np.ndarray, torch.Tensor]:
    map_ = resample_aligned(found.data, found.pixel_size_A, where, len(true.data), true.pixel_size_A)
    return map_, shell_correlation(torch.from_numpy(map_), torch.from_numpy(true.data))
