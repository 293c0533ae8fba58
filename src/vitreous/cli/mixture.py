"""``vitreous mixture``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from vitreous.cli.options import options_from, plain
from vitreous.iterate import Interrupted
from vitreous.jobs.run_mixture import run_mixture
from vitreous.jobs.run_options import RunOptions
from vitreous.mixtures import MixtureFit

__all__ = ["mixture"]

Settings = options_from(MixtureFit, group=Group("What is computed", sort_key=1), aliases={"components": ("--K",)})
Running = options_from(
    RunOptions,
    group=Group("How it is run", sort_key=2),
    aliases={},
    leave_out=frozenset({"device", "memory", "every", "threads"}),
)


def mixture(
    map_: Annotated[Path, Parameter(name=("--map", "--i"))],
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o", "--o"))],
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    pixel_size_A: Annotated[float | None, Parameter(name=("--pixel-size-A", "--angpix"))] = None,
) -> None:
    """A map as a mixture of Gaussians of one size: pseudo-atoms, and the map that they make.

    Parameters
    ----------
    map_
        A cubic MRC map, particle positive.
    output
        Folder for the results; made when it is not there.
    pixel_size_A
        Voxel size in Angstrom, when the file does not say or is wrong.
    """
    try:
        run_mixture(
            map_,
            output,
            MixtureFit(**plain(settings)),
            RunOptions(**plain(running)),
            command=shlex.join(["vitreous", *sys.argv[1:]]),
            pixel_size_A=pixel_size_A,
        )
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped; the same command with --resume goes on in {output}", file=sys.stderr)
        raise KeyboardInterrupt from stop
