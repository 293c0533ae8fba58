"""What a user can say about a refinement."""

from dataclasses import dataclass
from typing import Literal

from vitreous.require import require_at_least, require_finite, require_one_of, require_positive
from vitreous.rotations import symmetry_matrices

__all__ = ["Refine"]


@dataclass(frozen=True, kw_only=True)
class Refine:
    """Settings of :func:`vitreous.refine`. None means: chosen from the data, and reported.

    Parameters
    ----------
    method
        map: poses and map of the highest posterior probability. frealign: every particle at the pose of its best
        correlation, Wiener's filter with a constant.
    symmetry
        Point group of the particle: C1, C4, D7, T, O, I; its axes as RELION has them.
    particle_diameter_A
        Diameter of the sphere that holds the particle, in Angstrom. None: 7/8 of the box.
    initial_lowpass_A
        Resolution of the map that the halves of the particles start from, in Angstrom; the second never finer than 20.
    resolution_limit_A
        Finest resolution that particles are compared at, in Angstrom. None: as far as the halves agree.
    offset_range_A
        Farthest distance of a particle from the centre of its box in a search of all views, in Angstrom. None: 6% of
        the box.
    search
        Whether all views are searched for particles that may have been lost: "auto" asks a sample of the particles.
        Without poses to start from, all views are searched once in any case.
    iterations
        Most passes over the particles; it stops earlier when neither poses nor resolution change.
    folds
        The particles are split in this many parts, half of them for each half map; a particle is compared with the
        other parts of its half.
    refine_defocus
        groups: one change of the defocus for all particles of a micrograph; particles: one for each, spread about that
        of its micrograph by as much as the particles show; none: as the file has it.
    refine_scale
        Whose contrast is refined, in the same way: groups, particles, or none.
    wiener_constant
        Of frealign alone: the constant, in units of the mean of the sum of CTF^2 over the samples of the map.
    seed
        Of everything random.
    ctf
        False: ignore the CTF columns.
    invert_contrast
        True when particles are dark on a bright background.
    normalise
        Set the background of every image to mean 0 and standard deviation 1 and remove its ramp.
    """

    method: Literal["map", "frealign"] = "map"
    symmetry: str = "C1"
    particle_diameter_A: float | None = None
    initial_lowpass_A: float = 40.0
    resolution_limit_A: float | None = None
    offset_range_A: float | None = None
    search: str = "auto"
    iterations: int = 25
    folds: int = 12
    refine_defocus: Literal["none", "groups", "particles"] = "none"
    refine_scale: Literal["none", "groups", "particles"] = "none"
    wiener_constant: float = 0.1
    seed: int = 0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_one_of(self, "method", ("map", "frealign"))
        require_positive(self, ("wiener_constant",))
        for name in ("refine_defocus", "refine_scale"):
            require_one_of(self, name, ("none", "groups", "particles"))
        if self.method == "frealign" and self.refine_scale != "none":
            raise ValueError("refine_scale: frealign's correlation does not depend on the contrast; leave it out")
        require_positive(self, ("particle_diameter_A", "initial_lowpass_A", "resolution_limit_A", "offset_range_A"))
        require_at_least(self, {"iterations": 1, "folds": 4})
        if self.folds % 2:
            raise ValueError(f"folds: expected an even number, half of them for each half map, found {self.folds}")
        if self.search not in {"auto", "always", "never"}:
            raise ValueError(f'search: expected "auto", "always" or "never", found "{self.search}"')
        symmetry_matrices(self.symmetry)  # ValueError that names the groups
