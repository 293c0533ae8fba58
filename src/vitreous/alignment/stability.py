"""Is a class of images homogeneous? It is aligned several times from random beginnings, and the ends are compared.

A set of images of one view ends in the same alignment whatever it begins with, even at low signal-to-noise ratio; the
converse is what the test uses. All classes and all their starts are groups of one alignment
(:mod:`vitreous.alignment.groups`).

The starts work at one resolution from the beginning. Alignment that begins with few rings and adds more is the better
optimiser, and hides what is asked for: at low resolution two views are alike enough to align each other, so that a
mixture ends the same way every time. Measured with two views of a ribosome, half and half in classes of 100: with rings
added one by one some mixtures end within a pixel of each other; at 8 to 12 rings from the start all of them end 3 to 16
pixels apart, and pure classes within 0.1.

Source: Yang, Fang, Chittuluru, Asturias, Penczek, Structure 20 (2012) 237-247; SCIENCE.md section 4.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.alignment.groups import Groups, Matching, align_once, random_alignments, sums_of_folds
from vitreous.alignment.leave_one_out import refine_left_out
from vitreous.alignment.registration import Registered, register
from vitreous.matching import Alignments, PreparedParticles, Sums, signal_power

__all__ = ["FEWEST_MEMBERS", "Stability", "StabilityState", "begin_stability", "measure_stability", "stability_pass"]

FOLDS = 4
FEWEST_MEMBERS = 12  # of a class, three in a fold: with fewer there is no average to align to
MOSTLY = 0.9  # of the members: two views that reflect each other at random have about a half


@dataclass(frozen=True, kw_only=True)
class StabilityState:
    """L starts of K classes after some passes. m = L n rows: start by start, the n members in their order."""

    parts: tuple[Sums, ...]
    alignments: Alignments
    moved: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Stability:
    """Figures of K classes and of their n members, in the order of the groups' particles.

    error_A: (K,) mean pixel error of the mirror-stable members, in Angstrom (inf where there are none); mirror_share:
    (K,) of the members that are mirror-stable; member_error_A: (n,), NaN for what was not tested; mirror_stable: (n,)
    bool; alignments: of the start of every class that is nearest to the others; their reference is the class.
    """

    error_A: np.ndarray
    mirror_share: np.ndarray
    member_error_A: np.ndarray
    mirror_stable: np.ndarray
    alignments: Alignments

    def stable(self, threshold_A: float) -> np.ndarray:
        """(K,) bool: a mean pixel error below the threshold, and one mirror state for most of the members."""
        return (self.error_A < threshold_A) & (self.mirror_share > MOSTLY)

    def own_mirror_image(self, starts: int) -> np.ndarray:
        """(K,) bool: mirror states are as chance has them, so an average and its mirror image are the same picture.

        By chance a member has one state in all starts with probability ``2^(1 - starts)``; of two views that reflect
        each other the larger one keeps its states, which is half of the members or more. Halfway between chance and
        what is asked of a stable class lies the limit.
        """
        return self.mirror_share < (2.0 ** (1 - starts) + MOSTLY) / 2

    def put(self, other: "Stability", classes: np.ndarray, rows: np.ndarray) -> "Stability":
        """With the figures of ``other`` in the places of some classes (k,) and of their members, rows (m,) of these."""

        def placed(old: np.ndarray, at: np.ndarray, new: np.ndarray) -> np.ndarray:
            out = old.copy()
            out[at] = new
            return out

        mine = replace(other.alignments, reference=classes[other.alignments.reference])
        own = {name: placed(getattr(self.alignments, name), rows, getattr(mine, name)) for name in vars(mine)}
        return Stability(
            error_A=placed(self.error_A, classes, other.error_A),
            mirror_share=placed(self.mirror_share, classes, other.mirror_share),
            member_error_A=placed(self.member_error_A, rows, other.member_error_A),
            mirror_stable=placed(self.mirror_stable, rows, other.mirror_stable),
            alignments=Alignments(**own),
        )


def begin_stability(
    data: PreparedParticles, groups: Groups, noise_power: torch.Tensor, matching: Matching, seed: int
) -> StabilityState:
    """Random alignments of all starts."""
    start = random_alignments(groups, seed, mirror=matching.mirror)
    parts = sums_of_folds(data, groups, groups.folds(FOLDS, seed), start, matching.noise(noise_power))
    return StabilityState(parts=parts, alignments=start, moved=1.0)


def stability_pass(
    state: StabilityState,
    data: PreparedParticles,
    groups: Groups,
    noise_power: torch.Tensor,
    matching: Matching,
    rings: int,
    seed: int,
    *,
    progress: Callable[[int], None] | None = None,
) -> StabilityState:
    """One pass over all starts of all classes."""
    found = align_once(
        data, groups, groups.folds(FOLDS, seed), state.parts, state.alignments, noise_power, matching, rings,
        progress=progress,
    )  # fmt: skip
    return StabilityState(parts=found.parts, alignments=found.alignments, moved=found.moved)


def measure_stability(
    state: StabilityState,
    data: PreparedParticles,
    groups: Groups,
    starts: int,
    noise_power: torch.Tensor,
    matching: Matching,
    rings: int,
) -> Stability:
    """Refine the ends of all starts below the grid, register them class by class, and compare."""
    tau2 = signal_power(state.parts, data.basis)
    refined = refine_left_out(data, groups, state.alignments, noise_power, tau2, matching, rings)
    n, classes = len(groups) // starts, groups.count // starts
    label = groups.group[:n]
    error, share = np.full(classes, np.inf), np.zeros(classes)
    member_error, stable = np.full(n, np.nan), np.zeros(n, bool)
    kept = refined.take(slice(0, n))
    radius_A = data.preparation.particle_diameter_A / 2
    for k in range(classes):
        mine = np.flatnonzero(label == k)
        if len(mine) < FEWEST_MEMBERS:
            continue
        found = register([refined.take(s * n + mine) for s in range(starts)], radius_A)
        error[k], share[k] = found.mean_error_A, found.mirror_stable_share
        member_error[mine], stable[mine] = found.pixel_error_A, found.mirror_stable
        kept = _put(kept, mine, found)
    return Stability(
        error_A=error,
        mirror_share=share,
        member_error_A=member_error,
        mirror_stable=stable,
        alignments=replace(kept, reference=label),
    )


def _put(kept: Alignments, mine: np.ndarray, found: Registered) -> Alignments:
    """With the best set in the places of the members of its class."""
    best = found.sets[found.best]
    values = {name: getattr(kept, name).copy() for name in vars(kept)}
    for name, value in values.items():
        value[mine] = getattr(best, name)
    return Alignments(**values)
