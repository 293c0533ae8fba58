"""``vitreous class2d``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.averages.class2d import Class2D
from vitreous.cli.common import (
    COMPUTED,
    MEMORY,
    RUN,
    Output,
    Particles,
    Passthrough,
    PixelSize,
    saying_how_to_go_on,
    typed_command,
)
from vitreous.cli.options import options_from, plain
from vitreous.cli.relion import ALIASES
from vitreous.jobs.options import RunOptions
from vitreous.jobs.run_class2d import run_class2d

__all__ = ["class2d"]

Settings = options_from(Class2D, group=COMPUTED, aliases=ALIASES)
Running = options_from(RunOptions, group=RUN, aliases=ALIASES, special={"memory": MEMORY})


def class2d(
    particles: Particles,
    *,
    output: Output,
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    offset_range_px: Annotated[float | None, Parameter(name=("--offset-range-px", "--offset_range"))] = None,
    project: Path | None = None,
    passthrough: Passthrough = (),
    pixel_size_A: PixelSize = None,
) -> None:
    """2D classification: particles in, class averages and a report out.

    RELION's own option names are understood (--i --o --K --iter --tau2_fudge --particle_diameter --offset_range --j
    --gpu --continue ...); what has no meaning here is ignored with a note. Without a value for an option that says
    None, one is chosen from the data and reported.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack.
    output
        Folder for the results; made when it is not there.
    offset_range_px
        The same as --offset-range-A, in pixels, as RELION has it.
    project
        Directory that the paths in the particle file are relative to.
    passthrough
        Passthrough files of a cryoSPARC .cs file.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    """
    with saying_how_to_go_on(output):
        run_class2d(
            particles,
            output,
            Class2D(**plain(settings)),
            RunOptions(**plain(running)),
            command=typed_command(),
            project=project,
            passthrough=passthrough,
            pixel_size_A=pixel_size_A,
            offset_range_px=offset_range_px,
        )
