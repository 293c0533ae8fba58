"""The report of a classification in 3D: is there more than one map, which, where they differ, who is in which."""

from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis, frequency_axis, fsc_axis
from vitreous.jobs.report.charts import Curve, curves, histogram
from vitreous.jobs.report.maps import TURN_HINT, map_panel, slices
from vitreous.jobs.report.page import Charts, Drawing, KeyFigure, Page, Panel, Rows, Section, Text
from vitreous.jobs.results.class3d import Class3DFolder, read_class3d

__all__ = ["class3d_page"]

NOTHING = (
    "Nothing says that there is more than one structure: two halves of the particles, classified apart, do not come to "
    "the same classes.",
    "Maps and labels were written all the same, so that they can be looked at. Their differences are those of noise.",
)
NO_RESOLUTION = 900.0  # RELION's 999 is none


def class3d_page(folder: Path) -> Page:
    """The page of a finished ``class3d`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = read_class3d(folder), read_manifest(folder)
    summary = manifest.summary if manifest else {}
    there = bool(summary.get("found_classes", True))
    k, n = len(found.classes), len(found.number)
    words = f"{k} maps of {n:,} particles." if there else f"No evidence for {k} maps of {n:,} particles."
    return Page(
        kind="3D classification",
        headline=words,
        key_figures=_key_figures(found),
        sections=(_classes(found), _evidence(found), _particles(found), *_course(read_history(folder))),
        nothing_found=() if there else NOTHING,
    )


def _best(found: Class3DFolder) -> int:
    return int(found.starts.numbers("vtrBest").argmax())


def _key_figures(found: Class3DFolder) -> tuple[KeyFigure, ...]:
    best = _best(found)
    others = [value for i, value in enumerate(found.starts.numbers("vtrResultAgreement")) if i != best]
    sizes = found.table.numbers("vtrParticles")
    agreeing = f"{np.median(others):.2f}" if others else "a single start"
    return (
        ("classes", ", ".join(f"{size / max(sizes.sum(), 1):.0%}" for size in sizes), "of the particles"),
        (
            "evidence",
            f"{found.starts.numbers('vtrHeldOutEvidence')[best]:+.2f}",
            "nats per particle by which the K maps of the other half are better than its mean map",
        ),
        (
            "halves agree",
            f"{found.starts.numbers('vtrHalvesAgreement')[best]:.2f}",
            "adjusted Rand index of classes in own and other half: 1 the same, 0 chance",
        ),
        ("starts agree", agreeing, "adjusted Rand index with the result, median of the other starts"),
        ("probability", f"{found.probability.mean():.2f}", "of the class of a particle, mean"),
    )


def _classes(found: Class3DFolder) -> Section:
    panels: list[Panel] = []
    for number, one in enumerate(found.classes, start=1):
        size = int(found.table.numbers("vtrParticles")[number - 1])
        peak = found.table.numbers("vtrDifferencePeak")[number - 1]
        panels.append(
            Text(
                heading=f"Class {number}: {size:,} particles, {_resolution(found, number - 1)}",
                text=f"Difference from the other classes: up to {peak:.1f} standard deviations of its noise.",
            )
        )
        panels.append(
            map_panel(
                one.map, slices("Difference", one.difference.data), title=f"Surface of class {number}", what="Map"
            )
        )
    return Section(
        name="classes",
        title="Classes",
        hint=f"{TURN_HINT} Differences: of the class and the mean of the others, in standard deviations.",
        panels=(*panels, Charts(drawings=(("FSC of the half maps in the sphere", _fsc(found)),))),
    )


def _resolution(found: Class3DFolder, k: int) -> str:
    value = found.table.numbers("rlnEstimatedResolution")[k]
    return f"{value:.1f} Å" if value < NO_RESOLUTION else "no resolution"


def _fsc(found: Class3DFolder) -> str:
    lines = [
        Curve(x=one.frequency_per_A[1:], y=one.fsc[1:], style=f"c{i % 6}", name=f"class {i + 1}")
        for i, one in enumerate(found.classes)
    ]
    return curves(
        lines,
        x=frequency_axis(float(found.classes[0].frequency_per_A[-1])),
        y=fsc_axis(),
        title="Fourier shell correlation of the half maps of every class",
    )


def _evidence(found: Class3DFolder) -> Section:
    starts, best = found.starts, _best(found)
    rows = tuple(
        (
            f"{int(starts.numbers('vtrStart')[i])}",
            f"{starts.numbers('vtrHeldOutEvidence')[i]:+.3f}",
            f"{starts.numbers('vtrEvidenceSigmas')[i]:.1f}",
            f"{starts.numbers('vtrHalvesAgreement')[i]:.2f}",
            f"{starts.numbers('vtrResultAgreement')[i]:.2f}",
            "best" if i == best else "",
        )
        for i in range(len(starts))
    )
    panels: list[Panel] = [
        Rows(head=("start", "evidence", "standard errors", "halves agree", "with the result", ""), rows=rows)
    ]
    for i, common in enumerate(found.common):
        if i == best:
            continue
        head = (f"start {i + 1}", *(f"class {number}" for number in range(1, len(common) + 1)))
        body = tuple((f"its class {j + 1}", *(f"{value:,}" for value in row)) for j, row in enumerate(common))
        panels.append(Rows(head=head, rows=body))
    return Section(
        name="starts",
        title="Are there classes?",
        hint="Every start classifies two halves of the particles apart, and compares each particle with the maps of "
        "the other half, which it has no part in. Below: particles by the class that another start has put them in.",
        panels=tuple(panels),
    )


def _particles(found: Class3DFolder) -> Section:
    low = 1.0 / len(found.classes)
    drawing: Drawing = (
        "Probability of the class",
        histogram(
            found.probability,
            horizontal=axis(low, 1.0, "probability", widen=False),
            title="Particles by the probability of their class",
        ),
    )
    return Section(name="particles", title="Particles", panels=(Charts(drawings=(drawing,)),))


def _course(history: list[dict[str, Any]]) -> tuple[Section, ...]:
    passes = [entry for entry in history if entry.get("stage") in ("classes", "last")]
    if len(passes) < 2:
        return ()
    stages = sorted({(entry.get("start", 0)) for entry in passes})
    lines = []
    for start in stages:
        mine = [entry for entry in passes if entry.get("start", 0) == start]
        if len(mine) > 1:
            x = np.array([entry["pass"] for entry in mine], float)
            y = np.array([entry["changed_fraction"] for entry in mine], float)
            lines.append(Curve(x=x, y=y, style=f"c{start % 6}", name=f"start {start}" if start else "last stage"))
    if not lines:
        return ()
    drawing = curves(
        lines,
        x=axis(1.0, max(float(line.x[-1]) for line in lines), "pass", whole=True, widen=False),
        y=axis(0.0, max(0.01, *(float(line.y.max()) for line in lines)), "share"),
        title="Share of the particles that changed their class",
    )
    drawings = (("Share of the particles that changed their class", drawing),)
    return (Section(name="course", title="How it came about", panels=(Charts(drawings=drawings),)),)
