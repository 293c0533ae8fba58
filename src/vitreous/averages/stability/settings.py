"""What a user can say about a test of the stability of classes."""

from dataclasses import dataclass

from vitreous.require import require_at_least, require_finite, require_positive

__all__ = ["StabilityTest"]


@dataclass(frozen=True, kw_only=True)
class StabilityTest:
    """Settings of :func:`vitreous.stability`. None means: chosen from the data, and reported.

    Parameters
    ----------
    starts
        How many times the members of every class are aligned from random beginnings.
    threshold_px
        Mean pixel error below which a class is called stable, in pixels of the images.
    members
        Most members of a class that are tested; of a larger class, members chosen at random.
    particle_diameter_A
        Diameter of the circular mask around the particle, in Angstrom. None: as in the classification, else 7/8 of the
        box.
    offset_range_A
        Farthest distance of a particle from the centre of its box that is searched, in Angstrom. None: 6% of the box.
    resolution_limit_A
        Finest resolution that is used, in Angstrom. None: as far as the averages of the classes carry signal.
    mirror
        Members may show the mirror image of their average; their mirror states are then part of the test.
    iterations
        Most passes over the images.
    seed
        Of everything random.
    ctf
        False: ignore the CTF columns.
    invert_contrast
        True when particles are dark on a bright background.
    normalise
        Set the background of every image to mean 0 and standard deviation 1 and remove its ramp.
    """

    starts: int = 5
    threshold_px: float = 1.0
    members: int = 300
    particle_diameter_A: float | None = None
    offset_range_A: float | None = None
    resolution_limit_A: float | None = None
    mirror: bool = False
    iterations: int = 12
    seed: int = 0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_at_least(self, {"starts": 2, "iterations": 1, "members": 12})
        require_positive(self, ("threshold_px", "particle_diameter_A", "offset_range_A", "resolution_limit_A"))
