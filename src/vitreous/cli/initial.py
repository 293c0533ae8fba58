"""``vitreous initial``."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vitreous.cli.common import COMPUTED, RUN, THREADS, Output, PixelSize, saying_how_to_go_on, typed_command
from vitreous.cli.options import method_settings, options_from, options_from_methods, plain
from vitreous.jobs.run_initial import METHODS, run_initial
from vitreous.jobs.run_options import RunOptions

__all__ = ["initial"]

SETTINGS_OF = {method.name: settings for settings, method in METHODS.items()}
Settings = options_from_methods(
    SETTINGS_OF,
    group=COMPUTED,
    aliases={"symmetry": ("--sym",)},
    leave_out=frozenset(),
)
CtfUncorrected = Annotated[bool, Parameter(group=COMPUTED, negative="")]
Running = options_from(
    RunOptions,
    group=RUN,
    aliases=THREADS,
    leave_out=frozenset({"device", "memory", "every"}),
)


def initial(
    averages: Annotated[Path, Parameter(name=("--averages", "--i"))],
    *,
    output: Output,
    method: Literal["gmm", "gmm-gaussian"] = "gmm",
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    running: Annotated[Running, Parameter(name="*")] = Running(),  # type: ignore[valid-type]  # noqa: B008
    project: Path | None = None,
    pixel_size_A: PixelSize = None,
    reference: Path | None = None,
    ctf_uncorrected: CtfUncorrected = False,
) -> None:
    """An initial model, with its uncertainty, from class averages of unknown views.

    With --method gmm the averages must be nowhere negative: `vitreous deconvolve` makes such averages from classified
    particles, and with --single from any averages. With --method gmm-gaussian they may be any averages whose CTF is
    corrected or, with --ctf-uncorrected, known. The hand is not determined by averages; both are written.

    Parameters
    ----------
    averages
        The folder of a deconvolve job (with gmm-gaussian also of a class2d job), a .star file that names averages, or a
        stack of them.
    output
        Folder for the results; made when it is not there.
    method
        gmm: Gaussian mixture with counts (Poisson) as data, by Gibbs sampling. gmm-gaussian: Gaussian mixture with
        Gaussian noise, for averages with negative pixels, by Hamiltonian Monte Carlo.
    project
        Directory that the paths in the .star file are relative to.
    pixel_size_A
        Pixel size of the averages in Angstrom, when the file does not say or is wrong.
    reference
        A map of the same particle (.mrc) that the model is compared with in the end, over both hands. The model does
        not depend on it.
    ctf_uncorrected
        The averages still have the CTF that the optics and defocus columns of their .star file give. Only with
        --method gmm-gaussian.
    """
    with saying_how_to_go_on(output):
        run_initial(
            averages,
            output,
            method_settings(SETTINGS_OF, method, settings),
            RunOptions(**plain(running)),
            command=typed_command(),
            project=project,
            pixel_size_A=pixel_size_A,
            reference=reference,
            ctf_uncorrected=ctf_uncorrected,
        )
