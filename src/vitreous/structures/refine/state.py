"""What a refinement remembers, finds in a pass, and needs for one."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch

from vitreous.matching import PreparedParticles
from vitreous.processes import ALONE, Processes, by_process
from vitreous.structures.refine.imaging import Imaged, Imaging
from vitreous.structures.refine.methods import Method

__all__ = ["Found", "Pass", "RefineState"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RefineState:
    """Everything that an iteration hands to the next one. n particles; bad ones keep what they came with.

    rings: that the next pass uses; room: rings that are prepared; search: "none", "sample" or "all" of the particles
    look at all views in the next pass; looked: a sample has done so since poses stood still; spread: whether particles
    are inserted over their posteriors in the next pass; inserted_...: how they were in the last one (rings 0: the sums
    have to be made again); still: passes since something moved; imaging: defocus and contrast of the particles.
    """

    iteration: int
    seed: int
    rings: int
    room: int
    rotation: np.ndarray  # (n, 3, 3)
    origin_A: np.ndarray  # (n, 2)
    gain: np.ndarray  # (n,) log likelihood less that of an empty image
    information: np.ndarray  # (n, 5, 5) of small rotations in radians and of origins in Angstrom
    noise_power: torch.Tensor  # (G, room)
    inserted_noise: torch.Tensor  # (G, room) with which the particles were inserted
    inserted_rings: int
    fsc: torch.Tensor  # (rings of the last pass,)
    resolved: int
    best_resolved: int
    offset_sd_A: float
    search: str
    looked: bool
    spread: bool
    inserted_spread: bool
    still: int
    converged: bool
    imaging: Imaging


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a pass finds of m particles; searched: looked at all views; moved: and found a better one elsewhere.

    The last six are those of :class:`vitreous.structures.refine.imaging.Imaged`.
    """

    rotation: np.ndarray
    origin_A: np.ndarray
    gain: np.ndarray
    information: np.ndarray
    searched: np.ndarray
    moved: np.ndarray
    defocus_A: np.ndarray
    defocus_score: np.ndarray
    defocus_information: np.ndarray
    scale: np.ndarray
    scale_score: np.ndarray
    scale_information: np.ndarray

    @property
    def imaged(self) -> Imaged:
        """What was found of defocus and contrast."""
        return Imaged(**{f.name: getattr(self, f.name) for f in fields(Imaged)})


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """What a pass needs beside its state.

    initial: the prepared volumes that the two halves are compared with in the first pass; group: (g, 3, 3); mask:
    (side,) -> mask of a map of so many voxels, or None; searchers: (n,) bool, particles that look at all views;
    unknown: there are no poses yet; method: how poses are found, and maps made; defocus, scale: "none", "groups" or
    "particles": whose are refined in this pass; imaging_group: (n,) from 0, whose defoci and contrasts are alike.
    """

    data: PreparedParticles
    folds: tuple[np.ndarray, ...]
    group: torch.Tensor
    initial: tuple[torch.Tensor, torch.Tensor] | None
    mask: Callable[[int], torch.Tensor] | None
    searchers: np.ndarray
    unknown: bool
    offset_range_A: float
    method: Method
    defocus: str
    scale: str
    imaging_group: np.ndarray
    processes: Processes = ALONE

    def initial_of(self, fold: np.ndarray) -> torch.Tensor:
        """What particles of a fold are compared with in the first pass."""
        assert self.initial is not None
        return self.initial[int(np.isin(fold[:1], np.concatenate(self.folds[1::2])).any())]

    @property
    def mine(self) -> list[np.ndarray]:
        """Of every fold, the particles of this process."""
        return [by_process(fold, self.processes)[self.processes.rank] for fold in self.folds]
