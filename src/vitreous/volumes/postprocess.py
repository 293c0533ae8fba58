"""From two half maps to what is looked at: mask, resolution, sharpened and filtered map, local resolution."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vitreous.particles import Volume
from vitreous.volumes.cones import ConeFSC, cone_fsc
from vitreous.volumes.filters import apply_b_factor
from vitreous.volumes.half_maps import HalfMapFSC, check_halves, half_map_fsc, mean_of_halves
from vitreous.volumes.local_resolution import LocalResolution, has_local_bands, local_filter, local_resolution
from vitreous.volumes.masks import automatic_mask, check_mask
from vitreous.volumes.sharpening import Guinier, guinier, sharpen
from vitreous.words import brief

__all__ = ["PostProcessed", "postprocess"]

_COARSEST_OF_LINE_A = 10.0
_Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class PostProcessed:
    """What two half maps gave.

    Where they claim no resolution (``resolution_A`` is inf) the map is their mean as it is, and there is no local one.
    """

    __repr__ = brief

    mean: Volume  # of the halves, as they came
    mask: Volume
    fsc: HalfMapFSC
    guinier: Guinier  # of the masked mean
    b_factor_A2: float  # that was applied: negative sharpens
    sharpened: Volume  # weighted by the FSC and cut at the resolution, not masked
    masked: Volume  # the same, masked
    cones: ConeFSC
    local: LocalResolution | None
    locally_filtered: Volume | None  # sharpened, every voxel cut at its own resolution

    @property
    def resolution_A(self) -> float:
        """Of the corrected FSC at 0.143; inf when nothing is claimed."""
        return self.fsc.resolution_A


def postprocess(
    half1: Volume,
    half2: Volume,
    mask: Volume | None = None,
    *,
    b_factor_A2: float | None = None,
    local: bool = True,
    finest_A: float | None = None,
    seed: int = 0,
    say: _Say = lambda what: None,
) -> PostProcessed:
    """All of it, from cubic half maps that are unfiltered and unmasked.

    ``mask``: None makes one of the mean (:func:`vitreous.volumes.automatic_mask`), first without knowing the resolution
    and then again with it. ``b_factor_A2``: None takes that of the Guinier plot, 0 where it has no line (coarser than
    about 9 A). ``local``: whether to compute the local resolution, where the box has room for what is resolved.
    ``finest_A``: nothing finer is claimed, because the images did not hold it. ``seed``: of the random phases. ``say``
    is told what comes next. Raises ValueError for halves or a mask that do not belong together, and where no mask can
    be made.
    """
    check_halves(half1, half2)
    mean = mean_of_halves(half1, half2)
    say("mask and FSC")
    mask = _mask_for(half1, half2, mean, finest_A, seed) if mask is None else check_mask(mask, half1)
    fsc = half_map_fsc(half1, half2, mask, finest_A=finest_A, seed=seed)
    plot = guinier(
        mean.with_data(mean.data * mask.data), fsc.corrected, fsc.resolution_A, coarsest_A=_COARSEST_OF_LINE_A
    )
    resolved = bool(np.isfinite(fsc.resolution_A))
    wanted = plot.sharpening_A2 if b_factor_A2 is None else b_factor_A2
    b = wanted if resolved else 0.0
    sharpened = sharpen(mean, fsc.corrected, fsc.resolution_A, b) if resolved else mean
    say("FSC by direction")
    cones = cone_fsc(half1, half2, fsc, mask)
    found = filtered = None
    finest_local_A = max(0.75 * fsc.resolution_A, finest_A or 0.0)
    if local and resolved and has_local_bands(half1, finest_local_A):
        say("local resolution")
        found = local_resolution(half1, half2, mask, finest_A=finest_local_A)
        filtered = local_filter(apply_b_factor(mean, b), found.volume)
    return PostProcessed(
        mean=mean,
        mask=mask,
        fsc=fsc,
        guinier=plot,
        b_factor_A2=float(b),
        sharpened=sharpened,
        masked=sharpened.with_data(sharpened.data * mask.data),
        cones=cones,
        local=found,
        locally_filtered=filtered,
    )


def _mask_for(half1: Volume, half2: Volume, mean: Volume, finest_A: float | None, seed: int) -> Volume:
    first = automatic_mask(mean)
    resolution = half_map_fsc(half1, half2, first, finest_A=finest_A, seed=seed).resolution_A
    return automatic_mask(mean, resolution_A=resolution) if np.isfinite(resolution) else first
