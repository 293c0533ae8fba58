"""What a refinement needs of what it is given, said before anything is computed."""

import numpy as np

from vitreous.matching import ImagePreparation
from vitreous.optics import CTFParameters
from vitreous.particles import ParticleSet, Volume
from vitreous.quality import soft_ball
from vitreous.structures.refine.settings import Refine
from vitreous.volumes import resample

__all__ = ["require_defocus", "require_in_sphere"]

LEAST_HELD = 0.01  # of the particle's sphere, within a mask


def require_defocus(particles: ParticleSet, ctf: CTFParameters | None, settings: Refine) -> None:
    """ValueError where defoci are to be refined, and there are none that could be."""
    if settings.refine_defocus == "none" and settings.refine_scale == "none":
        return
    name = "refine_defocus" if settings.refine_defocus != "none" else "refine_scale"
    if ctf is None:
        raise ValueError(f"{name}: {particles.path} has no CTF, or it is ignored; leave {name} out")
    if np.any(ctf.phase_flipped):
        raise ValueError(
            f"{name}: the phases of the images of {particles.path} were flipped, with the defocus that they had; give "
            "the images as they were, or leave it out"
        )


def require_in_sphere(mask: Volume, preparation: ImagePreparation) -> None:
    """ValueError for a mask, on any grid, that leaves next to nothing of the sphere of the particle."""
    box_px, diameter_A = preparation.box_px, preparation.particle_diameter_A
    within = soft_ball(box_px, preparation.radius_px, 0.0).numpy() > 0.5
    held = float(np.clip(resample(mask, box_px, preparation.pixel_size_A).data, 0.0, 1.0)[within].mean())
    if held < LEAST_HELD:
        raise ValueError(
            f"mask: it covers {held:.2%} of the sphere of the particle ({diameter_A:.0f} A across), so that nothing "
            "would be left of the map; is it centred like the map, and is its pixel size right?"
        )
