"""Settings of denoising."""

from dataclasses import dataclass

from vitreous.require import require_at_least, require_finite, require_positive

__all__ = ["Denoise"]


@dataclass(frozen=True, kw_only=True)
class Denoise:
    """What ``vitreous denoise`` computes.

    Parameters
    ----------
    particle_diameter_A
        Diameter of the circle that images are restored in, in Angstrom; beyond it they are background. None: 7/8 of
        the box.
    resolution_limit_A
        Leave out what is finer than this. None: the limit is found in the data.
    components
        Most principal components that the filter knows of. None: all that rise above the noise.
    ctf
        False: ignore the CTF columns, as if every CTF were 1.
    invert_contrast
        True when particles are dark on a bright background; they come out bright.
    normalise
        Measure grey values of every image in standard deviations of its background, beside a plane through it.
    """

    particle_diameter_A: float | None = None
    resolution_limit_A: float | None = None
    components: int | None = None
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_positive(self, ("particle_diameter_A", "resolution_limit_A"))
        require_at_least(self, {"components": 1})
