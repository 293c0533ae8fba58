"""Which members of matches are stable, seen from one side, and how far they are from the average of the others.

A view and that from behind are mirror images of each other. Where a view nearly is its own mirror image, both align to
one average, in any number of runs and starts, and classes mix views that are 180 degrees apart. The test of stability
therefore lets images be reflected: then views from behind fall upon the others exactly, and their mirror state tells
them apart. Members are kept whose state is that of the majority; the others are tried again. Groups of which many
change theirs from start to start are not stable.

Where the mirror state of most members is left to chance, an average and its mirror image are the same picture (as views
along an axis of a dihedral particle are, and all that is too noisy to tell). Nothing is to be told apart there, and
such classes are aligned without reflections.

Source: SCIENCE.md section 4 (mirror states are a part of the parameters whose stability counts).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.alignment import (
    Groups,
    Matching,
    Stability,
    begin_stability,
    measure_stability,
    residuals,
    stability_pass,
)
from vitreous.matching import Alignments, PreparedParticles, signal_power

__all__ = ["JudgedMembers", "MemberTest", "judged_members"]

PASSES = 6


@dataclass(frozen=True, kw_only=True)
class MemberTest:
    """How members are tested: starts, rings of the alignment and of the residuals, and the seed of the starts."""

    offset_range_A: float
    starts: int
    rings: int
    residual_rings: int
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedMembers:
    """n members in the order of the groups. stability: of groups and members; alignments: without reflections.

    one_side: (n,) bool, mirror state of the majority of the group; far: (n,) residuals.
    """

    stability: Stability
    alignments: Alignments
    one_side: np.ndarray
    far: np.ndarray

    def accepted(self, threshold_A: float) -> np.ndarray:
        """(n,) bool: stable members of stable groups, seen from one side."""
        found = self.stability
        stable = found.stable(threshold_A)[self.alignments.reference] & (found.member_error_A < threshold_A)
        return np.asarray(stable & found.mirror_stable & self.one_side)


def judged_members(
    groups: Groups, data: PreparedParticles, noise_power: torch.Tensor, test: MemberTest
) -> JudgedMembers:
    """Align the members of all groups from random beginnings, with reflections where these can be told."""
    matching = Matching(offset_range_A=test.offset_range_A, mirror=True)
    found, tau2 = _ends(groups, data, noise_power, matching, test)
    same = np.flatnonzero(found.own_mirror_image(test.starts))
    if len(same):
        rows = np.flatnonzero(np.isin(groups.group, same))
        some = Groups(particle=groups.particle[rows], group=np.searchsorted(same, groups.group[rows]), count=len(same))
        again, _ = _ends(some, data, noise_power, replace(matching, mirror=False), test)
        found = found.put(again, same, rows)
    far = residuals(data, groups, found.alignments, noise_power, tau2, matching, test.residual_rings)
    own = found.alignments
    reflected = np.bincount(own.reference, own.mirror, groups.count)
    most = reflected > np.bincount(own.reference, minlength=groups.count) / 2
    return JudgedMembers(
        stability=found,
        # Where the majority is reflected, so is the reference: psi and origin are not touched by it.
        alignments=replace(own, mirror=np.zeros(len(own), bool)),
        one_side=own.mirror == most[own.reference],
        far=far,
    )


def _ends(
    groups: Groups, data: PreparedParticles, noise_power: torch.Tensor, matching: Matching, test: MemberTest
) -> tuple[Stability, torch.Tensor]:
    """Stability of all groups, and the power of the signal (R,) in their averages."""
    every = groups.repeated(test.starts)
    at = begin_stability(data, every, noise_power, matching, test.seed)
    for _ in range(PASSES):
        at = stability_pass(at, data, every, noise_power, matching, test.rings, test.seed)
    found = measure_stability(at, data, every, test.starts, noise_power, matching, test.rings)
    return found, signal_power(at.parts, data.basis)
