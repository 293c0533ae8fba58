"""``vitreous mixture``."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vitreous.cli.common import COMPUTED, RUN, Output, PixelSize, saying_how_to_go_on, typed_command
from vitreous.cli.options import method_settings, options_from, options_from_methods, plain, whole_number
from vitreous.jobs.options import RunOptions
from vitreous.jobs.run_mixture import METHODS, run_mixture

__all__ = ["mixture"]

SETTINGS_OF = {method.name: settings for settings, method in METHODS.items()}
Settings = options_from_methods(
    SETTINGS_OF,
    group=COMPUTED,
    aliases={"components": ("--K",)},
    leave_out=frozenset(),
)
Running = options_from(
    RunOptions,
    group=RUN,
    aliases={},
    leave_out=frozenset({"device", "memory", "every", "threads"}),
)


def mixture(
    source: Annotated[Path, Parameter(name=("--input", "--i"))],
    *,
    output: Output,
    method: Literal["em", "gibbs"] = "em",
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    image: Annotated[int | None, Parameter(converter=whole_number)] = None,
    pixel_size_A: PixelSize = None,
) -> None:
    """A map, an image or a cloud of points as a mixture of Gaussians of one size: pseudo-atoms, and their density.

    Parameters
    ----------
    source
        A map (.mrc, .map), an image of a stack (.mrcs, .star), particle positive; or points: a model (.cif, .pdb, also
        .gz) or x, y, z in Angstrom (.csv, .txt, .npy, .npz).
    output
        Folder for the results; made when it is not there.
    method
        em: the maximum of the posterior, by expectation maximisation. gibbs: samples of the posterior, with their mean
        and variance, by Gibbs sampling.
    image
        Number of the image in the stack, from 1; by default the first. Makes a .mrc file a stack.
    pixel_size_A
        Voxel size in Angstrom, when the file does not say or is wrong.
    """
    with saying_how_to_go_on(output):
        run_mixture(
            source,
            output,
            method_settings(SETTINGS_OF, method, settings),
            RunOptions(**plain(running)),
            command=typed_command(),
            pixel_size_A=pixel_size_A,
            image=image,
        )
