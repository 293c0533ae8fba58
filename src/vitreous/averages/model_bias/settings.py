"""What a user can say about a measurement of model bias."""

from dataclasses import dataclass

from vitreous.require import require, require_at_least, require_finite, require_positive

__all__ = ["ModelBias"]


@dataclass(frozen=True, kw_only=True)
class ModelBias:
    """Settings of :func:`vitreous.model_bias`: noise aligned to a reference. None means: from the reference.

    Parameters
    ----------
    fewest
        Images of noise in the first average; every further average has twice as many.
    most
        Images of noise in the last average at most.
    particle_diameter_A
        Diameter of the circular mask around the reference, in Angstrom. None: 7/8 of the box.
    offset_range_A
        Farthest shift that is searched, in Angstrom. None: 6% of the box.
    resolution_limit_A
        Finest resolution that is used for alignment, in Angstrom. None: about 28 cycles across the reference, or as far
        as its pixels go.
    seed
        Of the noise.
    """

    fewest: int = 128
    most: int = 2048
    particle_diameter_A: float | None = None
    offset_range_A: float | None = None
    resolution_limit_A: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite(self)
        require_at_least(self, {"fewest": 1, "most": 1})
        require(self, "most", self.most >= self.fewest, f"at least fewest = {self.fewest}")
        require_positive(self, ("particle_diameter_A", "offset_range_A", "resolution_limit_A"))

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of images: fewest, twice as many, and so on up to most."""
        counts = [self.fewest]
        while 2 * counts[-1] <= self.most:
            counts.append(2 * counts[-1])
        return tuple(counts)
