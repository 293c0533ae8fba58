"""``vitreous mixture``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.cli.common import COMPUTED, RUN, Output, PixelSize, saying_how_to_go_on, typed_command
from vitreous.cli.options import options_from, plain
from vitreous.jobs.run_mixture import run_mixture
from vitreous.jobs.run_options import RunOptions
from vitreous.mixtures import MixtureFit

__all__ = ["mixture"]

Settings = options_from(MixtureFit, group=COMPUTED, aliases={"components": ("--K",)})
Running = options_from(
    RunOptions,
    group=RUN,
    aliases={},
    leave_out=frozenset({"device", "memory", "every", "threads"}),
)


def mixture(
    map_: Annotated[Path, Parameter(name=("--map", "--i"))],
    *,
    output: Output,
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    pixel_size_A: PixelSize = None,
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
    with saying_how_to_go_on(output):
        run_mixture(
            map_,
            output,
            MixtureFit(**plain(settings)),
            RunOptions(**plain(running)),
            command=typed_command(),
            pixel_size_A=pixel_size_A,
        )
