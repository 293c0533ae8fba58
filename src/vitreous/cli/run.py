"""``vitreous run``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from vitreous.cli.options import memory_bytes, memory_text, options_from, plain
from vitreous.iterate import Interrupted
from vitreous.jobs.run_options import RunOptions
from vitreous.jobs.run_pipeline import Pipeline, run_pipeline

__all__ = ["run"]

MEMORY = Parameter(converter=memory_bytes, show_default=memory_text, metavar="SIZE")
Settings = options_from(
    Pipeline,
    group=Group("What is computed", sort_key=1),
    aliases={"classes": ("--K",), "particle_diameter_A": ("--particle_diameter",), "symmetry": ("--sym",)},
)
Running = options_from(
    RunOptions,
    group=Group("How it is run", sort_key=2),
    aliases={"threads": ("--j",)},
    special={"memory": MEMORY},
    leave_out=frozenset({"every"}),
)


def run(
    particles: Annotated[Path, Parameter(name=("--particles", "--i"))],
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o", "--o"))],
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    pixel_size_A: Annotated[float | None, Parameter(name=("--pixel-size-A", "--angpix"))] = None,
) -> None:
    """From particles to an initial model: class2d, selection, deconvolve, initial in one folder.

    Each stage is a job in a sub-folder, with its own report; one report shows the whole.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack.
    output
        Folder for the results; made when it is not there.
    project
        Directory that the paths in the particle file are relative to.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    """
    try:
        run_pipeline(
            particles,
            output,
            Pipeline(**plain(settings)),
            RunOptions(**plain(running)),
            command=shlex.join(["vitreous", *sys.argv[1:]]),
            project=project,
            pixel_size_A=pixel_size_A,
        )
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped; the same command with --resume goes on in {output}", file=sys.stderr)
        raise KeyboardInterrupt from stop
