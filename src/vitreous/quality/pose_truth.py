"""Poses that were found against true ones, in any common frame and of either hand."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.rotations import compare_poses, mirrored_poses, rotation_distance_deg

__all__ = ["PoseTruth", "compare_with_true_poses"]

WITHIN_DEG = 10.0


@dataclass(frozen=True, kw_only=True)
class PoseTruth:
    """median_deg: angle between found and true pose; within_10_deg: share of poses; other_hand: of the structure."""

    median_deg: float
    within_10_deg: float
    other_hand: bool

    def lines(self) -> list[str]:
        """For reading."""
        hand = ", of the other hand" if self.other_hand else ""
        return [f"poses differ by {self.median_deg:.2f}° (median), {self.within_10_deg:.1%} by less than 10°{hand}"]


def compare_with_true_poses(found: np.ndarray, true: np.ndarray, group: np.ndarray) -> PoseTruth:
    """Errors of poses (n, 3, 3) against true ones, in the frame in which most agree; group (g, 3, 3).

    >>> from vitreous.rotations import random_rotations
    >>> true = random_rotations(20, seed=0).numpy()
    >>> compare_with_true_poses(true[0] @ true, true, np.eye(3)[None]).within_10_deg
    1.0
    """
    agreement = compare_poses(found, true, group=group, within_deg=WITHIN_DEG)
    hand = mirrored_poses(found) if agreement.other_hand else found
    copies = torch.from_numpy(agreement.rotation @ group[:, None] @ hand)
    error = rotation_distance_deg(copies, torch.from_numpy(true)).amin(0).numpy()
    return PoseTruth(
        median_deg=float(np.median(error)),
        within_10_deg=float((error < WITHIN_DEG).mean()),
        other_hand=agreement.other_hand,
    )
