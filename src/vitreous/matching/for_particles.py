"""How the images of a particle set are prepared under the settings that all methods share, and what is assumed."""

from typing import Protocol

from vitreous.matching.prepare import ImagePreparation
from vitreous.particles import ParticleSet, finest_held

__all__ = ["ImageSettings", "assumptions", "preparation_for"]


class ImageSettings(Protocol):
    """Settings that say what the images are."""

    @property
    def particle_diameter_A(self) -> float | None:
        """Of the mask; None: 7/8 of the box."""

    @property
    def ctf(self) -> bool:
        """Whether there is one."""

    @property
    def invert_contrast(self) -> bool:
        """Whether particles are dark."""

    @property
    def normalise(self) -> bool:
        """Whether backgrounds are set to mean 0 and standard deviation 1."""


def preparation_for(particles: ParticleSet, settings: ImageSettings) -> ImagePreparation:
    """The preparation of judged particles, with the finest detail that filters have left in them.

    Raises ValueError for a diameter that does not fit the box.
    """
    return ImagePreparation.for_box(
        particles.box_px,
        particles.pixel_size_A,
        settings.particle_diameter_A,
        invert_contrast=settings.invert_contrast,
        normalise=settings.normalise,
        finest_A=finest_held(particles),
    )


def assumptions(particles: ParticleSet, settings: ImageSettings, preparation: ImagePreparation) -> list[str]:
    """What a user should know of a preparation: a diameter that was not given, a CTF that is not there."""
    notes = []
    if settings.particle_diameter_A is None:
        notes.append(f"particle diameter not given: {preparation.particle_diameter_A:.0f} A, 7/8 of the box")
    if settings.ctf and not particles.has_ctf:
        notes.append("no CTF: the file lacks " + ", ".join(particles.missing_ctf_columns))
    return notes
