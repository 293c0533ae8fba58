"""The report of an ``isac`` job: the accepted averages with their figures, and how the generations went."""

from pathlib import Path

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import histogram
from vitreous.jobs.report.page import Charts, Gallery, Page, Rows, Section, Text, Tile, picture
from vitreous.jobs.report.selection import selection_section
from vitreous.jobs.results.isac import ISACFolder, open_isac_folder
from vitreous.words import counted

__all__ = ["isac_page"]


def isac_page(folder: Path) -> Page:
    """The page of a finished ``isac`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = open_isac_folder(folder), read_manifest(folder)
    pixel = float(({} if manifest is None else manifest.summary).get("pixel_size_A", 1.0))
    count, accounted = len(found.population), int(found.population.sum())
    error = f"{np.median(found.error_A) / pixel:.2f} px" if count else "-"
    return Page(
        kind="ISAC",
        headline=f"{counted(count, 'validated average')} account{'s' * (count == 1)} for {accounted:,} of "
        f"{found.particles:,} particles."
        if count
        else "Nothing was accepted: no class was reproducible and stable.",
        nothing_found=() if count else ("No class was found again by all runs with a stable alignment.",),
        key_figures=(
            ("classes", f"{count}", "reproducible and stable"),
            ("accounted for", f"{100 * accounted / max(found.particles, 1):.0f} %", f"{accounted:,} particles"),
            ("pixel error", error, "median of the classes"),
        ),
        sections=(
            Section(
                name="averages",
                title="Averages",
                hint="From the original pixels, corrected for the CTF. The pixel error is the mean displacement of the "
                "members between alignments from random beginnings.",
                panels=(_gallery(found, pixel),) if count else (Text(text="None."),),
            ),
            *(section for section in (selection_section(folder, found.averages),) if section is not None),
            Section(
                name="generations",
                title="Generations",
                panels=(_generations(found), Charts(drawings=(_errors(found, pixel),) if count else ())),
            ),
        ),
    )


def _gallery(found: ISACFolder, pixel: float) -> Gallery:
    tiles = []
    for k, image in enumerate(found.averages):
        resolution = f"{found.resolution_A[k]:.1f} Å" if np.isfinite(found.resolution_A[k]) else "no resolution"
        notes = (f"{found.error_A[k] / pixel:.2f} px", f"{resolution}, generation {found.generation[k]}")
        tiles.append(
            Tile(
                pictures=(picture(image, f"Class {k + 1}"),), name=f"class {k + 1}",
                figure=f"{found.population[k]:,}", notes=notes,
            )
        )  # fmt: skip
    return Gallery(tiles=tuple(tiles), small=True)


def _generations(found: ISACFolder) -> Rows:
    rows = []
    for generation in range(1, int(found.generation.max(initial=0)) + 1):
        mine = found.generation == generation
        rows.append((f"{generation}", f"{int(mine.sum())}", f"{int(found.population[mine].sum()):,}"))
    return Rows(head=("generation", "classes accepted", "particles accepted"), rows=tuple(rows))


def _errors(found: ISACFolder, pixel: float) -> tuple[str, str]:
    error = found.error_A / pixel
    chart = histogram(
        error, horizontal=axis(0.0, max(float(error.max()), 0.1), "pixel error (px)"), title="Errors", of="classes"
    )
    return "Pixel errors of the classes", chart
