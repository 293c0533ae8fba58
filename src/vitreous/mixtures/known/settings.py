"""What a user can say about a reconstruction from images with known poses."""

import math
from dataclasses import dataclass

from vitreous.mixtures._require import require_at_least

__all__ = ["KnownPoses"]


@dataclass(frozen=True, kw_only=True)
class KnownPoses:
    """Settings of :func:`vitreous.mixtures.reconstruct_known`.

    Parameters
    ----------
    symmetry
        Point group: C1, Cn, Dn, T, O or I.
    components
        Gaussians of the whole particle.
    box_px
        Larger images are reduced to this side; it covers the same field.
    counts
        Counts per image: how many independent points an image is worth.
    burn_in_steps
        Gibbs steps before the first sample.
    samples
        Samples of the posterior mean.
    steps_between
        Gibbs steps from one sample to the next.
    map_box_px
        Side of the grid of the posterior mean and variance, at most (over the field of the images).
    offset_sd_A
        0 holds the offsets of the images as they are given; otherwise they are drawn too, and this is how far they may
        be wrong, standard deviation per axis.
    seed
        Of everything random.
    """

    symmetry: str = "C1"
    components: int = 500
    box_px: int = 64
    counts: int = 10_000
    burn_in_steps: int = 200
    samples: int = 50
    steps_between: int = 10
    map_box_px: int = 100
    offset_sd_A: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"components": 2, "box_px": 8, "counts": 10, "burn_in_steps": 0, "samples": 1, "steps_between": 1}
        require_at_least(self, least | {"map_box_px": 8})
        if not (math.isfinite(self.offset_sd_A) and self.offset_sd_A >= 0):
            raise ValueError(f"offset_sd_A: expected zero or a positive number, found {self.offset_sd_A}")
