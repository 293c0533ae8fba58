"""``vitreous initial``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from vitreous.cli.options import method_settings, options_from, options_from_methods, plain
from vitreous.iterate import Interrupted
from vitreous.jobs.run_initial import METHODS, run_initial
from vitreous.jobs.run_options import RunOptions

__all__ = ["initial"]

SETTINGS_OF = {method.name: settings for settings, method in METHODS.items()}
Settings = options_from_methods(
    SETTINGS_OF,
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
    method: Literal["gmm", "gmm-gaussian"] = "gmm",
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    pixel_size_A: Annotated[float | None, Parameter(name=("--pixel-size-A", "--angpix"))] = None,
) -> None:
    """An initial model, with its uncertainty, from class averages of unknown views.

    With --method gmm the averages must be nowhere negative: `vitreous deconvolve` makes such averages from classified
    particles, and with --single from any averages. With --method gmm-gaussian they may be any averages whose CTF is
    corrected. The hand is not determined by averages; both are written.

    Parameters
    ----------
    averages
        The folder of a deconvolve job, a .star file that names averages, or a stack of averages.
    output
        Folder for the results; made when it is not there.
    method
        gmm: Gaussian mixture with counts (Poisson) as data, by Gibbs sampling. gmm-gaussian: Gaussian mixture with
        Gaussian noise, for averages with negative pixels, by Hamiltonian Monte Carlo.
    project
        Directory that the paths in the .star file are relative to.
    pixel_size_A
        Pixel size of the averages in Angstrom, when the file does not say or is wrong.
    """
    try:
        run_initial(
            averages,
            output,
            method_settings(SETTINGS_OF, method, settings),
            RunOptions(**plain(running)),
            command=shlex.join(["vitreous", *sys.argv[1:]]),
            project=project,
            pixel_size_A=pixel_size_A,
        )
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped; the same command with --resume goes on in {output}", file=sys.stderr)
        raise KeyboardInterrupt from stop
