"""How good is it: FRC and FSC, resolution."""

from vitreous.quality.correlation import (
    resolution_at,
    ring_correlation,
    shell_correlation,
    soft_ball,
    soft_disc,
)

__all__ = ["resolution_at", "ring_correlation", "shell_correlation", "soft_ball", "soft_disc"]
