"""Particles in and out: STAR, MRC, cryoSPARC files; ParticleSet; checks."""

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from vitreous.optics import CTFParameters
from vitreous.particles.arrays import read_array, read_arrays
from vitreous.particles.atomic import append_text, atomic_path, write_bytes_atomic, write_text_atomic
from vitreous.particles.check import CheckReport, check_particles
from vitreous.particles.copying import copy_particles
from vitreous.particles.errors import ParticleFileError
from vitreous.particles.finest_detail import finest_held
from vitreous.particles.from_arrays import from_arrays
from vitreous.particles.holding import hold, require_particles
from vitreous.particles.image_survey import Readable, find_readable
from vitreous.particles.images import image_name, search_folders
from vitreous.particles.judge import judge, judged
from vitreous.particles.mrc import (
    MrcStack,
    MrcStackWriter,
    open_stack,
    read_images,
    read_stack,
    read_volume,
    write_mrc_stack,
    write_volume,
)
from vitreous.particles.particle_set import ParticleSet
from vitreous.particles.reading import Given, read_particles
from vitreous.particles.relion_form import complete_optics, in_relion_form
from vitreous.particles.star import StarFile, read_star, write_star
from vitreous.particles.table import Column, Table
from vitreous.particles.usable import Background, Contrast, Fault, Usable
from vitreous.particles.volume import Volume

__all__ = [
    "Background",
    "CheckReport",
    "Column",
    "Contrast",
    "Fault",
    "Given",
    "MrcStack",
    "MrcStackWriter",
    "ParticleFileError",
    "ParticleSet",
    "Readable",
    "StarFile",
    "Table",
    "Usable",
    "Volume",
    "append_text",
    "atomic_path",
    "check_particles",
    "complete_optics",
    "copy_particles",
    "find_readable",
    "finest_held",
    "from_arrays",
    "hold",
    "image_name",
    "in_relion_form",
    "judge",
    "judged",
    "open_stack",
    "read_array",
    "read_arrays",
    "read_images",
    "read_particles",
    "read_stack",
    "read_star",
    "read_volume",
    "require_particles",
    "search_folders",
    "write_bytes_atomic",
    "write_mrc_stack",
    "write_star",
    "write_text_atomic",
    "write_volume",
]


class _Callable(ModuleType):
    """The room as the function ``vitreous.particles(images, pixel_size_A, ctf=None)``, whose name it has."""

    def __call__(self, images: Any, pixel_size_A: float, ctf: CTFParameters | Mapping[str, Any] | None = None) -> Any:
        return from_arrays(images, pixel_size_A, ctf)

    __call__.__qualname__ = "particles"  # as Python names it where an argument is missing


sys.modules[__name__].__class__ = _Callable
