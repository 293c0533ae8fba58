"""What all jobs say of a run that is laid out (:class:`vitreous.averages.layout.Layout`), in the same words."""

from pathlib import Path
from typing import Any

from vitreous.averages.layout import Layout
from vitreous.jobs.sources import warnings_before
from vitreous.matching import ImageSettings

__all__ = ["about_layout", "data_words", "search_words"]


def about_layout(laid: Layout, settings: ImageSettings, *more_inputs: Path) -> dict[str, Any]:
    """Fields of :class:`vitreous.jobs.task.Prepared` that follow from the layout; inputs: the particles and more."""
    particles = laid.particles
    return {
        "settings": settings,
        "inputs": (particles.path, *more_inputs),
        "pixels": particles.digest,
        "notes": laid.notes,
        "warnings": warnings_before(particles, invert_contrast=settings.invert_contrast),
        "summary": {
            "particles": len(particles),
            "box_px": particles.box_px,
            "pixel_size_A": particles.pixel_size_A,
            "particle_diameter_used_A": laid.preparation.particle_diameter_A,
            "offset_range_used_A": laid.offset_range_A,
        },
    }


def search_words(laid: Layout) -> str:
    """The part of the settings on the screen that concerns the images."""
    diameter_A, offset_A = laid.preparation.particle_diameter_A, laid.offset_range_A
    return f"particle diameter {diameter_A:.0f} Å, shifts within {offset_A:.1f} Å"


def data_words(laid: Layout) -> str:
    """The line about the data on the screen."""
    found = laid.particles
    return (
        f"data     {found.path}: {len(found):,} particles, {found.box_px} x {found.box_px} pixels, "
        f"{found.pixel_size_A:g} Å/pixel"
    )
