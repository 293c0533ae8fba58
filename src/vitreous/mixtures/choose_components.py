"""How many components the data support: mixtures of several sizes predict views that they have not seen.

A fifth of the images is held out. For every number of components a short chain samples the mixture and the poses of the
other images; the poses of those held out follow the mixture, which does not follow them. What counts is how well the
mean of the samples' projections, projections of the posterior mean, fits a held-out image.

The unit that is held out is a view. Splitting the counts of every image (binomial thinning) holds out nothing but the
counting: noise of the average itself is in both parts, and more components always predict it better. In another view
it is not there. The fit is that of least squares for counts as well: averages are worth counts, but do not fluctuate
as counts do, and the logarithm makes the empty parts of the images decide, where noise is all there is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitreous.matching.workers import ordered_map
from vitreous.randomness import generator

__all__ = [
    "LADDER",
    "MIDDLE",
    "ComponentChoice",
    "choose_components",
    "held_out_views",
    "log_predictive_of_views",
    "number_of_components",
    "require_enough_views",
    "tried",
]

LADDER = (50, 100, 200, 400, 800)
MIDDLE = 200
FEWEST_VIEWS = 6
_HELD_OUT = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class ComponentChoice:
    """What was tried: ``components`` (m,), increasing; ``log_predictive`` (m, v) of every held-out view."""

    components: np.ndarray
    log_predictive: np.ndarray

    @property
    def behind(self) -> np.ndarray:
        """By how much each one predicts worse than the best, over all held-out views: (m,)."""
        totals = self.log_predictive.sum(axis=1)
        return totals.max() - totals

    @property
    def standard_errors(self) -> np.ndarray:
        """Of ``behind``, from the differences view by view: (m,)."""
        best = self.log_predictive[self.log_predictive.sum(axis=1).argmax()]
        views = self.log_predictive.shape[1]
        return (best - self.log_predictive).std(axis=1, ddof=1) * np.sqrt(views)

    @property
    def chosen(self) -> int:
        """The fewest components that are not behind the best by more than one standard error."""
        return int(self.components[(self.behind <= self.standard_errors).argmax()])


def choose_components(
    predict: Callable[[int], np.ndarray], ladder: Sequence[int] = LADDER, *, threads: int = 1
) -> ComponentChoice:
    """Try every number of components in ``ladder``; ``predict`` gives the log predictive of the held-out views, (v,).

    The rungs are independent, and ``threads`` of them are worked on at a time.
    """
    rungs = sorted(set(ladder))
    scores = np.stack(list(ordered_map(predict, rungs, threads)))
    return ComponentChoice(components=np.array(rungs), log_predictive=scores)


def number_of_components(
    asked: int | str,
    predictor: Callable[[np.ndarray], Callable[[int], np.ndarray]],
    *,
    images: int,
    seed: int,
    threads: int,
) -> tuple[int, ComponentChoice | None]:
    """(number, None) where a number was ``asked`` for; for "auto" the one that was chosen, and how.

    ``predictor`` is given which images are held out, (images,) bool, and returns what :func:`choose_components` asks.
    """
    if not isinstance(asked, str):
        return asked, None
    choice = choose_components(predictor(held_out_views(images, seed)), threads=threads)
    return choice.chosen, choice


def held_out_views(images: int, seed: int) -> np.ndarray:
    """A random fifth of the images, at least two: bool (images,).

    Raises ValueError as :func:`require_enough_views`.
    """
    require_enough_views(images)
    held_out = np.zeros(images, bool)
    count = max(2, round(_HELD_OUT * images))
    held_out[generator(seed, "held-out views").choice(images, size=count, replace=False)] = True
    return held_out


def require_enough_views(images: int) -> None:
    """ValueError for so few images that those which are not held out would not say much about a structure."""
    if images < FEWEST_VIEWS:
        raise ValueError(
            f"the number of components cannot be chosen from {images} averages, of which some would have to be held "
            f"out; give fine_components, or at least {FEWEST_VIEWS} averages"
        )


def log_predictive_of_views(images: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Log likelihood (v,) of images (v, L, L) as scaled predictions plus a background and white noise.

    Scale, background and noise level are at their best values, three numbers for an image; constants are left out:
    ``-pixels / 2 log(sum of squared residuals)``.
    """
    y, p = (a.reshape(len(a), -1).astype(np.float64) for a in (images, predicted))
    y, p = y - y.mean(axis=1, keepdims=True), p - p.mean(axis=1, keepdims=True)
    yy, pp, py = (y * y).sum(axis=1), (p * p).sum(axis=1), (p * y).sum(axis=1).clip(min=0.0)
    residual = yy - py**2 / pp.clip(min=np.finfo(float).tiny)
    return -0.5 * y.shape[1] * np.log(residual)


def tried(choice: ComponentChoice | None) -> dict[str, Any]:
    """For the log: what was tried, by how much each was behind the best, with its error, and what was chosen."""
    if choice is None:
        return {}
    return {
        "components_tried": choice.components.tolist(),
        "behind": choice.behind.tolist(),
        "standard_errors": choice.standard_errors.tolist(),
        "components": choice.chosen,
    }
