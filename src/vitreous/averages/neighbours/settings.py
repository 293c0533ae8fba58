"""What a user can say about a search for neighbours."""

from dataclasses import dataclass

from vitreous.require import require_at_least, require_finite, require_one_of, require_positive

__all__ = ["METHODS", "Neighbours"]

METHODS = ("profiles", "exhaustive", "mahalanobis")


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Settings of :func:`vitreous.neighbours`. None means: chosen from the data, and reported.

    Parameters
    ----------
    neighbours
        Number of neighbours K of every particle.
    method
        "profiles" compares how well class averages explain two particles; "exhaustive" compares all pairs of images
        in all rotations, then lets vector diffusion weigh the evidence of many; "mahalanobis" is the published chain:
        bispectrum, vector diffusion, Mahalanobis affinity of 50 candidates.
    particle_diameter_A
        Diameter of the particle, in Angstrom. None: 7/8 of the box.
    resolution_limit_A
        Finest resolution that is used, in Angstrom. None: images are reduced to 64 pixels across the particle.
    classes
        Class averages that every image is compared with. None: one for 12 particles, 16 to 200.
    runs
        Independent classifications whose evidence is averaged. More is better and slower.
    passes
        Most passes over the data in a classification; it stops earlier when few images still change class.
    components
        Most steerable principal components that are kept.
    averages
        Number of averages that are made: of particles as different from each other as possible. As many as there
        are particles, or more: of all.
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

    neighbours: int = 10
    method: str = "profiles"
    particle_diameter_A: float | None = None
    resolution_limit_A: float | None = None
    classes: int | None = None
    runs: int = 2
    passes: int = 8
    components: int = 400
    averages: int = 100
    folds: int = 8
    seed: int = 0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        lowest = {"neighbours": 1, "classes": 2, "runs": 1, "passes": 2, "components": 1, "averages": 0, "folds": 4}
        require_at_least(self, lowest)
        require_one_of(self, "method", METHODS)
        require_positive(self, ("particle_diameter_A", "resolution_limit_A"))
