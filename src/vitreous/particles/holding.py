"""Particles that are handed on: what passes for a set, and sets whose images would be lost with their folder."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from vitreous.particles.images import image_name, images_in_memory, name_of_images
from vitreous.particles.particle_set import ParticleSet

__all__ = ["hold", "require_particles"]

P = TypeVar("P")


def require_particles(particles: P) -> P:
    """What was given as particles, if it has images with a box and a pixel size; TypeError for a path and the like."""
    if isinstance(particles, str | Path):
        raise TypeError(
            f"particles: expected a ParticleSet, found the name {str(particles)!r}; "
            "vitreous.read_particles(name) reads a file, and vitreous.run_class2d and its like take names"
        )
    if not all(hasattr(particles, name) for name in ("read", "box_px", "pixel_size_A", "ctf_for")):
        raise TypeError(f"particles: expected a ParticleSet, found {type(particles).__name__}")
    return particles


def hold(particles: ParticleSet, *, like: ParticleSet | None, within: Path) -> ParticleSet:
    """The set with its images in memory, where they would otherwise be lost with the temporary folder ``within``.

    like: a set that may have them in memory already.
    """
    if like is not None and like.images.held is not None and like.images.names == particles.images.names:
        return replace(particles, images=replace(like.images, code=particles.images.code, frame=particles.images.frame))
    inside = within.resolve()
    if not any(path is not None and path.resolve().is_relative_to(inside) for path in particles.images.paths):
        return particles
    images = np.ascontiguousarray(particles.images.read(np.arange(len(particles)), particles.box_px, str), np.float32)
    name = name_of_images(images, particles.pixel_size_A)
    names = [image_name(i, name) for i in range(len(images))]
    table = particles.table.with_columns({"rlnImageName": names})
    return replace(particles, table=table, images=images_in_memory(images, particles.pixel_size_A, name))
