"""The files of a deconvolution."""

from pathlib import Path

from vitreous.averages.deconvolve import DeconvolveResult
from vitreous.jobs.results.stack_table import write_stack_table
from vitreous.particles import write_mrc_stack

__all__ = ["DECONVOLVED", "FILES", "write_deconvolved"]

DECONVOLVED = "deconvolved.star"
FILES = (
    DECONVOLVED,
    "deconvolved.mrcs",
    "deconvolved_unmasked.mrcs",
    "deconvolved_masks.mrcs",
    "deconvolved_plain.mrcs",
)


def write_deconvolved(folder: Path, result: DeconvolveResult) -> None:
    """Write the stacks and the STAR file of a result into a folder."""
    pixel = result.pixel_size_A
    stacks = {"": result.averages, "_unmasked": result.unmasked, "_masks": result.masks, "_plain": result.plain}
    for name, images in stacks.items():
        write_mrc_stack(folder / f"deconvolved{name}.mrcs", images, pixel)
    columns = {
        "rlnClassNumber": result.class_number,
        "vtrPopulation": result.population,
        "vtrIterations": result.iterations,
        "vtrResidual": result.residual,
        "vtrConverged": result.converged.astype(int),
    }
    write_stack_table(folder / DECONVOLVED, "deconvolved.mrcs", result.averages.shape, pixel, columns)
