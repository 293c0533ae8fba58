"""What a user can say about multi-reference alignment."""

from dataclasses import dataclass
from typing import Literal

from vitreous.alignment import Grouping
from vitreous.matching import SIMILARITIES
from vitreous.require import require_at_least, require_finite, require_one_of, require_positive

__all__ = ["MRA"]


@dataclass(frozen=True, kw_only=True)
class MRA:
    """Settings of :func:`vitreous.mra`: K-means with alignment. None means: chosen from the data, and reported.

    Parameters
    ----------
    classes
        Number of class averages K, at least 2.
    score
        What is largest between an image and its average: the correlation coefficient, the plain correlation (with which
        classes collapse), or the smallest squared distance.
    equal_groups
        Every class gets the same number of images, within one (EQK-means).
    leave_out
        An image is compared with averages that its own part of the images is not in. Off, its own noise holds it in its
        class.
    particle_diameter_A
        Diameter of the circular mask around the particle, in Angstrom. None: 7/8 of the box.
    offset_range_A
        Farthest distance of a particle from the centre of its box that is searched, in Angstrom. None: 6% of the box.
    resolution_limit_A
        Finest resolution that is used, in Angstrom. None: about 7 cycles across the particle.
    iterations
        Most passes over the images; it ends earlier when hardly any image changes its class.
    folds
        The images are split in this many parts (at least 4); averages improve after each.
    seed
        Of everything random.
    ctf
        False: ignore the CTF columns.
    invert_contrast
        True when particles are dark on a bright background.
    normalise
        Set the background of every image to mean 0 and standard deviation 1 and remove its ramp.
    """

    classes: int = 50
    score: Literal["coefficient", "correlation", "distance"] = "coefficient"
    equal_groups: bool = False
    leave_out: bool = True
    particle_diameter_A: float | None = None
    offset_range_A: float | None = None
    resolution_limit_A: float | None = None
    iterations: int = 30
    folds: int = 8
    seed: int = 0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_one_of(self, "score", SIMILARITIES)
        if self.classes == 1:
            raise ValueError("classes: expected at least 2, found 1; `vitreous align` makes one average")
        require_at_least(self, {"classes": 2, "iterations": 1, "folds": 4})
        require_positive(self, ("particle_diameter_A", "offset_range_A", "resolution_limit_A"))

    @property
    def grouping(self) -> Grouping:
        """How images go to averages."""
        return Grouping(similarity=self.score, equal=self.equal_groups, leave_out=self.leave_out)
