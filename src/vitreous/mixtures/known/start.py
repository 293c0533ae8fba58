"""A mixture to start from: components where all images have density.

A start from the prior comes to the same posterior, but spends some hundred steps more on the way.
"""

import numpy as np

from vitreous.conventions import centre_index
from vitreous.mixtures.counts import Counts
from vitreous.mixtures.model import Mixture, image_centres
from vitreous.mixtures.priors import MixturePrior
from vitreous.randomness import generator

__all__ = ["back_projected_start"]

_CANDIDATES = 20  # for every component
_WIDER = 1.5  # than the prior are the candidates, so that what lies far out is found too
_FLOOR = 1e-3  # of an image's mean: a single empty pixel does not rule a place out
_CHUNK_VALUES = 2**22


def back_projected_start(
    data: Counts,
    views: np.ndarray,
    offsets_A: np.ndarray,
    components: int,
    prior: MixturePrior,
    seed: int,
) -> Mixture:
    """Components at random places, chosen in proportion to the geometric mean of the counts seen there.

    views (n, g, 3, 3) are the poses in which image i sees the asymmetric unit, offsets_A (n, 2) where particles sit.
    The components are as large as is needed to fill the volume of the prior.
    """
    rng = generator(seed, "start at back projections")
    width = _WIDER / np.sqrt(prior.mean_precision_per_A2)
    places = rng.standard_normal((_CANDIDATES * components, 3)) * width
    log_weight = _mean_log_counts(data, views, offsets_A, places) + 0.5 * (places**2).sum(axis=1) / width**2
    # The largest of log weights plus Gumbel noise are a draw without replacement.
    chosen = np.argsort(-(log_weight + rng.gumbel(size=len(places))), kind="stable")[:components]
    return Mixture(
        means_A=places[chosen],
        weights=np.full(components, 1.0 / components),
        precision_per_A2=prior.mean_precision_per_A2 * components ** (2.0 / 3.0),
    )


def _mean_log_counts(data: Counts, views: np.ndarray, offsets_A: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Mean over all views of the log of the counts, in units of the image's mean, at the nearest pixel: (m,)."""
    n, g = views.shape[:2]
    box, centre = data.counts.shape[2], centre_index(data.counts.shape[2])
    total = np.zeros(len(places))
    step = max(1, _CHUNK_VALUES // (g * len(places)))
    for start in range(0, n, step):
        part = slice(start, start + step)
        some = views[part].reshape(-1, 3, 3)
        image = np.repeat(np.arange(n)[part], g)
        pixel = np.rint(image_centres(places, some, offsets_A[image]) / data.pixel_size_A).astype(int) + centre
        inside = ((pixel >= 0) & (pixel < box)).all(axis=2)
        x, y = pixel.clip(0, box - 1).transpose(2, 0, 1)
        seen = data.counts[image[:, None], y, x] * inside / (data.totals[image] / box**2)[:, None]
        total += np.log(seen + _FLOOR).sum(axis=0)
    return total / (n * g)
