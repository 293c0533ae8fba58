"""``vitreous denoise``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.averages.denoise import Denoise
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
from vitreous.jobs.run_denoise import run_denoise

__all__ = ["denoise"]

Settings = options_from(Denoise, group=COMPUTED, aliases=DIAMETER)
Running = options_from(
    RunOptions,
    group=RUN,
    aliases=THREADS,
    special={"memory": MEMORY, "every": UNUSED, "device": UNUSED},
)


def denoise(
    particles: Particles,
    *,
    output: Output,
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    passthrough: Passthrough = (),
    pixel_size_A: PixelSize = None,
) -> None:
    """Denoised images of all particles, free of the CTF: what every particle probably shows, given all others.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack. Shifts in it are used to centre the particles.
    output
        Folder for the results; made when it is not there.
    project
        Directory that the paths in the particle file are relative to.
    passthrough
        Passthrough files of a cryoSPARC .cs file.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    """
    with saying_how_to_go_on(output, verb="starts again"):
        run_denoise(
            particles,
            output,
            Denoise(**plain(settings)),
            RunOptions(**plain(running)),
            command=typed_command(),
            project=project,
            passthrough=passthrough,
            pixel_size_A=pixel_size_A,
        )
