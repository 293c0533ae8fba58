"""In what MAP-EM and FREALIGN's iteration differ; everything else of a pass is shared.

map: poses are maxima of the posterior, volumes have a Gaussian prior whose power is that of what the halves have in
common, and in the last passes particles are spread over their posteriors.

frealign (Grigorieff 2007; SCIENCE.md section 10): the best pose is that of the best correlation, without priors; each
particle has this one pose and the weight one; ``V = sum C X / (k + sum C^2)`` of whitened images, k a constant; and
particles see no frequency at which the halves do not agree (FSC 0.143).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from vitreous.matching import RingBasis
from vitreous.structures.refine.correlation import correlate_locally
from vitreous.structures.refine.local import Climb, refine_locally
from vitreous.structures.refine.settings import Refine
from vitreous.volumes import VolumeSums, density, prior_share, ring_means

__all__ = ["Method", "method_of"]

FEWEST_RINGS = 4  # that particles are compared on, whatever the halves say


@dataclass(frozen=True, kw_only=True)
class Method:
    """climb: to poses; priors: whether origins have one; spreads: whether particles are spread in the end.

    reference: (sums, basis, tau^2 of the halves, rings that they agree on) -> the map that particles are compared with.
    """

    climb: Climb
    priors: bool
    spreads: bool
    reference: Callable[[VolumeSums, RingBasis, torch.Tensor, int], torch.Tensor]


def method_of(settings: Refine) -> Method:
    """What the settings say."""
    if settings.method == "map":
        return Method(climb=refine_locally, priors=True, spreads=True, reference=_of_power)
    reference = partial(_of_constant, constant=settings.wiener_constant)
    return Method(climb=correlate_locally, priors=False, spreads=False, reference=reference)


def _of_power(sums: VolumeSums, basis: RingBasis, tau2: torch.Tensor, resolved: int) -> torch.Tensor:
    """The mode of the posterior of a map whose power is ``tau2``."""
    return density(sums, basis, tau2)


def _of_constant(
    sums: VolumeSums, basis: RingBasis, tau2: torch.Tensor, resolved: int, *, constant: float
) -> torch.Tensor:
    """Wiener's filter with a constant, in units of the mean of the denominator; empty beyond the rings resolved."""
    rings = min(max(resolved, FEWEST_RINGS), sums.rings)
    k = constant * float(_mean(ring_means(sums)[:rings]))
    return density(sums, basis, torch.full((rings,), prior_share(basis, sums.rings) / max(k, 1e-30)))


def _mean(of_rings: torch.Tensor) -> torch.Tensor:
    """Of samples in space, whose number grows as the square of the ring."""
    number = torch.arange(1, len(of_rings) + 1, device=of_rings.device).float().square()
    return (of_rings * number).sum() / number.sum()
