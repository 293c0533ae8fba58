"""What a classification remembers, finds in a pass, and needs for one."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import PreparedParticles
from vitreous.processes import ALONE, Processes
from vitreous.structures.refine.state import RefineState
from vitreous.volumes import RingPoints

__all__ = ["Class3DState", "Labels", "Scene", "StartState"]


@dataclass(frozen=True, kw_only=True, eq=False)
class StartState:
    """One start, or the last stage, which has no halves any more. Of n particles; those without a part have zeros.

    stage: "components" while they are sought, "classes", "judge" when classes stand still, "done"; score: (n, q) of the
    components; posterior: (n, K), with which the particles were inserted; changed: share of the particles whose class
    changed in the last pass.
    Of a start that is done: cross (n, K), probabilities in the maps of the other half, whose classes have the names of
    the first half's; evidence: nats per particle by which the K maps of the other half are better than its one mean
    map; sigmas: standard errors of that; agreement: adjusted Rand index of the classes in own and other half.
    """

    seed: int
    stage: str
    passes: int
    score: np.ndarray
    posterior: np.ndarray
    changed: float
    cross: np.ndarray
    evidence: float
    sigmas: float
    agreement: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Class3DState:
    """Everything that an iteration hands to the next one.

    refine: the refinement of poses in one map that comes first where there are none; None when there is none to do.
    rings: on which particles are compared, 0 before the mean map is made; mean: (s, s, s) that map, s = 2 (rings + 1);
    noise_power: (G, room); fsc: (rings,) of the halves of the mean map; resolved: rings on which they agree;
    gain: (n,) log likelihood of every particle in its classes less that of the mean map; given: (n, K) probabilities
    by references, None without; joint: the last stage.
    """

    iteration: int
    seed: int
    refine: RefineState | None
    room: int
    rings: int
    rotation: np.ndarray  # (n, 3, 3)
    origin_A: np.ndarray  # (n, 2)
    known: np.ndarray  # (n,) bool: there is a pose
    mean: torch.Tensor
    mean_power: torch.Tensor  # (rings,)
    noise_power: torch.Tensor
    fsc: torch.Tensor
    resolved: int
    gain: np.ndarray
    given: np.ndarray | None
    starts: tuple[StartState, ...]
    joint: StartState | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """What a pass finds of m particles: scores or probabilities (m, q); gain (m,) in nats above the mean map.

    rotation, origin_A: poses, which alignment changes.
    """

    values: np.ndarray
    gain: np.ndarray
    rotation: np.ndarray
    origin_A: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """What a pass needs beside a start: particles at their poses, the mean map, and who is compared with whom.

    mean_ft: the prepared mean map; folds: of the particles, even ones are the first half.
    """

    data: PreparedParticles
    points: RingPoints
    noise_power: torch.Tensor
    rotation: np.ndarray
    origin_A: np.ndarray
    mean: torch.Tensor
    mean_ft: torch.Tensor
    mean_power: torch.Tensor
    folds: tuple[np.ndarray, ...]
    group: torch.Tensor
    fudge: float
    hard: bool
    processes: Processes = ALONE

    @property
    def rings(self) -> int:
        """Rings in use."""
        return self.points.rings
