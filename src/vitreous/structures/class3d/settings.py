"""What a user can say about a classification in three dimensions."""

from dataclasses import dataclass
from typing import Literal

from vitreous.require import require, require_at_least, require_finite, require_one_of, require_positive
from vitreous.rotations import symmetry_matrices

__all__ = ["Class3D"]


@dataclass(frozen=True, kw_only=True)
class Class3D:
    """Settings of :func:`vitreous.class3d`. None means: chosen from the data, and reported.

    Parameters
    ----------
    classes
        Number of maps K.
    alignment
        none: poses stay as they are. local: they climb to the nearest maximum in the map of every class. global: all
        views of every class are searched once more before that.
    assignment
        soft: particles belong to classes by their probability; hard: each to the most probable one alone.
    start
        How classes come apart: "components", by the strongest principal components of what the mean map leaves over;
        "random", by classes drawn at random. With a reference for each class, by these.
    starts
        Independent starts, from other halves of the particles; the best one by held-out evidence is finished.
    symmetry
        Point group of the particle: C1, C4, D7, T, O, I; its axes as RELION has them.
    particle_diameter_A
        Diameter of the sphere that holds the particle, in Angstrom. None: 7/8 of the box.
    initial_lowpass_A
        Resolution of references, in Angstrom.
    resolution_limit_A
        Finest resolution that particles are compared at, in Angstrom. None: as far as the halves of the mean map agree.
    tau2_fudge
        Factor of the power that classes are allowed to differ by from their mean; it is estimated for every class.
    offset_range_A
        Farthest distance of a particle from the centre of its box in a search of all views, in Angstrom. None: 6% of
        the box.
    iterations
        Most passes over the particles of every start, and of the last stage; it stops earlier when hardly any particle
        changes its class.
    folds
        The particles are split in this many parts (a multiple of 4, at least 8), half of them for each half; a particle
        is compared with maps that its part is left out of.
    seed
        Of everything random.
    ctf
        False: ignore the CTF columns.
    invert_contrast
        True when particles are dark on a bright background.
    normalise
        Set the background of every image to mean 0 and standard deviation 1 and remove its ramp.
    """

    classes: int = 2
    alignment: Literal["none", "local", "global"] = "none"
    assignment: Literal["soft", "hard"] = "soft"
    start: Literal["components", "random"] = "components"
    starts: int = 2
    symmetry: str = "C1"
    particle_diameter_A: float | None = None
    initial_lowpass_A: float = 40.0
    resolution_limit_A: float | None = None
    tau2_fudge: float = 1.0
    offset_range_A: float | None = None
    iterations: int = 25
    folds: int = 8
    seed: int = 0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_one_of(self, "alignment", ("none", "local", "global"))
        require_one_of(self, "assignment", ("soft", "hard"))
        require_one_of(self, "start", ("components", "random"))
        positive = ("particle_diameter_A", "initial_lowpass_A", "resolution_limit_A", "tau2_fudge", "offset_range_A")
        require_positive(self, positive)
        require(self, "classes", self.classes >= 2, "at least 2 (a single map is what `vitreous refine` makes)")
        require_at_least(self, {"starts": 1, "iterations": 1, "folds": 8})
        if self.folds % 4:
            raise ValueError(f"folds: expected a multiple of 4, for halves of halves, found {self.folds}")
        symmetry_matrices(self.symmetry)  # ValueError that names the groups
