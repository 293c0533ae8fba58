"""One score for the models of all methods: how well averages that a model was not made of agree with its projections.

A fifth of the averages is left out, the map is made of the others in their poses, and each one left out is compared
with it: searched over all orientations, then climbed to the nearest maximum, both at ``SCORE_RINGS`` rings, whatever
its own pose was. Its correlation there (under the weights of :mod:`.views`) is h_i. A model that is wrong predicts
averages to some extent, too: the best of many orientations of any map agrees with any image, and averages of one
particle have their size and outline in common, which the mean of them in any orientations has kept. Both are measured.
The averages themselves are polished from random orientations, as every method's are at the end: a model of the right
particle with wrong views. And every method starts once from averages that were scrambled
(:meth:`vitreous.structures.from_averages.views.Views.scrambled`), with all the freedom that its own search has. The
highest of their mean h are those of chance. As Cohen's kappa,

    score = (mean h - mean chance) / (1 - mean chance),

1 for a model that predicts averages fully and about 0 for one that knows no views. In between are models with a part of
the views right: 0.2 to 0.3 with a third of them, 0.5 with two thirds (25 averages of Pol II). ``beyond`` is the
difference of both means over its standard error, the averages taken for independent: averages of noise stay below
``CLAIMED``.
"""

from dataclasses import dataclass

import numpy as np

from vitreous.randomness import generator
from vitreous.structures.from_averages.fitting import Fit, agreement, climb, map_of, search
from vitreous.structures.from_averages.views import Views

__all__ = ["CLAIMED", "Score", "held_out", "score_of"]

SCORE_RINGS = 8
FOLDS, MOST_HELD_OUT = 5, 250
CLAIMED = 5.0  # standard errors beyond chance from which on a model says something


@dataclass(frozen=True, kw_only=True)
class Score:
    """score and beyond: of the module docstring; correlation: mean h."""

    score: float
    beyond: float
    correlation: float

    @property
    def claimed(self) -> bool:
        """Whether the model predicts averages better than chance does."""
        return self.beyond >= CLAIMED


def held_out(views: Views, fit: Fit, seed: int) -> np.ndarray:
    """h (m,) of averages that were left out: all n, or 250 of them."""
    n, rings = len(views), min(SCORE_RINGS, views.rings)
    order = generator(seed, "held out").permutation(n)[:MOST_HELD_OUT]
    found = []
    for number, fold in enumerate(np.array_split(order, min(FOLDS, len(order)))):
        others = np.setdiff1d(np.arange(n), fold)
        volume = map_of(views.take(others), fit.take(others), rings)
        seen = views.take(fold)
        best, _ = search(seen, volume, rings, seed=seed, purpose=("held out", number))
        found.append(agreement(seen, volume, climb(seen, volume, best)))
    return np.concatenate(found)


def score_of(values: np.ndarray, chance: np.ndarray) -> Score:
    """From h of a model and of chance."""
    mean, least = float(values.mean()), float(chance.mean())
    error = float(np.sqrt(values.var() / len(values) + chance.var() / len(chance)))
    return Score(
        score=(mean - least) / max(1 - least, 1e-6), beyond=(mean - least) / max(error, 1e-6), correlation=mean
    )
