"""What a user can say about the choice of classes."""

from dataclasses import dataclass

from vitreous.require import require, require_finite, require_positive

__all__ = ["ClassChoice"]


@dataclass(frozen=True, kw_only=True)
class ClassChoice:
    """Settings of :func:`vitreous.averages.class_choice.judge_classes`. None means: chosen from the data.

    Parameters
    ----------
    error_rate
        Chance that a criterion which has to do with scatter misjudges any class of a data set by scatter alone: keeps
        one of noise, or drops a good one. It is shared by the classes. Of single particles that are taken out: the
        share of them that may be there by scatter alone.
    particle_diameter_A
        Diameter of the circular mask around the particle, in Angstrom. None: 7/8 of the box.
    offset_range_A
        Farthest distance of a particle from the centre of its box, in Angstrom. None: 6% of the box.
    seed
        Of the noise that particles are compared with.
    ctf
        False: ignore the CTF columns.
    invert_contrast
        True when particles are dark on a bright background.
    normalise
        Set the background of every image to mean 0 and standard deviation 1 and remove its ramp.
    """

    error_rate: float = 0.05
    particle_diameter_A: float | None = None
    offset_range_A: float | None = None
    seed: int = 0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require(self, "error_rate", 0 < self.error_rate < 1, "a number between 0 and 1")
        require_positive(self, ("particle_diameter_A", "offset_range_A"))
