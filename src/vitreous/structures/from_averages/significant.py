"""Assignment to many projections at once, of which fewer and fewer are left.

An average is given to the share of all orientations (directions, rotations, shifts) with the highest correlations, each
under the weight of its correlation; the share falls from 15 % to 0.01 %. The first maps are blurred, and averages that
could be seen from several sides are not decided too early. The method of Sorzano et al. (2015), in Xmipp "significant".
"""

from functools import partial

import torch

from vitreous.matching import Chosen, Rows
from vitreous.structures.from_averages.fitting import Fit, energy_at, map_of
from vitreous.structures.from_averages.projection_matching import passes_over, random_orientations, rings_of_pass
from vitreous.structures.from_averages.settings import Significant
from vitreous.structures.from_averages.views import FIRST_RINGS, Views

__all__ = ["significant", "significant_choice"]


def significant(views: Views, settings: Significant, seed: int, start: int) -> Fit:
    """Poses of all averages from one random start."""
    volume = map_of(views, random_orientations(views, seed, start), FIRST_RINGS)
    ratio = settings.percent_last / settings.percent_first

    def choice(done: int) -> partial[Chosen]:
        part = done / max(1, settings.passes - 1)
        energy = energy_at(views, rings_of_pass(views, done, settings.passes))
        return partial(significant_choice, percent=settings.percent_first * ratio**part, energy=energy)

    return passes_over(views, volume, settings.passes, seed=seed, start=start, choice=choice, exhaustive=True)


def significant_choice(rows: Rows, n_images: int, *, percent: float, energy: float) -> Chosen:
    """Weights in proportion to the correlation of the highest ``percent`` of an image's hypotheses, at least one.

    Scores are ``energy corr - energy / 2`` (:mod:`.fitting`). Correlations that are not positive have no weight. Every
    image has the same number of hypotheses, as an exhaustive search has it.
    """
    correlation = (rows.log_weight / energy + 0.5).clamp_min(1e-6).reshape(n_images, -1)
    chosen, place = correlation.topk(max(1, round(correlation.shape[1] * percent / 100)), dim=1)
    kept = chosen / chosen.sum(dim=1, keepdim=True)
    weight = torch.zeros_like(correlation).scatter_(1, place, kept).reshape(rows.log_weight.shape)
    return Chosen(weight=weight, log_evidence=energy * (chosen[:, 0] - 0.5))
