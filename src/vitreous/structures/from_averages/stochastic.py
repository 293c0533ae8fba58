"""Stochastic hill climbing: an average takes some of the orientations that are better than its last ones, not the best.

Of all orientations with a higher correlation than the average has with the map that it was last put into, a few are
drawn at random, and the average is given to them in proportion to its correlations; where there is none, to the best
one. From PRIME (Elmlund, Elmlund and Bengio 2013), whose averages are spread over several orientations, too. Their
number falls from ``ORIENTATIONS`` to one over the first three quarters of the passes: with one alone from the start one
start of six became right in 40 passes, with these four (25 averages of Pol II, one data set). Early nearly all
orientations qualify, so that starts move freely; late hardly any but the best does.
"""

import numpy as np
import torch

from vitreous.matching import Choice, Chosen, Rows
from vitreous.randomness import torch_generator
from vitreous.structures.from_averages.fitting import Fit, agreement, energy_at, map_of, map_of_sums, search
from vitreous.structures.from_averages.projection_matching import random_orientations, rings_of_pass
from vitreous.structures.from_averages.settings import Stochastic
from vitreous.structures.from_averages.views import FIRST_RINGS, Views

__all__ = ["some_better", "stochastic"]

ORIENTATIONS = 20  # of an average in the first pass
ALONE_FROM = 0.75  # of the passes: from there on there is one


def stochastic(views: Views, settings: Stochastic, seed: int, start: int) -> Fit:
    """Poses of all averages from one random start."""
    fit = random_orientations(views, seed, start)
    volume = map_of(views, fit, FIRST_RINGS)
    last = np.full(len(views), -1.0)
    for done in range(settings.passes):
        rings = rings_of_pass(views, done, settings.passes)
        left = max(0.0, 1 - done / (ALONE_FROM * settings.passes))
        choice = some_better(
            last,
            energy_at(views, rings),
            torch_generator(seed, "better orientations", start, done),
            most=max(1, round(ORIENTATIONS**left)),
        )
        purpose = ("directions", start, done)
        fit, sums = search(views, volume, rings, seed=seed, purpose=purpose, choice=choice, exhaustive=True)
        volume = map_of_sums(views, sums)
        last = agreement(views, volume, fit)
    return fit


def some_better(last: np.ndarray, energy: float, generator: torch.Generator, *, most: int) -> Choice:
    """The choice of at most ``most`` orientations with a correlation above ``last`` (n,).

    Scores are as in :mod:`.fitting`; every image has the same number of hypotheses, as an exhaustive search has it.
    """
    floor = torch.from_numpy(last).float()[:, None]

    def choice(rows: Rows, n_images: int) -> Chosen:
        correlation = (rows.log_weight / energy + 0.5).reshape(n_images, -1)
        lot = torch.rand(correlation.shape, generator=generator) * (correlation > floor)
        drawn, place = lot.topk(min(most, lot.shape[1]), dim=1)
        kept = torch.where(drawn > 0, correlation.gather(1, place).clamp_min(1e-6), 0.0)
        none = drawn[:, 0] == 0
        place[none, 0] = correlation[none].argmax(dim=1)
        kept[none, 0] = 1.0
        kept = kept / kept.sum(dim=1, keepdim=True)
        weight = torch.zeros_like(correlation).scatter_(1, place, kept).reshape(rows.log_weight.shape)
        return Chosen(weight=weight, log_evidence=energy * (correlation.amax(dim=1) - 0.5))

    return choice
