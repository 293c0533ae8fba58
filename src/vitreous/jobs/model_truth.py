"""An initial model of simulated particles against the volume that they show."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.particles import read_volume
from vitreous.quality import align_maps, resample_aligned, resolution_at, shell_correlation

__all__ = ["ModelTruth", "compare_model"]

ALIGNED_AT_A = 30.0


@dataclass(frozen=True, kw_only=True)
class ModelTruth:
    """Agreement of the model and of its mirror image with the truth, each at its best rotation and shift."""

    correlation: float  # over the box, of the better hand
    resolution_A: float  # where the FSC falls below 0.5; inf when it never is above
    mirrored_correlation: float  # of the other hand
    mirrored_resolution_A: float
    other_hand: bool  # whether the better hand is that of initial_other_hand.mrc

    def lines(self) -> list[str]:
        """For reading."""
        better, other = ("initial_other_hand.mrc", "initial.mrc")[:: 1 if self.other_hand else -1]
        return [
            f"{better} agrees with the true volume to {self.resolution_A:.1f} Å (FSC 0.5), correlation "
            f"{self.correlation:.3f}",
            f"{other}, the mirror image, to {self.mirrored_resolution_A:.1f} Å, correlation "
            f"{self.mirrored_correlation:.3f}; averages do not tell which of the two is right",
        ]


def compare_model(model: Path, truth: Path) -> ModelTruth:
    """Compare a map with the true one, over both hands."""
    found, true = read_volume(model), read_volume(truth)
    figures = {}
    for hand in (False, True):
        aligned_by = align_maps(
            found.data,
            found.pixel_size_A,
            true.data,
            true.pixel_size_A,
            resolution_A=ALIGNED_AT_A,
            hands=(hand,),
        )
        aligned = resample_aligned(found.data, found.pixel_size_A, aligned_by, len(true.data), true.pixel_size_A)
        curve = shell_correlation(torch.from_numpy(aligned), torch.from_numpy(true.data))
        resolution = float(resolution_at(curve, 0.5, len(true.data), true.pixel_size_A))
        figures[hand] = (float(np.corrcoef(aligned.ravel(), true.data.ravel())[0, 1]), resolution)
    other_hand = figures[True] > figures[False]
    return ModelTruth(
        correlation=figures[other_hand][0],
        resolution_A=figures[other_hand][1],
        mirrored_correlation=figures[not other_hand][0],
        mirrored_resolution_A=figures[not other_hand][1],
        other_hand=other_hand,
    )
