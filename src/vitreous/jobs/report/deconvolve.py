"""The report of a ``deconvolve`` job: averages before, after and masked, side by side."""

from pathlib import Path

import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.report.page import Gallery, Page, Section, Tile, picture
from vitreous.particles import open_stack, read_star

__all__ = ["deconvolve_page"]


def deconvolve_page(folder: Path) -> Page:
    """The page of a finished ``deconvolve`` folder. Raises JobFolderError when the folder lacks the results."""
    if not (folder / "deconvolved.star").is_file():
        raise JobFolderError(f"{folder} has no deconvolved.star: it is not the folder of a finished deconvolution")
    table = read_star(folder / "deconvolved.star")["particles"]
    population = [int(value) for value in table["vtrPopulation"]]
    return Page(
        kind="deconvolution",
        headline=f"{len(population)} averages without CTF and without negative values, "
        f"from {sum(population):,} images.",
        sections=(
            Section(
                name="averages",
                title="Averages",
                hint="Of every class: the mean of its aligned images as the microscope gave them; deconvolved; masked. "
                "Each picture has its own grey scale; the background is the same grey in all.",
                panels=(_triples(folder, [int(value) for value in table["rlnClassNumber"]], population),),
            ),
        ),
    )


def _triples(folder: Path, numbers: list[int], population: list[int]) -> Gallery:
    names = {"before": "_plain", "deconvolved": "_unmasked", "masked": ""}
    stacks = {what: open_stack(folder / f"deconvolved{name}.mrcs") for what, name in names.items()}
    return Gallery(
        tiles=tuple(
            Tile(
                pictures=tuple(
                    picture(stack.read(np.array([i]))[0], f"Class {number}, {what}") for what, stack in stacks.items()
                ),
                name=f"class {number}",
                figure=f"{count:,}",
            )
            for i, (number, count) in enumerate(zip(numbers, population, strict=True))
        )
    )
