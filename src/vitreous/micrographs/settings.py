"""What can be said about picking and about extraction."""

from dataclasses import dataclass, replace

from vitreous.require import require, require_at_least, require_finite, require_not_negative, require_positive

__all__ = ["Extract", "Pick"]


LEAST_PX = 8  # side of a box
DETAIL, DETAIL_OF_BALL = 5.0, 2.0


@dataclass(frozen=True, kw_only=True)
class Pick:
    """Settings of picking.

    Parameters
    ----------
    diameter_A
        Diameter of the particle, in Angstrom. None: the widest extent of the templates or of the map.
    false_picks
        Expected number of false picks per micrograph that noise alone makes, from which the threshold follows. None:
        60 for a ball, which particles stand out from noise less with than with their own shape, counted in what
        particles leave free; for images what promises the most right picks among all that are found, missed and false,
        from 5 to 40. And then what stands out much less than particles do in that micrograph is left out, too, unless
        ``contaminants`` are kept.
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
        Divide by the root of the power of the noise.
    invert_contrast
        Particles are dark in the micrographs. Switched off for white ones.
    contaminants
        Exclude what is much stronger or weaker, or has another mass, than most of what was found in a micrograph, and
        what sits on a spot of hot pixels.
    carbon
        Pick on areas that look like carbon, too; picks there are marked. Otherwise they are excluded.
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
    carbon: bool = True
    pictures: int = 12

    def __post_init__(self) -> None:
        require_finite(self)
        require_positive(self, ("diameter_A", "false_picks", "distance_A"))
        require_positive(self, ("detail",))
        require_not_negative(self, ("edge_A",))
        require_at_least(self, {"views": 1, "angles": 1, "pictures": 0})

    def chosen(self, *, ball: bool) -> "Pick":
        """With the detail that is chosen for a ball or for images where none was given."""
        return replace(self, detail=self.detail or (DETAIL_OF_BALL if ball else DETAIL))


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Settings of extraction.

    Parameters
    ----------
    box_px
        Side of the boxes in pixels of the micrograph, even. None: one and a half diameters of a pick job, or the side
        that .box files state.
    downsample_to_px
        Side of the boxes that are written, even: finer detail is cropped in Fourier space. None: that of the boxes.
    target_pixel_size_A
        The same, as the pixel size of the boxes that are written, in Angstrom; the side is the nearest even one.
    diameter_A
        Diameter of the particle in Angstrom, outside of which is background. None: that of a pick job, or three
        quarters of the box.
    recenter
        Move the boxes by the shifts of the table, so that particles lie at the centre to half a pixel; the rest stays
        in the table as their shift.
    invert_contrast
        Particles are dark in the micrographs, and become white. Switched off for white ones.
    normalise
        Take the plane off that fits the background, and scale the background to standard deviation 1.
    """

    box_px: int | None = None
    downsample_to_px: int | None = None
    target_pixel_size_A: float | None = None
    diameter_A: float | None = None
    recenter: bool = False
    invert_contrast: bool = True
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_positive(self, ("target_pixel_size_A", "diameter_A"))
        for name in ("box_px", "downsample_to_px"):
            side = getattr(self, name)
            require(self, name, side is None or (side >= LEAST_PX and side % 2 == 0), f"an even number from {LEAST_PX}")
        if self.downsample_to_px is not None and self.target_pixel_size_A is not None:
            raise ValueError("downsample_to_px and target_pixel_size_A both say how fine the boxes are: give one")
        if self.box_px is not None and (self.downsample_to_px or 0) > self.box_px:
            raise ValueError(f"downsample_to_px: expected at most box_px, {self.box_px}, found {self.downsample_to_px}")

    def side_px(self, box_px: int, pixel_size_A: float) -> int:
        """Side of the boxes that are written, of ``box_px`` pixels of the micrograph."""
        if self.target_pixel_size_A is None:
            return self.downsample_to_px or box_px
        side = 2 * round(0.5 * box_px * pixel_size_A / self.target_pixel_size_A)
        if not LEAST_PX <= side <= box_px:
            raise ValueError(
                f"target_pixel_size_A: {self.target_pixel_size_A:g} A makes {side} of {box_px} pixels of "
                f"{pixel_size_A:g} A; expected {LEAST_PX} to {box_px}"
            )
        return side
