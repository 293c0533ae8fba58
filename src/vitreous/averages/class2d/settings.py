"""What a user can say about a 2D classification."""

from dataclasses import dataclass
from typing import Literal

from vitreous.require import require_at_least, require_finite, require_one_of, require_positive

__all__ = ["Class2D"]

CHOICES = ("soft", "best")


@dataclass(frozen=True, kw_only=True)
class Class2D:
    """Settings of :func:`vitreous.class2d`. None means: chosen from the data, and reported.

    Parameters
    ----------
    classes
        Number of class averages K.
    particle_diameter_A
        Diameter of the circular mask around the particle, in Angstrom. None: 7/8 of the box.
    offset_range_A
        Farthest distance of a particle from the centre of its box that is searched, in Angstrom. None: 6% of the box.
    resolution_limit_A
        Finest resolution that is used for alignment, in Angstrom. None: as far as the averages carry signal.
    choice
        What a particle gives to the classes: its posterior probabilities over all of them (soft), or itself to the one
        that it correlates with best, classification by template matching (best).
    iterations
        Most passes over the data (a pass sees a subset of a large data set); it stops earlier when converged.
    tau2_fudge
        Multiplies the prior signal power of the averages: above 1 keeps more detail and more noise.
    subset
        Particles in the first pass; every pass sees a quarter more. None: 100 per class, at least 5000.
    folds
        The data are split in this many parts (at least 4); a particle is never compared with averages that its own
        part is in.
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
    particle_diameter_A: float | None = None
    offset_range_A: float | None = None
    resolution_limit_A: float | None = None
    choice: Literal["soft", "best"] = "soft"
    iterations: int = 60
    tau2_fudge: float = 1.0
    subset: int | None = None
    folds: int = 8
    seed: int = 0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_one_of(self, "choice", CHOICES)
        require_at_least(self, {"classes": 1, "iterations": 1, "folds": 4})
        require_positive(self, ("tau2_fudge", "particle_diameter_A", "offset_range_A", "resolution_limit_A", "subset"))
