"""The report of an ``extract`` job: boxes, their mean, and what became of the picks."""

from pathlib import Path

import numpy as np
import torch

from vitreous.fourier import resize_images
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.page import Gallery, Page, Rows, Section, Tile, picture
from vitreous.jobs.results.extract import REASON, WORDS, ExtractFolder, read_extract
from vitreous.micrographs.extraction import LEFT_OUT

__all__ = ["extract_page"]

MOST_ROWS = 200
SHOWN_PER_DIAMETER = 16  # pixels of the pictures: what is finer is noise to the eye
REASONS = {
    "edge": "the box crosses the edge of the micrograph",
    "flat": "the background of the box is constant",
    "micrograph": "the micrograph could not be used",
}
NOTHING = (
    "No box was written.",
    "The table below says why. Do the coordinates belong to these micrographs, and is the box smaller than they are?",
)


def extract_page(folder: Path) -> Page:
    """The page of a finished ``extract`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = read_extract(folder), read_manifest(folder)
    summary = manifest.summary if manifest else {}
    boxes = 0 if found.particles is None else len(found.particles)
    used = int((found.micrographs.text(WORDS) == "none").sum())
    failed = len(found.micrographs) - used
    return Page(
        kind="extraction",
        headline=f"{boxes:,} boxes out of {used:,} micrographs.",
        key_figures=(
            ("boxes", f"{boxes:,}", "in particles.star"),
            ("left out", f"{len(found.left_out):,}", "in left_out.star, with reasons"),
            ("micrographs", f"{used:,}", f"{failed:,} could not be used" if failed else "all could be used"),
            ("box", f"{len(found.mean)} px", f"of {summary.get('pixel_size_A', 0):.4g} Å"),
        ),
        sections=(_pictures(found, summary.get("diameter_A", 0.0), summary.get("pixel_size_A", 1.0)), *_tables(found)),
        nothing_found=() if boxes else NOTHING,
    )


def _pictures(found: ExtractFolder, diameter_A: float, pixel_A: float) -> Section:
    side = len(found.mean)
    shown = side
    if diameter_A:
        shown = min(side, max(32, 2 * round(0.5 * SHOWN_PER_DIAMETER * side * pixel_A / diameter_A)))
    small = resize_images(torch.from_numpy(np.concatenate([found.mean[None], found.examples])), shown).numpy()
    tiles = [Tile(pictures=(picture(small[0], "Mean of all boxes"),), name="mean of all")]
    tiles += [
        Tile(pictures=(picture(image, f"Particle {number}"),), name=f"particle {number:,}")
        for image, number in zip(small[1:], found.number, strict=True)
    ]
    return Section(
        name="boxes",
        title="Boxes",
        hint="The mean of all boxes, unaligned, has to be white in the middle and round. The others are spread over "
        "the table, shown without the detail that is finer than the eye can tell from noise.",
        panels=(Gallery(tiles=tuple(tiles), small=True),) if len(found.examples) else (),
    )


def _tables(found: ExtractFolder) -> tuple[Section, Section]:
    reasons = found.left_out.text(REASON) if len(found.left_out) else np.zeros(0, dtype=object)
    counts = tuple((REASONS[name], f"{int((reasons == name).sum()):,}") for name in LEFT_OUT.values())
    names = ("rlnMicrographName", "vtrPicks", "vtrBoxes", "vtrEdge", "vtrFlat", "vtrHotPixels", WORDS)
    columns = [found.micrographs.text(name) for name in names]
    rows = tuple(tuple(str(value) for value in row) for row in zip(*columns, strict=True))
    failed = [row for row in rows if row[-1] != "none"]
    shown = (*failed, *(row for row in rows if row[-1] == "none"))[:MOST_ROWS]
    few = "" if len(shown) == len(rows) else f" {len(shown)} of {len(rows):,} are shown, all are in micrographs.star."
    return (
        Section(name="left-out", title="Left out", panels=(Rows(head=("reason", "particles"), rows=counts),)),
        Section(
            name="table",
            title="One by one",
            hint=f"Micrographs that could not be used come first.{few}",
            panels=(
                Rows(
                    head=("micrograph", "picks", "boxes", "edge", "flat", "hot pixels", "failure"),
                    rows=shown,
                ),
            ),
        ),
    )
