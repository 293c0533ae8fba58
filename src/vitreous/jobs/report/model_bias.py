"""The report of a ``model-bias`` job: what appears in averages of aligned noise, and how much of it theory expects."""

from pathlib import Path

import numpy as np

from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.page import Charts, Drawing, Gallery, Page, Section, Tile, picture
from vitreous.jobs.results.model_bias import ModelBiasFolder, open_model_bias_folder

__all__ = ["model_bias_page"]


def model_bias_page(folder: Path) -> Page:
    """The page of a finished ``model-bias`` folder. Raises JobFolderError when the folder lacks the results."""
    found = open_model_bias_folder(folder)
    most = int(found.counts[-1])
    return Page(
        kind="model bias",
        headline=f"The average of {most:,} images of pure noise, aligned to the reference, correlates "
        f"{found.correlation[-1]:.2f} with it. There is nothing in these images.",
        key_figures=(
            ("correlation", f"{found.correlation[-1]:.2f}", f"of {most:,} images with the reference"),
            ("theory", f"{found.theory[-1]:.2f}", f"at most {np.sqrt(1 - found.common):.2f} for ever more images"),
            ("one image", f"{found.mean_peak:.2f} sd", f"of noise along the reference; theory {found.theory_peak:.2f}"),
            ("coefficients", f"{found.coefficients:,.0f}", "independent ones of an image in the alignment"),
        ),
        sections=(
            Section(
                name="pictures",
                title="What appears",
                hint="Averages of noise alone, with their correlation with the reference. The same images without "
                "alignment stay noise. What all turns of the reference have in common does not appear.",
                panels=(Gallery(tiles=_tiles(found)),),
            ),
            Section(
                name="correlation", title="Correlation", panels=(Charts(drawings=(_chart(found),)),),
                hint="With the reference, against the number of images: measured (green), from theory "
                "(orange), and without alignment (grey).",
            ),
        ),
    )  # fmt: skip


def _tiles(found: ModelBiasFolder) -> tuple[Tile, ...]:
    first = (
        Tile(pictures=(picture(found.reference, "Reference"),), name="reference"),
        Tile(
            pictures=(picture(found.unaligned, "Noise, not aligned"),), name=f"{found.counts[-1]:,}, not aligned",
            figure=f"{found.unaligned_correlation[-1]:.2f}",
        ),
    )  # fmt: skip
    averages = tuple(
        Tile(pictures=(picture(image, f"Average of {n} images"),), name=f"{n:,} images", figure=f"{value:.2f}")
        for image, n, value in zip(found.averages, found.counts, found.correlation, strict=True)
    )
    return first + averages


def _chart(found: ModelBiasFolder) -> Drawing:
    n = np.log2(found.counts.astype(float))
    lines = [
        Curve(x=n, y=found.correlation, style="c0", name="measured"),
        Curve(x=n, y=found.theory, style="c1", name="theory"),
        Curve(x=n, y=found.unaligned_correlation, style="faint", name="not aligned"),
    ]
    low, high = float(n[0]), float(max(n[-1], n[0] + 1))
    drawing = curves(
        lines,
        x=axis(low, high, "log₂ of the number of images", whole=True, widen=False),
        y=axis(-0.2, 1.0, "correlation", widen=False),
        title="Correlation of averages of noise with the reference",
        dots=True,
    )
    return "Correlation of averages of noise with the reference", drawing
