"""A diverse subset of images: each as unlike the ones chosen before as possible."""

import torch

from vitreous.averages.neighbours.profiles import exchange_mirror

__all__ = ["diverse_subset"]


def diverse_subset(features: torch.Tensor, quality: torch.Tensor, count: int) -> torch.Tensor:
    """``count`` of n images, farthest-first (Gonzalez 1985): (count,) int64, in the order in which they were chosen.

    Only the better half by ``quality`` (n,), such as the log evidence, is eligible if that is enough: outliers are
    unlike everything. The first is the best. Mirror images count as the same.
    """
    n = len(features)
    if count >= n:
        return torch.arange(n)
    eligible = quality.argsort(descending=True, stable=True)[: max(count, (n + 1) // 2)]
    mine = features[eligible]
    chosen = torch.zeros(count, dtype=torch.int64)
    alike = torch.full((len(mine),), -1.0)
    for c in range(count):
        if c:
            chosen[c] = alike.argmin()
        own = mine[chosen[c]]
        both = torch.stack([own, exchange_mirror(own[None])[0]])
        alike = torch.maximum(alike, (mine @ both.T).amax(1))
        alike[chosen[c]] = torch.inf
    return eligible[chosen]
