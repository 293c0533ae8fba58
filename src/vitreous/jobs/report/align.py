"""The report of an ``align`` job: the average, its halves, every start, and how far the starts are apart."""

from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis, frequency_axis
from vitreous.jobs.report.charts import Curve, curves, histogram
from vitreous.jobs.report.page import Charts, Drawing, Gallery, KeyFigure, Page, Section, Tile, picture
from vitreous.jobs.report.selection import selection_section
from vitreous.jobs.results.align import AlignFolder, open_align_folder
from vitreous.words import counted

__all__ = ["align_page"]


def align_page(folder: Path) -> Page:
    """The page of a finished ``align`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = open_align_folder(folder), read_manifest(folder)
    summary = {} if manifest is None else manifest.summary
    pixel = float(summary.get("pixel_size_A", 1.0))
    lost = summary.get("found_signal") is False
    return Page(
        kind="alignment",
        headline="Nothing was found: the average is aligned noise."
        if lost
        else f"{counted(summary.get('aligned_particles', len(found.error_A)), 'particle')}, aligned to one average.",
        key_figures=tuple(_key_figures(found, summary, pixel)),
        nothing_found=("Images that the average has not seen match it no better than noise does.",) if lost else (),
        sections=(
            Section(name="average", title="Average", panels=(Gallery(tiles=tuple(_average(found))),)),
            *(section for section in (selection_section(folder, found.average[None]),) if section is not None),
            Section(
                name="starts",
                title="Starts",
                hint="Every start as it ended, in a frame of its own. A set of images of one view ends in the same "
                "alignment whatever it begins with; a mixture does not.",
                panels=(Gallery(tiles=tuple(_starts(found, pixel)), small=True),),
            ),
            Section(name="quality", title="Quality", panels=(Charts(drawings=tuple(_charts(found, pixel))),)),
        ),
    )


def _key_figures(found: AlignFolder, summary: dict[str, Any], pixel: float) -> list[KeyFigure]:
    resolution = summary.get("resolution_A")
    figures: list[KeyFigure] = [
        ("resolution", "none" if resolution is None else f"{resolution:.1f} Å", "FRC 0.143, less what noise has"),
    ]
    error, stable = summary.get("mean_pixel_error_px"), summary.get("mirror_stable_share")
    if error is None and len(found.error_A):
        error = found.error_A.mean() / pixel
    if error is not None:
        figures.append(("pixel error", f"{error:.2f} px", "mean displacement between starts"))
    if stable is not None:
        figures.append(("mirror-stable", f"{100 * stable:.0f} %", "the same mirror state in all starts"))
    return figures


def _average(found: AlignFolder) -> list[Tile]:
    names = ("average", "half 1", "half 2")
    return [
        Tile(pictures=(picture(image, name.capitalize()),), name=name)
        for name, image in zip(names, (found.average, *found.halves), strict=True)
    ]


def _starts(found: AlignFolder, pixel: float) -> list[Tile]:
    best = int(found.start_evidence.argmax())
    tiles = []
    for k, image in enumerate(found.starts):
        error = found.start_error_A[k]
        apart = "kept" if k == best else "mirror states differ" if error < 0 else f"{error / pixel:.2f} px away"
        evidence = f"{found.start_evidence[k]:.2f} nats per image"
        tiles.append(
            Tile(pictures=(picture(image, f"Start {k + 1}"),), name=f"start {k + 1}", figure=apart, notes=(evidence,))
        )
    return tiles


def _charts(found: AlignFolder, pixel: float) -> list[Drawing]:
    frc = curves(
        [Curve(x=found.frequency[1:], y=found.frc[1:], name="FRC")],
        x=frequency_axis(float(found.frequency[-1])),
        y=axis(-0.2, 1.0, "FRC", widen=False),
        guides=[(0.143, "0.143")],
        title="Fourier ring correlation of the halves",
    )
    drawings = [("Fourier ring correlation of the halves, less that of aligned noise", frc)]
    if len(found.error_A):
        error = found.error_A / pixel
        most = max(float(np.percentile(error, 99)), 1.0)
        chart = histogram(error, horizontal=axis(0.0, most, "pixel error (px)"), title="Pixel errors")
        drawings.append(("Displacement of the particles between starts", chart))
    return drawings
