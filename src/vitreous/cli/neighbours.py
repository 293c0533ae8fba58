"""``vitreous neighbours``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.averages.neighbours import Neighbours
from vitreous.cli.common import (
    COMPUTED,
    DIAMETER,
    MEMORY,
    RUN,
    THREADS,
    UNUSED,
    Output,
    Particles,
    Passthrough,
    PixelSize,
    saying_how_to_go_on,
    typed_command,
)
from vitreous.cli.options import options_from, plain
from vitreous.jobs.options import RunOptions
from vitreous.jobs.run_neighbours import run_neighbours

__all__ = ["neighbours"]

Settings = options_from(
    Neighbours,
    group=COMPUTED,
    aliases={"neighbours": ("-k",), **DIAMETER},
)
Running = options_from(
    RunOptions,
    group=RUN,
    aliases=THREADS,
    special={"memory": MEMORY, "every": UNUSED, "device": UNUSED},
)


def neighbours(
    particles: Particles,
    *,
    output: Output,
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    passthrough: Passthrough = (),
    pixel_size_A: PixelSize = None,
) -> None:
    """Nearest neighbours of every particle, whatever its rotation and hand, and averages of them.

    Particles must be centred: give a class2d job, or a file with shifts. Without a value for an option that says None,
    one is chosen from the data and reported.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file, a bare .mrcs stack, or the folder of a class2d job.
    output
        Folder for the results; made when it is not there.
    project
        Directory that the paths in the particle file are relative to.
    passthrough
        Passthrough files of a cryoSPARC .cs file.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    """
    with saying_how_to_go_on(output):
        run_neighbours(
            particles,
            output,
            Neighbours(**plain(settings)),
            RunOptions(**plain(running)),
            command=typed_command(),
            project=project,
            passthrough=passthrough,
            pixel_size_A=pixel_size_A,
        )
