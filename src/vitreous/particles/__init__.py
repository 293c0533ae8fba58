"""Particles in and out: STAR, MRC, cryoSPARC files; ParticleSet; checks."""

from vitreous.particles.arrays import read_array, read_arrays
from vitreous.particles.atomic import append_text, atomic_path, write_bytes_atomic, write_text_atomic
from vitreous.particles.check import CheckReport, check_particles
from vitreous.particles.copying import copy_particles
from vitreous.particles.errors import ParticleFileError
from vitreous.particles.finest_detail import finest_held
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
from vitreous.particles.particle_set import ParticleSet, require_particles
from vitreous.particles.reading import read_particles
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
