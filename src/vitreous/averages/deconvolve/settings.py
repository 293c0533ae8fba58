"""What a user can say about a deconvolution."""

from dataclasses import dataclass

from vitreous.require import require, require_at_least, require_finite, require_positive

__all__ = ["Deconvolve"]


@dataclass(frozen=True, kw_only=True)
class Deconvolve:
    """Settings of :func:`vitreous.deconvolve`. None means: chosen from the data, and reported.

    Parameters
    ----------
    groups
        Defocus groups: the members of a class are averaged by defocus into at most so many averages.
    smoothness
        Weight alpha of the squared gradient, in units where the noise variance of one image is 1. More makes the
        averages smoother.
    mask_threshold
        The mask takes what is above this share of the peak of the (slightly smoothed) average.
    mask_edge_A
        Width of the soft edge that the mask adds around it, in Angstrom. None: 3 pixels.
    particle_diameter_A
        Diameter of the circle beyond which images show background, in Angstrom. None: 7/8 of the box.
    single
        The images are averages already: each is deconvolved by itself, with its own CTF if it has one.
    phase_flipped
        True when the images have been phase-flipped: they are taken to be multiplied by the CTF's absolute value.
    tolerance
        An average has converged when its projected gradient is so small compared with that of an empty one.
    iterations
        Most iterations per average.
    ctf
        False: ignore the CTF columns, as if every CTF were 1.
    invert_contrast
        True when particles are dark on a bright background.
    normalise
        Set the background of every image to mean 0 and standard deviation 1 and remove its ramp.
    """

    groups: int = 7
    smoothness: float = 10.0
    mask_threshold: float = 0.1
    mask_edge_A: float | None = None
    particle_diameter_A: float | None = None
    single: bool = False
    phase_flipped: bool = False
    tolerance: float = 1e-4
    iterations: int = 5000
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_at_least(self, {"groups": 1, "iterations": 1})
        require_positive(self, ("smoothness", "tolerance", "mask_edge_A", "particle_diameter_A"))
        require(self, "mask_threshold", 0 < self.mask_threshold < 1, "a share between 0 and 1")
