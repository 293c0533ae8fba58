"""``vitreous simulate``."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from vitreous.cli.common import typed_command
from vitreous.cli.options import options_from, plain
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.simulate import run_simulate
from vitreous.simulate import JUNK_KINDS, PHANTOMS, SimulateSettings

__all__ = ["simulate"]

ALIASES = {
    "source": ("--phantom", "--pdb", "--map"),
    "particles": ("-n",),
    "box_px": ("--box",),
    "pixel_size_A": ("--pixel-size", "--angpix"),
}
HELP = {
    "source": f"What to project, one or several: a phantom ({', '.join(PHANTOMS)}), a map (.mrc), or a model (.pdb, "
    ".cif; also .gz).",
    "proportions": "Shares of the sources, one number each; equal when not given.",
    "resolution_A": "Of densities made from models, in Angstrom; 0: two pixels.",
    "particles": "How many.",
    "box_px": "Side of the images in pixels.",
    "pixel_size_A": "In Angstrom.",
    "voltage_kV": "Of the microscope.",
    "cs_mm": "Spherical aberration.",
    "amplitude_contrast": "0 to 1.",
    "defocus_min_A": "Smallest underfocus, in Angstrom.",
    "defocus_max_A": "Largest underfocus, in Angstrom.",
    "defocus_groups": "Micrographs; their defoci are evenly spaced.",
    "astigmatism_A": "Defocus U - V, in a random direction for every micrograph.",
    "phase_shift_deg": "Of a phase plate.",
    "b_factor_A2": "Envelope of the CTF.",
    "shift_max_px": "Particles are off-centre by up to so much in x and y, uniformly.",
    "shift_sd_px": "Gaussian shifts of this standard deviation instead.",
    "orientations": "uniform, or preferred: views cluster about a few axes.",
    "preferred_axes": "How many axes.",
    "kappa": "How tightly views cluster about them (von Mises-Fisher concentration).",
    "snr": "Signal-to-noise ratio: mean over particles of the variance over all pixels of the clean image (projected, "
    "shifted, with its CTF), divided by the variance of the noise.",
    "noise": "white, or coloured: stronger at low frequency.",
    "background_radius_px": "Images are normalised to mean 0, sd 1 beyond this radius; 0: 15/32 of the box.",
    "junk_fraction": "Share of images that are junk.",
    "junk_kinds": f"Some of {', '.join(JUNK_KINDS)}.",
    "seed": "Of everything random.",
}
Settings = options_from(SimulateSettings, group=Group("What is simulated", sort_key=1), aliases=ALIASES, help=HELP)


def simulate(
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # type: ignore[valid-type]  # noqa: B008
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: Annotated[int | None, Parameter(name=("--threads", "--j"))] = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Make particles with known truth.

    Writes particles.mrcs, particles.star (the truth in columns vtrTrue..., which no program takes for a prior),
    truth.star (the truth in RELION's own columns), volume_#.mrc and job.json.

    Parameters
    ----------
    output
        Folder for the results; made when it is not there.
    device
        auto, cpu or cuda.
    threads
        Processor threads; all when not given.
    overwrite
        Replace an earlier simulation in the folder.
    json
        One line of JSON per event on standard output; text for humans goes to standard error.
    dry_run
        Say what would be done, and stop.
    """
    run_simulate(
        output,
        SimulateSettings(**plain(settings)),
        RunOptions(device=device, threads=threads, overwrite=overwrite, json=json, dry_run=dry_run),
        command=typed_command(),
    )
