"""What ab initio hands over."""

from dataclasses import dataclass, field

import numpy as np

from vitreous.particles import Volume
from vitreous.rotations import Agreement
from vitreous.structures.abinitio.relaxed import FoundGroup
from vitreous.structures.poses import Poses
from vitreous.words import brief

__all__ = ["AbinitioResult", "StartSummary"]

AGREES = 0.5  # of the poses, beyond chance: at low SNR a part of them is wrong in every start


@dataclass(frozen=True, kw_only=True, eq=False)
class StartSummary:
    """One random start.

    evidence: mean log evidence in nats of particles that no start has used, at the same resolution for all starts;
    error: its standard error against that of the best start, pairwise; passes: over the data; particles: of the last
    pass; settled: it has ended by itself; agreement: of its poses of these particles with those of the best start;
    symmetry: the point group that it ended with; group: what its map without symmetry had, None where nobody looked.
    """

    __repr__ = brief

    evidence: float
    error: float
    passes: int
    particles: int
    settled: bool
    agreement: Agreement
    symmetry: str = "C1"
    group: FoundGroup | None = None

    @property
    def agrees(self) -> bool:
        """Whether it has found the structure that the best start has found, but for frame and hand."""
        return self.agreement.beyond_chance >= AGREES


@dataclass(frozen=True, kw_only=True, eq=False)
class AbinitioResult:
    """K volumes from n particles of unknown pose; the hand is not determined by them.

    volumes: the most populated first; poses: of all particles in their frame, volume -1 where refused or not used;
    volume_probability, max_probability, log_evidence: (n,) of the volume, of the single best pose, of the image in
    nats against an empty volume; population: (K,) share of the particles; resolution_A: the finest that was used, not a
    resolution of the map; symmetry: the point group that they have; starts and best: the random starts, and which of
    them this is; found_signal: whether unseen particles match better than noise does.
    """

    __repr__ = brief

    volumes: tuple[Volume, ...]
    symmetry: str
    particle_diameter_A: float
    resolution_A: float
    direction_step_deg: float
    poses: Poses
    volume_probability: np.ndarray
    max_probability: np.ndarray
    log_evidence: np.ndarray
    population: np.ndarray
    starts: tuple[StartSummary, ...]
    best: int
    found_signal: bool
    messages: list[str] = field(default_factory=list)

    @property
    def starts_agreeing(self) -> int:
        """Starts, the best included, that have found the same structure as the best one."""
        return sum(start.agrees for start in self.starts)

    @property
    def reproducible(self) -> bool | None:
        """Whether another start agrees with the best one; None where there is a single start."""
        return None if len(self.starts) == 1 else self.starts_agreeing > 1
