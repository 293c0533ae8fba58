"""Do particles whose poses are known have the point group that is imposed on their map?

A map that has been made symmetric does not say. Their sums before that do: one half-set is compared with the other
one turned by an element of the group. With the group, both halves have as much in common then as they have unturned;
without it, no more than what any turn leaves (the coarse shape, which is left out here). Noise of the halves is
independent, and samples of Fourier space that either has no views of weigh nothing, so views within one asymmetric
unit do no harm.
"""

import torch

from vitreous.volumes.sums import VolumeSums, cross_power, turned

__all__ = ["copies_agreement"]

MOST_ELEMENTS = 6  # of a large group; they show what all show


def copies_agreement(a: VolumeSums, b: VolumeSums, group: torch.Tensor, *, first: int = 1) -> float:
    """Power common to half ``a`` and turned copies of half ``b``, over that common to ``a`` and ``b``: about 0 ... 1.

    Of the element of the group (m, 3, 3; the identity first) that agrees least: some agree where the map has a part of
    the group. first: the coarsest ring that counts; the finest is the last one before halves have nothing in common.
    0 where they never have; 1 for C1. Interpolation of the copies costs a few percent.
    """
    if len(group) == 1:
        return 1.0
    rings = min(a.rings, b.rings)
    unturned = cross_power(a, b, rings).double()
    weight = torch.arange(1, rings + 1).double() ** 2 * (unturned.cpu() > 0).cummin(0).values
    weight[: first - 1] = 0.0
    if not weight.any():
        return 0.0
    few = group[1:][:: max(1, (len(group) - 1) // MOST_ELEMENTS)][:MOST_ELEMENTS]
    common = [cross_power(a, turned(b, element, torch.zeros(3)), rings).double().cpu() for element in few]
    return min(float((one * weight).sum()) for one in common) / float((unturned.cpu() * weight).sum())
