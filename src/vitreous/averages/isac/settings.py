"""What a user can say about ISAC."""

from dataclasses import dataclass

from vitreous.require import require_at_least, require_finite, require_positive

__all__ = ["ISAC"]


@dataclass(frozen=True, kw_only=True)
class ISAC:
    """Settings of :func:`vitreous.isac`: iterative stable alignment and clustering. None means: from the data.

    Parameters
    ----------
    img_per_grp
        Images per group: all classes of a run have this many members.
    starts
        How many times the common members of a class are aligned from random beginnings (L of the method).
    runs
        Quasi-independent classifications whose classes have to agree (m of the method).
    generations
        Most generations; it ends earlier when hardly anything new is accepted.
    threshold_px
        Pixel error below which a class, and a member of it, is stable, in pixels of the images.
    outlier_sd
        Members that are farther from the average of the others than typical, by more than so many standard deviations,
        are not accepted.
    particle_diameter_A
        Diameter of the circular mask around the particle, in Angstrom. None: 7/8 of the box.
    offset_range_A
        Farthest distance of a particle from the centre of its box that is searched, in Angstrom. None: 6% of the box.
    resolution_limit_A
        Finest resolution that is used for alignment, in Angstrom. None: as far as the averages carry signal.
    seed
        Of everything random.
    ctf
        False: ignore the CTF columns.
    invert_contrast
        True when particles are dark on a bright background.
    normalise
        Set the background of every image to mean 0 and standard deviation 1 and remove its ramp.
    """

    img_per_grp: int = 100
    starts: int = 5
    runs: int = 4
    generations: int = 8
    threshold_px: float = 1.0
    outlier_sd: float = 2.0
    particle_diameter_A: float | None = None
    offset_range_A: float | None = None
    resolution_limit_A: float | None = None
    seed: int = 0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_at_least(self, {"img_per_grp": 24, "starts": 2, "runs": 2, "generations": 1})
        require_positive(
            self, ("threshold_px", "outlier_sd", "particle_diameter_A", "offset_range_A", "resolution_limit_A")
        )
