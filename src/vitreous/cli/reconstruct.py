"""``vitreous reconstruct``."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vitreous.cli.common import COMPUTED, RUN, THREADS, Output, PixelSize, saying_how_to_go_on, typed_command
from vitreous.cli.options import method_settings, options_from, options_from_methods, plain
from vitreous.jobs.run_options import RunOptions
from vitreous.jobs.run_reconstruct import METHODS, run_reconstruct

__all__ = ["reconstruct"]

SETTINGS_OF = {method.name: settings for settings, method in METHODS.items()}
Settings = options_from_methods(
    SETTINGS_OF,
    group=COMPUTED,
    aliases={"symmetry": ("--sym",), "components": ("--K",)},
    leave_out=frozenset(),
)
Running = options_from(
    RunOptions,
    group=RUN,
    aliases=THREADS,
    leave_out=frozenset({"device", "memory", "every"}),
)


def reconstruct(
    images: Annotated[Path, Parameter(name=("--images", "--i"))],
    *,
    output: Output,
    method: Literal["gmm"] = "gmm",
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    pixel_size_A: PixelSize = None,
) -> None:
    """A map, with its uncertainty, from averages or other images whose poses are known.

    With --method gmm the images must be nowhere negative: `vitreous deconvolve` makes such averages from classified
    particles, and with --single from any averages.

    Parameters
    ----------
    images
        A .star file with the angles and origins of its images, or the folder of an initial job.
    output
        Folder for the results; made when it is not there.
    method
        gmm: Gaussian mixture with counts (Poisson) as data, by Gibbs sampling.
    project
        Directory that the paths in the .star file are relative to.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    """
    with saying_how_to_go_on(output):
        run_reconstruct(
            images,
            output,
            method_settings(SETTINGS_OF, method, settings),
            RunOptions(**plain(running)),
            command=typed_command(),
            project=project,
            pixel_size_A=pixel_size_A,
        )
