"""What an initial model is, whichever noise its averages have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitreous.mixtures.components import ComponentChoice
from vitreous.mixtures.gibbs_projections import PosedMixture
from vitreous.mixtures.initial.agreement import Agreement, compare_poses
from vitreous.mixtures.initial.posterior import DensitySums, posterior_variance
from vitreous.mixtures.model import Mixture
from vitreous.particles import Volume

__all__ = ["InitialModelResult", "result_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class InitialModelResult:
    """An initial model with its uncertainty; its hand is not determined by the averages.

    ``mixture`` is the last sample with all copies of the asymmetric unit, in the frame of ``mean`` and ``rotations``.
    """

    mean: Volume
    variance: Volume
    mixture: Mixture
    rotations: np.ndarray  # (n, 3, 3) G of the averages
    origins_A: np.ndarray  # (n, 2) shifts that centre the averages, as rlnOriginXAngst and YAngst
    log_posteriors: np.ndarray  # (restarts,)
    best: int  # the restart that was refined
    agreements: tuple[Agreement, ...]  # of each restart with the best one
    poses_kept: Agreement  # of the refined poses with those of the initial stage
    choice: ComponentChoice | None  # of the number of components, where it was asked for

    @property
    def restarts_agreeing(self) -> int:
        """Restarts, the best included, of which at least nine poses in ten agree with it."""
        return sum(agreement.fraction >= 0.9 for agreement in self.agreements)


def result_of(
    sums: DensitySums,
    *,
    mixture: Mixture,
    reference: PosedMixture,
    starts: Sequence[np.ndarray],
    log_posteriors: np.ndarray,
    centres_A: np.ndarray,
    pixel_size_A: float,
    group: np.ndarray,
    agreement_deg: float,
    choice: ComponentChoice | None,
) -> InitialModelResult:
    """The result of a chain that has been sampled.

    ``sums`` of the densities, grid of ``pixel_size_A``; ``mixture``, the last sample, and they are in the frame of
    ``reference``. ``starts`` are the rotations (n, 3, 3) of every restart and ``log_posteriors`` (restarts,) rank them;
    ``centres_A`` (n, 2) is where the particles' images were centred, ``choice`` how many components were tried.
    """
    best = int(log_posteriors.argmax())

    def compare(first: np.ndarray, second: np.ndarray) -> Agreement:
        return compare_poses(first, second, group=group, within_deg=agreement_deg)

    return InitialModelResult(
        mean=Volume(data=sums.mean, pixel_size_A=pixel_size_A),
        variance=Volume(data=posterior_variance(sums), pixel_size_A=pixel_size_A),
        mixture=mixture,
        rotations=reference.rotations,
        origins_A=-(reference.offsets_A + centres_A),
        log_posteriors=log_posteriors,
        best=best,
        agreements=tuple(compare(rotations, starts[best]) for rotations in starts),
        poses_kept=compare(starts[best], reference.rotations),
        choice=choice,
    )
