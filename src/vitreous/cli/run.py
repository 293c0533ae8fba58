"""``vitreous run``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.cli.common import (
    COMPUTED,
    DIAMETER,
    MEMORY,
    RUN,
    THREADS,
    Output,
    Particles,
    PixelSize,
    saying_how_to_go_on,
    typed_command,
)
from vitreous.cli.options import options_from, plain
from vitreous.jobs.options import RunOptions
from vitreous.jobs.run_pipeline import Pipeline, run_pipeline

__all__ = ["run"]

Settings = options_from(
    Pipeline,
    group=COMPUTED,
    aliases={"classes": ("--K",), **DIAMETER, "symmetry": ("--sym",)},
)
Running = options_from(
    RunOptions,
    group=RUN,
    aliases=THREADS,
    special={"memory": MEMORY},
    leave_out=frozenset({"every"}),
)


def run(
    particles: Particles,
    *,
    output: Output,
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    pixel_size_A: PixelSize = None,
    reference: Path | None = None,
) -> None:
    """From particles to an initial model: class2d, selection, deconvolve, initial in one folder.

    Each stage is a job in a sub-folder, with its own report; one report shows the whole. With --method gmm-gaussian
    the selected averages become a model as they are, without deconvolve.

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
    reference
        A map of the same particle (.mrc) that the model is compared with in the end, over both hands. The model does
        not depend on it.
    """
    with saying_how_to_go_on(output):
        run_pipeline(
            particles,
            output,
            Pipeline(**plain(settings)),
            RunOptions(**plain(running)),
            command=typed_command(),
            project=project,
            pixel_size_A=pixel_size_A,
            reference=reference,
        )
