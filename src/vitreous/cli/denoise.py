"""``vitreous denoise``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from vitreous.averages.denoise import Denoise
from vitreous.cli.options import memory_bytes, memory_text, options_from, plain
from vitreous.iterate import Interrupted
from vitreous.jobs.run_denoise import run_denoise
from vitreous.jobs.run_options import RunOptions

__all__ = ["denoise"]

MEMORY = Parameter(converter=memory_bytes, show_default=memory_text, metavar="SIZE")
UNUSED = Parameter(show=False)  # there are no iterations to write, and no other device is used
Settings = options_from(
    Denoise, group=Group("What is computed", sort_key=1), aliases={"particle_diameter_A": ("--particle_diameter",)}
)
Running = options_from(
    RunOptions,
    group=Group("How it is run", sort_key=2),
    aliases={"threads": ("--j",)},
    special={"memory": MEMORY, "every": UNUSED, "device": UNUSED},
)


def denoise(
    particles: Annotated[Path, Parameter(name=("--particles", "--i"))],
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o", "--o"))],
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    passthrough: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="", show_default=False)] = (),
    pixel_size_A: Annotated[float | None, Parameter(name=("--pixel-size-A", "--angpix"))] = None,
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
    try:
        run_denoise(
            particles,
            output,
            Denoise(**plain(settings)),
            RunOptions(**plain(running)),
            command=shlex.join(["vitreous", *sys.argv[1:]]),
            project=project,
            passthrough=passthrough,
            pixel_size_A=pixel_size_A,
        )
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped; the same command with --resume starts again in {output}", file=sys.stderr)
        raise KeyboardInterrupt from stop
