"""What an initial model is, whichever noise its averages have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitreous.mixtures.choose_components import ComponentChoice
from vitreous.mixtures.conformation_agreement import compare_conformations
from vitreous.mixtures.conformations import PosedMixtures
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.posterior_maps import DensitySums, posterior_variance
from vitreous.particles import Volume
from vitreous.rotations import Agreement

__all__ = ["Conformation", "InitialModelResult", "result_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Conformation:
    """Posterior mean and variance of the density, and the last sample with all copies of the asymmetric unit."""

    mean: Volume
    variance: Volume
    mixture: Mixture
    population: float  # share of the averages, mean over the samples


@dataclass(frozen=True, kw_only=True, eq=False)
class InitialModelResult:
    """An initial model with its uncertainty; its hand is not determined by the averages.

    All conformations (a single one unless more were asked for) and all rotations are in one frame.
    """

    conformations: tuple[Conformation, ...]  # the one with most averages first
    labels: np.ndarray  # (n,) the conformation that an average shows most probably, from 0
    label_probabilities: np.ndarray  # (n, conformations) share of the samples
    rotations: np.ndarray  # (n, 3, 3) G of the averages
    origins_A: np.ndarray  # (n, 2) shifts that centre the averages, as rlnOriginXAngst and YAngst
    log_posteriors: np.ndarray  # (restarts,)
    best: int  # the restart that was refined
    agreements: tuple[Agreement, ...]  # of each restart with the best one
    poses_kept: Agreement  # of the refined poses (and labels) with those of the initial stage
    choice: ComponentChoice | None  # of the number of components, where it was asked for

    @property
    def mean(self) -> Volume:
        """Posterior mean of the first conformation."""
        return self.conformations[0].mean

    @property
    def variance(self) -> Volume:
        """Posterior variance of the first conformation."""
        return self.conformations[0].variance

    @property
    def mixture(self) -> Mixture:
        """Last sample of the first conformation."""
        return self.conformations[0].mixture

    @property
    def restarts_agreeing(self) -> int:
        """Restarts, the best included, of which at least nine poses in ten agree with it."""
        return sum(agreement.fraction >= 0.9 for agreement in self.agreements)


def result_of(
    sums: Sequence[DensitySums],
    *,
    mixtures: Sequence[Mixture],
    memberships: np.ndarray,
    reference: PosedMixtures,
    starts: Sequence[PosedMixtures],
    log_posteriors: np.ndarray,
    centres_A: np.ndarray,
    pixel_size_A: float,
    group: np.ndarray,
    agreement_deg: float,
    choice: ComponentChoice | None,
) -> InitialModelResult:
    """The result of a chain that has been sampled.

    ``sums`` of the densities of every conformation, on a grid of ``pixel_size_A``; ``mixtures``, the last sample, and
    they are in the frame of ``reference``. ``memberships`` (n, C) are the numbers of samples in which an image showed a
    conformation. ``starts`` are all restarts and ``log_posteriors`` (restarts,) rank them; ``centres_A`` (n, 2) is
    where the particles' images were centred, ``choice`` how many components were tried.
    """
    best = int(log_posteriors.argmax())

    def compare(first: PosedMixtures, second: PosedMixtures) -> Agreement:
        return compare_conformations(first, second, group=group, within_deg=agreement_deg)

    probabilities = memberships / memberships.sum(axis=1, keepdims=True)
    populations = probabilities.mean(axis=0)
    order = np.argsort(-populations, kind="stable")
    return InitialModelResult(
        conformations=tuple(
            Conformation(
                mean=Volume(data=sums[c].mean, pixel_size_A=pixel_size_A),
                variance=Volume(data=posterior_variance(sums[c]), pixel_size_A=pixel_size_A),
                mixture=mixtures[c],
                population=float(populations[c]),
            )
            for c in order
        ),
        labels=probabilities[:, order].argmax(axis=1),
        label_probabilities=probabilities[:, order],
        rotations=reference.rotations,
        origins_A=-(reference.offsets_A + centres_A),
        log_posteriors=log_posteriors,
        best=best,
        agreements=tuple(compare(start, starts[best]) for start in starts),
        poses_kept=compare(starts[best], reference),
        choice=choice,
    )
