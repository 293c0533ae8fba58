"""``vitreous deconvolve``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.averages.deconvolve import Deconvolve
from vitreous.cli.common import (
    COMPUTED,
    DIAMETER,
    MEMORY,
    RUN,
    THREADS,
    UNUSED,
    Output,
    Particles,
    PixelSize,
    saying_how_to_go_on,
    typed_command,
)
from vitreous.cli.options import options_from, plain
from vitreous.jobs.run_deconvolve import run_deconvolve
from vitreous.jobs.run_options import RunOptions

__all__ = ["deconvolve"]

Settings = options_from(Deconvolve, group=COMPUTED, aliases=DIAMETER)
Running = options_from(
    RunOptions,
    group=RUN,
    aliases=THREADS,
    special={"memory": MEMORY, "every": UNUSED},
)


def deconvolve(
    particles: Particles,
    *,
    output: Output,
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    pixel_size_A: PixelSize = None,
) -> None:
    """Non-negative averages without CTF from classified particles, masked: what an initial model starts from.

    Parameters
    ----------
    particles
        A .star file with classes and poses (run_data.star, or RELION's), or the folder of a class2d job. With --single
        a stack of averages, or a .star file that names them.
    output
        Folder for the results; made when it is not there.
    project
        Directory that the paths in the particle file are relative to.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    """
    with saying_how_to_go_on(output):
        run_deconvolve(
            particles,
            output,
            Deconvolve(**plain(settings)),
            RunOptions(**plain(running)),
            command=typed_command(),
            project=project,
            pixel_size_A=pixel_size_A,
        )
