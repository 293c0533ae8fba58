"""An initial model against a map of the same particle: the volume behind simulated particles, or a reference."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.particles import Volume, read_volume
from vitreous.quality import align_maps, resample_aligned, resolution_at, shell_correlation

__all__ = ["ModelTruth", "compare_model", "compare_volumes"]

ALIGNED_AT_A = 30.0


@dataclass(frozen=True, kw_only=True)
class ModelTruth:
    """Agreement of the model and of its mirror image with the truth, each at its best rotation and shift."""

    correlation: float  # over the box, of the better hand
    resolution_A: float  # where the FSC falls below 0.5; inf when it never is above
    mirrored_correlation: float  # of the other hand
    mirrored_resolution_A: float
    other_hand: bool  # whether the better hand is that of initial_other_hand.mrc
    fsc: tuple[float, ...]  # of the better hand, one value per Fourier pixel of the box of the truth
    mirrored_fsc: tuple[float, ...]

    def lines(self, name: str = "the true volume") -> list[str]:
        """For reading; ``name`` is what the model is compared with."""
        better, other = ("initial_other_hand.mrc", "initial.mrc")[:: 1 if self.other_hand else -1]
        return [
            f"{better} agrees with {name} to {_resolution(self.resolution_A)} (FSC 0.5), correlation "
            f"{self.correlation:.3f}",
            f"{other}, the mirror image, to {_resolution(self.mirrored_resolution_A)}, correlation "
            f"{self.mirrored_correlation:.3f}; averages do not tell which of the two is right",
        ]


def compare_model(model: Path, truth: Path) -> ModelTruth:
    """Compare a map with the true one, over both hands."""
    return compare_volumes(read_volume(model), read_volume(truth))[0]


def compare_volumes(found: Volume, true: Volume) -> tuple[ModelTruth, Volume]:
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
    agreement = ModelTruth(
        correlation=better[0],
        resolution_A=better[1],
        mirrored_correlation=mirrored[0],
        mirrored_resolution_A=mirrored[1],
        other_hand=other_hand,
        fsc=better[2],
        mirrored_fsc=mirrored[2],
    )
    return agreement, Volume(data=aligned[other_hand], pixel_size_A=true.pixel_size_A)


def _resolution(value_A: float) -> str:
    return f"{value_A:.1f} Å" if np.isfinite(value_A) else "no resolution at all"
