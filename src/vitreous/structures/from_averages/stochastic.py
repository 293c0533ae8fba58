"""Stochastic hill climbing: an average takes any orientation that is better than its last one, not the best one.

Of all orientations with a higher correlation than the average had in the last pass, one is drawn at random, each with
the same probability; where there is none, the best one is taken, since the map has changed and the old figure cannot be
kept. Early, nearly all orientations qualify, so that starts move freely; late, hardly any but the best does. From PRIME
(Elmlund, Elmlund and Bengio 2013), without its weights over several of them.
"""

import numpy as np
import torch

from vitreous.matching import Choice, Chosen, Rows
from vitreous.randomness import torch_generator
from vitreous.structures.from_averages.fitting import Fit, agreement, energy_at, map_of, map_of_sums, search
from vitreous.structures.from_averages.projection_matching import random_orientations, rings_of_pass
from vitreous.structures.from_averages.settings import Stochastic
from vitreous.structures.from_averages.views import FIRST_RINGS, Views

__all__ = ["first_better", "stochastic"]


def stochastic(views: Views, settings: Stochastic, seed: int, start: int) -> Fit:
    """Poses of all averages from one random start."""
    fit = random_orientations(views, seed, start)
    volume = map_of(views, fit, FIRST_RINGS)
    last = np.full(len(views), -1.0)
    for done in range(settings.passes):
        rings = rings_of_pass(views, done, settings.passes)
        choice = first_better(last, energy_at(views, rings), torch_generator(seed, "better orientations", start, done))
        purpose = ("directions", start, done)
        fit, sums = search(views, volume, rings, seed=seed, purpose=purpose, choice=choice, exhaustive=True)
        last = agreement(views, volume, fit)
        volume = map_of_sums(views, sums)
    return fit


def first_better(last: np.ndarray, energy: float, generator: torch.Generator) -> Choice:
    """The choice among orientations with a correlation above ``last`` (n,); of scores as in :mod:`.fitting`."""
    floor = torch.from_numpy(last).float()

    def choice(rows: Rows, n_images: int) -> Chosen:
        correlation = rows.log_weight / energy + 0.5
        weight = torch.zeros_like(correlation)
        top = torch.empty(n_images)
        for image in range(n_images):
            mine = rows.image == image
            values = correlation[mine].flatten()
            top[image] = values.max()
            better = torch.nonzero(values > floor[image]).ravel()
            drawn = int(torch.randint(max(1, len(better)), (1,), generator=generator))
            place = better[drawn] if len(better) else values.argmax()
            kept = torch.zeros_like(values)
            kept[place] = 1.0
            weight[mine] = kept.reshape(-1, correlation.shape[1])
        return Chosen(weight=weight, log_evidence=energy * (top - 0.5))

    return choice
