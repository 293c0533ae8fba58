"""The report of a ``stability`` job: every class with its pixel error, the stable ones first."""

from pathlib import Path

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import scatter
from vitreous.jobs.report.page import Charts, Gallery, Page, Panel, Section, Text, Tile, picture
from vitreous.jobs.results.stability import StabilityFolder, open_stability_folder
from vitreous.words import counted

__all__ = ["stability_page"]


def stability_page(folder: Path) -> Page:
    """The page of a finished ``stability`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = open_stability_folder(folder), read_manifest(folder)
    summary = {} if manifest is None else manifest.summary
    pixel = float(summary.get("pixel_size_A", 1.0))
    tested = found.tested > 0
    order = np.argsort(np.where(tested, found.error_A, np.inf), kind="stable")
    stable = [k for k in order if found.stable[k]]
    unstable = [k for k in order if tested[k] and not found.stable[k]]
    inside, everyone = int(found.population[found.stable].sum()), max(int(found.population.sum()), 1)
    median = f"{np.median(found.error_A[found.stable]) / pixel:.2f} px" if stable else "-"
    return Page(
        kind="stability of classes",
        headline=f"{len(stable)} of {counted(int(tested.sum()), 'class')} {_is(stable)} stable.",
        key_figures=(
            ("stable classes", f"{len(stable)}", f"{len(unstable)} {_is(unstable)} not"),
            ("particles in them", f"{inside:,}", f"{100 * inside / everyone:.0f} % of those that have a class"),
            ("pixel error", median, "median of the stable classes"),
        ),
        sections=(
            Section(
                name="stable",
                title="Stable classes",
                hint="Below every average: the mean displacement of its members between alignments from random "
                "beginnings, and how many members it was measured with.",
                panels=(_gallery(found, stable, pixel),),
            ),
            Section(
                name="unstable",
                title="Unstable classes",
                hint="Their alignments depend on how they began: they mix views, or show too little. The pictures are "
                "one of several possible averages.",
                panels=(_gallery(found, unstable, pixel),),
            ),
            Section(name="figures", title="Figures", panels=(Charts(drawings=(_chart(found, pixel),)),)),
        ),
    )


def _is(classes: list[int]) -> str:
    return "is" if len(classes) == 1 else "are"


def _gallery(found: StabilityFolder, classes: list[int], pixel: float) -> Panel:
    if not classes:
        return Text(text="None.")
    return Gallery(
        tiles=tuple(
            Tile(
                pictures=(picture(found.averages[k], f"Class {k + 1}"),),
                name=f"class {k + 1}",
                figure=f"{found.error_A[k] / pixel:.2f} px" if np.isfinite(found.error_A[k]) else "no common mirror",
                notes=_notes(found, k),
            )
            for k in classes
        ),
        small=True,
    )


def _notes(found: StabilityFolder, k: int) -> tuple[str, ...]:
    mirror = f"{100 * found.mirror_share[k]:.0f} % mirror-stable" if found.mirror_share[k] < 1 else ""
    members = f"{found.tested[k]} of {found.population[k]:,}"
    return (members, mirror) if mirror else (members,)


def _chart(found: StabilityFolder, pixel: float) -> tuple[str, str]:
    mine = np.flatnonzero((found.tested > 0) & np.isfinite(found.error_A))
    error = found.error_A[mine] / pixel
    chart = scatter(
        found.population[mine],
        np.log10(np.maximum(error, 1e-3)),
        horizontal=axis(0, float(found.population.max(initial=1)), "particles in the class", whole=True),
        vertical=axis(-3, 2, "log₁₀ of the pixel error (px)", count=5),
        names=[f"class {k + 1}: {e:.2f} px" for k, e in zip(mine, error, strict=True)],
        keys=[int(k) + 1 for k in mine],
        title="Pixel error against the size of the classes",
    )
    return "Pixel error and size of the classes", chart
