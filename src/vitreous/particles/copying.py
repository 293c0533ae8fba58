"""A copy of particles with their images: one stack of float32 beside its table, which every program reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vitreous.particles.errors import ParticleFileError
from vitreous.particles.image_survey import find_readable
from vitreous.particles.mrc import MrcStackWriter
from vitreous.particles.particle_set import ParticleSet
from vitreous.particles.relion_form import in_relion_form
from vitreous.particles.star import write_star

__all__ = ["HALF", "copy_particles", "half_precision"]

HALF = "images of half precision (MRC mode 12), which RELION 4 reads and RELION 3.1 does not"
_BLOCK_BYTES = 1 << 24
_MOST_HEADERS = 64


def half_precision(particles: ParticleSet) -> bool:
    """Whether stacks of the set have pixels of half precision, by the headers of some, spread over all.

    Stacks that cannot be opened have none.
    """
    images = particles.images
    codes = np.unique(images.code)
    for code in np.unique(codes[np.linspace(0, len(codes) - 1, _MOST_HEADERS).astype(int)]).tolist():
        if images.paths[code] is None:
            continue
        try:
            if images.stack(code).header.dtype.itemsize == 2 and images.stack(code).header.dtype.kind == "f":
                return True
        except (ParticleFileError, OSError):
            continue
    return False


def copy_particles(particles: ParticleSet, star: str | Path) -> tuple[Path, int]:
    """Write ``star`` in RELION 3.1's form and, beside it, a stack ``.mrcs`` of its name with all images as float32.

    All columns are kept; image i of the stack is row i. The table names the stack as ``star`` is named, so that a
    relative name counts from the current directory, as RELION has it. Values are those of the files (with cryoSPARC's
    sign where there is one). Particles without an image, by the headers of the stacks, are left out. The stack appears
    first, both atomically, in bounded memory. Returns the path of the stack and how many particles it has.

    Raises ParticleFileError where no image can be read, or one that should be there, and ValueError where ``star`` is
    no name of a STAR file, or a file of the set would be overwritten.
    """
    star = Path(star)
    if star.suffix.lower() != ".star":
        raise ValueError(f"{star}: expected a name that ends on .star")
    stack = star.with_suffix(".mrcs")
    own = {path.resolve() for path in (particles.path, *particles.image_files) if path is not None}
    if not own.isdisjoint({star.resolve(), stack.resolve()}):
        raise ValueError(f"{star}: the copy would overwrite what it is made from; choose another name")
    readable = find_readable(particles)
    if not readable.mask.any():
        raise ParticleFileError(f"{particles.path}: no particle has a readable image; {'; '.join(readable.messages)}")
    found = particles.subset(readable.mask)
    box = readable.box_px or found.box_px
    step = max(1, _BLOCK_BYTES // (4 * box * box))
    star.parent.mkdir(parents=True, exist_ok=True)
    with MrcStackWriter(stack, box_px=box, pixel_size_A=found.pixel_size_A) as writer:
        for start in range(0, len(found), step):
            rows = np.arange(start, min(start + step, len(found)))
            writer.append(found.images.read(rows, box, found.table.where))
    shaped = in_relion_form(found)
    shaped = replace(shaped, table=shaped.table.without(["blob/sign"]))
    names = [f"{i + 1:06d}@{stack}" for i in range(len(found))]
    tables = shaped.blocks | {
        "optics": shaped.optics,
        shaped.block: shaped.table.with_columns({"rlnImageName": names}),
    }
    write_star(star, {name: tables[name] for name in shaped.layout})
    return stack, len(found)
