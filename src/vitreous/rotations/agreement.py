"""Do two sets of poses of the same images describe one structure, but for its frame and its hand?

Poses of two restarts agree when one rotation M takes all of the first to the second, ``G_b = M G_a``; of the other hand
when it does so with ``F G_a F``, F = diag(1, 1, -1). With a point group an image may as well have the pose ``S G_a``.

The best M of many makes some poses agree whatever they are: the more, the larger the group, the fewer the images and
the fewer the views. What chance gives is measured: by the same search after the second poses have been dealt to other
images at random, which keeps how views are distributed. Beyond chance agrees ``(fraction - chance) / (1 - chance)``
(Cohen 1960).
"""

from dataclasses import dataclass

import numpy as np

from vitreous.rotations.matrix_fisher import proper_svd
from vitreous.words import brief

__all__ = ["Agreement", "compare_poses", "mirrored_poses"]

_FLIP = np.diag([1.0, 1.0, -1.0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement:
    """How the second poses follow from the first: ``G_b = M G_a`` or, of the other hand, ``M F G_a F``."""

    __repr__ = brief

    fraction: float  # of the images
    other_hand: bool
    rotation: np.ndarray  # (3, 3) M
    agrees: np.ndarray  # (n,) bool
    chance: float = 0.0  # fraction that agrees when poses belong to other images

    @property
    def beyond_chance(self) -> float:
        """1 where all agree, about 0 where no more do than by chance."""
        return (self.fraction - self.chance) / max(1.0 - self.chance, 1e-6)


def compare_poses(
    first: np.ndarray, second: np.ndarray, *, group: np.ndarray, within_deg: float, chance: bool = False
) -> Agreement:
    """The best alignment of poses (n, 3, 3) with others, over both hands; ``group`` (g, 3, 3).

    Every image proposes the M that would make it agree; the M with most images wins, and is then averaged over them.
    chance: also measure what chance gives, which takes as long again.
    """
    found = [_best(hand, second, group, within_deg) for hand in (first, mirrored_poses(first))]
    other = found[1][1].sum() > found[0][1].sum()
    rotation, agrees = found[int(other)]
    by_chance = 0.0
    if chance:
        dealt = second[np.random.default_rng(0).permutation(len(second))]
        by_chance = max(
            float(_best(hand, dealt, group, within_deg)[1].mean()) for hand in (first, mirrored_poses(first))
        )
    return Agreement(
        fraction=float(agrees.mean()), other_hand=bool(other), rotation=rotation, agrees=agrees, chance=by_chance
    )


def mirrored_poses(rotations: np.ndarray) -> np.ndarray:
    """The poses F G F (n, 3, 3), F = diag(1, 1, -1), of the same images in the mirror image (z to -z) of their map."""
    return _FLIP @ rotations @ _FLIP


def _best(first: np.ndarray, second: np.ndarray, group: np.ndarray, within_deg: float) -> tuple[np.ndarray, np.ndarray]:
    copies = group[:, None] @ first  # (g, n, 3, 3)
    candidates = (second @ copies.swapaxes(-1, -2)).reshape(-1, 3, 3)
    least = 1.0 + 2.0 * np.cos(np.deg2rad(within_deg))  # trace of a rotation by that angle
    best, agrees, chosen = -1, np.zeros(len(first), bool), np.zeros(len(first), int)
    for m, candidate in enumerate(candidates):
        trace = np.einsum("nab,gnab->gn", candidate.T @ second, copies, optimize=True)
        near = trace.max(axis=0) >= least
        if near.sum() > agrees.sum():
            best, agrees, chosen = m, near, trace.argmax(axis=0)
    if best < 0:
        return np.eye(3), agrees
    matched = copies[chosen, np.arange(len(first))]
    u, _, v = proper_svd((second[agrees] @ matched[agrees].swapaxes(-1, -2)).sum(axis=0))
    return u @ v.T, agrees
