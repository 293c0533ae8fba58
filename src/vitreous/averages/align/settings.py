"""What a user can say about an alignment of one set of images."""

from dataclasses import dataclass
from typing import Literal

from vitreous.require import require_at_least, require_finite, require_one_of, require_positive

__all__ = ["Align"]

METHODS = ("free", "reference", "pyramidal")
WEIGHTS = ("noise", "plain")


@dataclass(frozen=True, kw_only=True)
class Align:
    """Settings of :func:`vitreous.align`. None means: chosen from the data, and reported.

    Parameters
    ----------
    method
        Where the first alignment comes from: random angles (free), a reference image that is given (reference), or
        pairs of images and of their averages up a tree (pyramidal).
    starts
        How many alignments are made from different random beginnings; the best is kept, and all are compared. An
        alignment to a reference has one.
    particle_diameter_A
        Diameter of the circular mask around the particle, in Angstrom. None: 7/8 of the box.
    offset_range_A
        Farthest distance of a particle from the centre of its box that is searched, in Angstrom. None: 6% of the box.
    resolution_limit_A
        Finest resolution that is used, in Angstrom. None: as far as the average carries signal.
    mirror
        Images may show the mirror image of the average.
    weights
        How frequencies count in the correlation: by their signal and noise (noise), or all alike (plain).
    iterations
        Most passes over the images; it ends earlier when hardly any image moves.
    folds
        The images are split in this many parts; none is compared with an average that its own part is in.
    seed
        Of everything random.
    ctf
        False: ignore the CTF columns.
    invert_contrast
        True when particles are dark on a bright background.
    normalise
        Set the background of every image to mean 0 and standard deviation 1 and remove its ramp.
    """

    method: Literal["free", "reference", "pyramidal"] = "free"
    starts: int = 5
    particle_diameter_A: float | None = None
    offset_range_A: float | None = None
    resolution_limit_A: float | None = None
    mirror: bool = False
    weights: Literal["noise", "plain"] = "noise"
    iterations: int = 30
    folds: int = 8
    seed: int = 0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_one_of(self, "method", METHODS)
        require_one_of(self, "weights", WEIGHTS)
        require_at_least(self, {"starts": 1, "iterations": 1, "folds": 4})
        require_positive(self, ("particle_diameter_A", "offset_range_A", "resolution_limit_A"))

    @property
    def begun(self) -> int:
        """How many alignments there are."""
        return 1 if self.method == "reference" else self.starts
