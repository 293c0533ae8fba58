"""``vitreous initial``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from vitreous.cli.options import options_from, plain
from vitreous.iterate import Interrupted
from vitreous.jobs.run_initial import run_initial
from vitreous.jobs.run_options import RunOptions
from vitreous.mixtures import InitialModel

__all__ = ["initial"]

Settings = options_from(
    InitialModel,
    group=Group("What is computed", sort_key=1),
    aliases={"symmetry": ("--sym",)},
    leave_out=frozenset({"threads"}),
)
Running = options_from(
    RunOptions,
    group=Group("How it is run", sort_key=2),
    aliases={"threads": ("--j",)},
    leave_out=frozenset({"device", "memory", "every"}),
)


def initial(
    averages: Annotated[Path, Parameter(name=("--averages", "--i"))],
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o", "--o"))],
    method: Literal["gmm"] = "gmm",
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    pixel_size_A: Annotated[float | None, Parameter(name=("--pixel-size-A", "--angpix"))] = None,
) -> None:
    """An initial model, with its uncertainty, from class averages of unknown views.

    The averages must be nowhere negative: `vitreous deconvolve` makes such averages from classified particles, and
    with --single from any averages. The hand is not determined by averages; both are written.

    Parameters
    ----------
    averages
        The folder of a deconvolve job, a .star file that names averages, or a stack of averages.
    output
        Folder for the results; made when it is not there.
    method
        gmm: Gaussian mixture with counts (Poisson) as data, by Gibbs sampling.
    project
        Directory that the paths in the .star file are relative to.
    pixel_size_A
        Pixel size of the averages in Angstrom, when the file does not say or is wrong.
    """
    del method  # there is one
    try:
        run_initial(
            averages,
            output,
            InitialModel(**plain(settings)),
            RunOptions(**plain(running)),
            command=shlex.join(["vitreous", *sys.argv[1:]]),
            project=project,
            pixel_size_A=pixel_size_A,
        )
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped; the same command with --resume goes on in {output}", file=sys.stderr)
        raise KeyboardInterrupt from stop
