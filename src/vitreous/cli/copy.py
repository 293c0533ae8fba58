"""``vitreous copy``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.particles import copy_particles, read_particles
from vitreous.words import printable

__all__ = ["copy"]


def copy(
    particles: Path,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o", "--o"))],
    project: Path | None = None,
    passthrough: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="", show_default=False)] = (),
    pixel_size_A: Annotated[float | None, Parameter(name=("--pixel-size-A", "--angpix"))] = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Copy particles with their images: one stack of float32 and a table in RELION 3.1's form.

    For programs that do not read half precision (RELION 3.1), cryoSPARC's tables, or stacks in many places. All columns
    are kept. Particles without a readable image are left out.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack.
    output
        The .star file to write; the stack, of the same name on .mrcs, lies beside it.
    project
        Directory that the paths in the particle file are relative to.
    passthrough
        Passthrough files of a cryoSPARC .cs file.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    overwrite
        Replace files that are there.
    """
    there = [path for path in (output, output.with_suffix(".mrcs")) if path.exists()]
    if there and not overwrite:
        raise ValueError(f"{there[0]} exists; choose another name, or replace it with --overwrite")
    found = read_particles(particles, project=project, passthrough=passthrough, pixel_size_A=pixel_size_A)
    stack, count = copy_particles(found, output)
    left = f"; {len(found) - count:,} without a readable image are left out" if count < len(found) else ""
    print(printable(f"{output}, {stack}: {count:,} particles{left}"))
