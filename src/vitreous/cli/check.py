"""``vitreous check``."""

import json as json_format
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.particles import check_particles, read_particles
from vitreous.words import printable

__all__ = ["check"]


def check(
    particles: Path,
    *,
    project: Path | None = None,
    passthrough: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="", show_default=False)] = (),
    pixel_size_A: Annotated[float | None, Parameter(name=("--pixel-size-A", "--angpix"))] = None,
    sample: int | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """What is in a particle file, what is missing, what will be assumed, which particles are bad.

    The exit code is 0 when a job could run (with however many bad particles) and 1 when it could not.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack.
    project
        Directory that the paths in the particle file are relative to.
    passthrough
        Passthrough files of a cryoSPARC .cs file.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    sample
        Look at the pixels of so many images, chosen at random, instead of all.
    json
        One JSON object on standard output.
    """
    if sample is not None and sample < 1:
        raise ValueError(f"sample: expected at least 1, found {sample}")
    found = read_particles(particles, project=project, passthrough=passthrough, pixel_size_A=pixel_size_A)
    report = check_particles(found, sample=sample)
    print(json_format.dumps(report.to_dict(), indent=2) if json else printable("\n".join(report.lines())))
    return 0 if report.can_run else 1
