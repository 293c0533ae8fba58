"""``vitreous deconvolve``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from vitreous.averages.deconvolve import Deconvolve
from vitreous.cli.options import memory_bytes, memory_text, options_from, plain
from vitreous.iterate import Interrupted
from vitreous.jobs.run_deconvolve import run_deconvolve
from vitreous.jobs.run_options import RunOptions

__all__ = ["deconvolve"]

MEMORY = Parameter(converter=memory_bytes, show_default=memory_text, metavar="SIZE")
UNUSED = Parameter(show=False)  # there are no iterations to write
Settings = options_from(
    Deconvolve, group=Group("What is computed", sort_key=1), aliases={"particle_diameter_A": ("--particle_diameter",)}
)
Running = options_from(
    RunOptions,
    group=Group("How it is run", sort_key=2),
    aliases={"threads": ("--j",)},
    special={"memory": MEMORY, "every": UNUSED},
)


def deconvolve(
    particles: Annotated[Path, Parameter(name=("--particles", "--i"))],
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o", "--o"))],
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    pixel_size_A: Annotated[float | None, Parameter(name=("--pixel-size-A", "--angpix"))] = None,
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
    try:
        run_deconvolve(
            particles,
            output,
            Deconvolve(**plain(settings)),
            RunOptions(**plain(running)),
            command=shlex.join(["vitreous", *sys.argv[1:]]),
            project=project,
            pixel_size_A=pixel_size_A,
        )
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped; the same command with --resume goes on in {output}", file=sys.stderr)
        raise KeyboardInterrupt from stop
