"""What a classification returns: one value that the writers, the report and the user's own code share."""

from dataclasses import dataclass, field

import numpy as np

from vitreous.particles import Volume
from vitreous.structures.poses import Poses
from vitreous.volumes import HalfMapFSC

__all__ = ["Class3DResult", "ClassMap", "Start3D"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassMap:
    """A class. particles: that are most probably in it; 0: the map is the mean of all particles.

    full: of its particles, by least squares in the sphere, filtered by the SNR of its halves; halves: unfiltered;
    in_sphere: their FSC in the particle's sphere; difference: from the mean of the other classes, at the resolution of
    the coarsest class, in standard deviations of its noise; peak: the largest of its absolute values.
    """

    particles: int
    full: Volume
    halves: tuple[Volume, Volume]
    in_sphere: HalfMapFSC
    difference: Volume
    peak: float

    @property
    def resolution_A(self) -> float:
        """Of the halves in the sphere of the particle: 95 % certain at 0.143; inf where nothing is claimed."""
        return self.in_sphere.certain_resolution_A if self.particles else float("inf")


@dataclass(frozen=True, kw_only=True, eq=False)
class Start3D:
    """A start.

    evidence: nats per particle by which K maps of the other half are better than its mean map; sigmas: standard errors
    of that; halves_agree, best_agrees: adjusted Rand index of the classes in own and other half, and of those of this
    start and of the result; common: (K, K) particles by class of this start and of the result.
    """

    evidence: float
    sigmas: float
    halves_agree: float
    best_agrees: float
    common: np.ndarray
    best: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Class3DResult:
    """Classes of n particles, the largest first.

    poses: volume is the class, -1 for particles without a part; posterior: (n, K); gain: (n,) nats above the mean map;
    half: (n,) 0 or 1, -1 without a part; found_classes: two halves of the particles, classified apart, agree that
    there are classes, and on which.
    """

    poses: Poses
    posterior: np.ndarray
    gain: np.ndarray
    half: np.ndarray
    classes: tuple[ClassMap, ...]
    starts: tuple[Start3D, ...]
    found_classes: bool
    messages: list[str] = field(default_factory=list)

    @property
    def best(self) -> Start3D:
        """The start that was finished."""
        return next(start for start in self.starts if start.best)
