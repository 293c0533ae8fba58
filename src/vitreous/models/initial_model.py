"""What an initial model is, whichever method made it: maps, poses, agreement of restarts, and perhaps mixtures.

A method may describe its maps by something better than voxels, such as a mixture of Gaussians. This room does not know
what that is: it is the type parameter ``M``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from vitreous.particles import Volume
from vitreous.rotations import Agreement
from vitreous.words import brief

__all__ = ["Conformation", "InitialModelResult", "one_conformation"]

M = TypeVar("M")

_AGREES = 0.9  # of the poses


@dataclass(frozen=True, kw_only=True, eq=False)
class Conformation(Generic[M]):
    """The map of one conformation, and what else the method knows about it."""

    __repr__ = brief

    mean: Volume  # best estimate of the density
    population: float = 1.0  # share of the averages
    variance: Volume | None = None  # of the density, in its units squared
    mixture: M | None = None  # with all copies of the asymmetric unit, in the frame of the map


@dataclass(frozen=True, kw_only=True, eq=False)
class InitialModelResult(Generic[M]):
    """An initial model from n averages; its hand is not determined by them.

    All conformations (a single one unless more were asked for) and all rotations are in one frame. Raises ValueError
    where the arrays do not belong together.
    """

    __repr__ = brief

    conformations: tuple[Conformation[M], ...]  # the one with most averages first
    labels: np.ndarray  # (n,) the conformation that an average shows most probably, from 0
    label_probabilities: np.ndarray  # (n, conformations)
    rotations: np.ndarray  # (n, 3, 3) G of the averages
    origins_A: np.ndarray  # (n, 2) shifts that centre the averages, as rlnOriginXAngst and YAngst
    scores: np.ndarray  # (restarts,) by which they are ranked, the more the better
    score: str  # what that is, in words: "log posterior"
    best: int  # the restart that this model comes from
    agreements: tuple[Agreement, ...]  # of each restart with the best one
    poses_kept: Agreement | None = None  # of the final poses (and labels) with those of the best restart, if refined

    def __post_init__(self) -> None:
        n, count = len(self.rotations), len(self.conformations)
        expected = {"rotations": (n, 3, 3), "origins_A": (n, 2), "labels": (n,), "label_probabilities": (n, count)}
        for name, shape in expected.items():
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(f"{name}: expected shape {shape}, found {np.shape(getattr(self, name))}")
        if len(self.scores) != len(self.agreements) or not 0 <= self.best < len(self.scores):
            raise ValueError(
                f"expected a score and an agreement for every restart, and the best one among them; found "
                f"{len(self.scores)} scores, {len(self.agreements)} agreements, best {self.best}"
            )

    @property
    def mean(self) -> Volume:
        """Map of the first conformation."""
        return self.conformations[0].mean

    @property
    def variance(self) -> Volume | None:
        """Variance of the first conformation."""
        return self.conformations[0].variance

    @property
    def mixture(self) -> M | None:
        """Mixture of the first conformation."""
        return self.conformations[0].mixture

    @property
    def restarts_agreeing(self) -> int:
        """Restarts, the best included, of which at least nine poses in ten agree with it."""
        return sum(agreement.fraction >= _AGREES for agreement in self.agreements)


def one_conformation(
    mean: Volume,
    rotations: np.ndarray,
    origins_A: np.ndarray,
    *,
    scores: np.ndarray,
    score: str,
    agreements: Sequence[Agreement],
    variance: Volume | None = None,
) -> InitialModelResult[object]:
    """The result of a method that finds one map and the poses (n, 3, 3) and origins (n, 2) of all averages.

    ``agreements`` are those of every restart with the one of the highest score, as
    :func:`vitreous.rotations.compare_poses` gives them.
    """
    n = len(rotations)
    return InitialModelResult(
        conformations=(Conformation(mean=mean, variance=variance),),
        labels=np.zeros(n, np.int64),
        label_probabilities=np.ones((n, 1)),
        rotations=rotations,
        origins_A=origins_A,
        scores=scores,
        score=score,
        best=int(np.argmax(scores)),
        agreements=tuple(agreements),
    )
