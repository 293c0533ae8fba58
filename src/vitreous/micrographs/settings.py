"""What can be said about picking."""

from dataclasses import dataclass, replace

from vitreous.require import require_at_least, require_finite, require_not_negative, require_positive

__all__ = ["Pick"]


DETAIL, DETAIL_OF_BALL = 5.0, 2.0
FALSE, FALSE_WITH_BALL = 5.0, 30.0


@dataclass(frozen=True, kw_only=True)
class Pick:
    """Settings of picking.

    Parameters
    ----------
    diameter_A
        Diameter of the particle, in Angstrom. None: the widest extent of the templates or of the map.
    false_picks
        Expected number of false picks per micrograph that noise alone makes, from which the threshold follows. None: 5,
        and 30 for a ball, which particles stand out from noise less with than with their own shape.
    views
        Number of projections of a map, spread evenly over the sphere.
    angles
        In-plane rotations of every template.
    detail
        Templates keep half of their amplitude at the diameter divided by this: finer detail differs between a particle
        and the template nearest to it. None: 5, and 2 for a ball.
    distance_A
        Least distance of two picks, in Angstrom. None: three quarters of the diameter.
    edge_A
        Least distance of a pick from the edge of the micrograph, in Angstrom. None: half the diameter.
    ctf
        Multiply the templates by the CTF, where the list of micrographs has it.
    whiten
        Divide by the power of the noise.
    invert_contrast
        Particles are dark in the micrographs. Switched off for white ones.
    contaminants
        Exclude what is much stronger or weaker, or has another mass, than most of what was found in a micrograph.
    pictures
        Number of micrographs that the report shows.
    """

    diameter_A: float | None = None
    false_picks: float | None = None
    views: int = 20
    angles: int = 36
    detail: float | None = None
    distance_A: float | None = None
    edge_A: float | None = None
    ctf: bool = True
    whiten: bool = True
    invert_contrast: bool = True
    contaminants: bool = True
    pictures: int = 12

    def __post_init__(self) -> None:
        require_finite(self)
        require_positive(self, ("diameter_A", "false_picks", "distance_A"))
        require_positive(self, ("detail",))
        require_not_negative(self, ("edge_A",))
        require_at_least(self, {"views": 1, "angles": 1, "pictures": 0})

    def chosen(self, *, ball: bool) -> "Pick":
        """With the numbers that are chosen for a ball or for images where none were given."""
        return replace(
            self,
            detail=self.detail or (DETAIL_OF_BALL if ball else DETAIL),
            false_picks=self.false_picks or (FALSE_WITH_BALL if ball else FALSE),
        )
