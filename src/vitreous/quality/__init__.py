"""How good is it: FRC and FSC, resolution, alignment of maps."""

from vitreous.quality.align_maps import MapAlignment, align_maps, resample_aligned
from vitreous.quality.correlation import (
    resolution_at,
    ring_correlation,
    shell_correlation,
    soft_ball,
    soft_disc,
)

__all__ = [
    "MapAlignment",
    "align_maps",
    "resample_aligned",
    "resolution_at",
    "ring_correlation",
    "shell_correlation",
    "soft_ball",
    "soft_disc",
]
