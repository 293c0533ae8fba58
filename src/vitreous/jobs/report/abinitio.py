"""The report of an ``abinitio`` job: volumes, agreement of starts, evidence by pass, viewing directions."""

from pathlib import Path

import numpy as np

from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.maps import TURN_HINT, directions_chart, map_panel
from vitreous.jobs.report.page import Charts, Drawing, KeyFigure, Page, Panel, Rows, Section, Text
from vitreous.jobs.results.abinitio import AbinitioFolder, read_abinitio

__all__ = ["abinitio_page"]

MOST_DIRECTIONS = 2000  # dots on the sphere
START_HEAD = (
    "start",
    "evidence",
    "behind the best",
    "poses as in the best",
    "by chance",
    "symmetry",
    "hand",
    "passes",
    "particles",
    "",
)


def abinitio_page(folder: Path) -> Page:
    """The page of a finished ``abinitio`` folder. Raises JobFolderError when the folder lacks the results."""
    found = read_abinitio(folder)
    stem = "abinitio" if len(found.volumes) == 1 else "abinitio_volume1"
    return Page(
        kind="ab initio",
        headline=_headline(folder, found),
        key_figures=tuple(_key_figures(folder, found)),
        notes=(
            "The hand is not determined: particles cannot tell this structure from its mirror image. "
            f"{stem}.mrc and {stem}_other_hand.mrc explain them equally well.",
        ),
        sections=(
            Section(name="volumes", title="Volumes", hint=TURN_HINT, panels=_volumes(found)),
            Section(
                name="starts",
                title="Starts",
                hint="Every start begins with random poses. Evidence is that of particles which no start has used, in "
                "nats per image. Two starts agree when one rotation (or one rotation and a reflection) takes at least "
                "half of the poses of the one to those of the other, beyond what it would if poses belonged to other "
                "images.",
                panels=(
                    Rows(head=START_HEAD, rows=tuple(_start_rows(found))),
                    Charts(drawings=tuple(_traces(folder))),
                ),
            ),
            Section(name="views", title="Views", panels=(Charts(drawings=_views(found)),)),
        ),
    )


def _volumes(found: AbinitioFolder) -> tuple[Panel, ...]:
    panels: list[Panel] = []
    several = len(found.volumes) > 1
    for number, volume in enumerate(found.volumes, start=1):
        if several:
            share = float((found.poses.volume == number - 1).mean())
            panels.append(Text(heading=f"Volume {number}: {share:.0%} of the particles"))
        title = f"Surface of volume {number}" if several else "Surface"
        panels.append(map_panel(volume, title=title, what="Map"))
    return tuple(panels)


def _agreeing(found: AbinitioFolder) -> int:
    return int(found.starts.numbers("vtrAgrees").sum())


def _headline(folder: Path, found: AbinitioFolder) -> str:
    manifest, starts, agreeing = read_manifest(folder), len(found.starts), _agreeing(found)
    count = len(found.volumes)
    text = f"{'A structure' if count == 1 else f'{count} structures'} from {len(found.poses):,} particles"
    if manifest and manifest.summary.get("found_signal") is False:
        return "Nothing was found: unseen particles match these maps no better than noise does."
    settled = found.starts.numbers("vtrSettled")[found.starts.numbers("vtrBest") > 0].all()
    unfinished = "" if settled else " It is not finished: poses were still moving at the end."
    if starts == 1:
        return f"{text}; a single start, so that nothing says whether it is reproducible.{unfinished}"
    if agreeing == 1:
        return f"{text}; not reproducible: none of the other starts agrees with it.{unfinished}"
    return f"{text}; {agreeing} of {starts} starts agree.{unfinished}"


def _key_figures(folder: Path, found: AbinitioFolder) -> list[KeyFigure]:
    manifest = read_manifest(folder)
    summary = manifest.summary if manifest else {}
    first = found.volumes[0]
    figures = [
        ("starts that agree", f"{_agreeing(found)} of {len(found.starts)}", "with the best one, the best one included"),
        ("particles", f"{len(found.poses):,}", f"of {found.particles:,}; symmetry {summary.get('symmetry', '?')}"),
        ("best pose", f"{found.max_probability.mean():.2f}", "its probability, mean"),
        ("map", f"{len(first.data)}³", f"{first.pixel_size_A:.2f} Å per pixel"),
    ]
    if "finest_resolution_A" in summary:
        figure = f"{summary['finest_resolution_A']:.0f} Å"
        figures.insert(2, ("searched to", figure, "a limit of the search, not a resolution of the map"))
    if "symmetry_merit" in summary:
        rivals = ", ".join(f"{name} {max(merit, 0):.0%}" for name, merit in summary["symmetry_rivals"].items())
        more = "of the detail of the map before it was imposed, beyond chance"
        figure = f"{summary['symmetry']} {max(summary['symmetry_merit'], 0):.0%}"
        figures.append(("symmetry", figure, f"{more}; others: {rivals}" if rivals else more))
    return figures


def _start_rows(found: AbinitioFolder) -> list[tuple[str, ...]]:
    table = found.starts
    evidence = table.numbers("vtrHeldOutEvidence")
    rows: list[tuple[str, ...]] = []
    for i in np.argsort(-evidence, kind="stable"):
        behind, error = evidence.max() - evidence[i], table.numbers("vtrBehindError")[i]
        agrees, best = table.numbers("vtrAgrees")[i] > 0, table.numbers("vtrBest")[i] > 0
        hand = "the other" if table.numbers("vtrOtherHand")[i] > 0 else "the same"
        ending = "" if table.numbers("vtrSettled")[i] > 0 else "; not finished"
        rows.append(
            (
                f"{int(table.numbers('vtrStart')[i])}",
                f"{evidence[i]:.2f}",
                "" if best else f"{behind:.2f} ± {error:.2f}",
                f"{table.numbers('vtrAgreeingFraction')[i]:.0%}",
                f"{table.numbers('vtrAgreeingByChance')[i]:.0%}",
                str(table["vtrSymmetry"][i]),
                hand if agrees else "",
                f"{int(table.numbers('vtrPasses')[i])}",
                f"{int(table.numbers('vtrParticles')[i]):,}",
                ("best" if best else "agrees" if agrees else "another structure") + ending,
            )
        )
    return rows


def _traces(folder: Path) -> list[Drawing]:
    history = read_history(folder)
    starts = sorted({entry["start"] for entry in history})
    drawings = []
    for key, heading in (
        ("log_likelihood", "Evidence by pass (nats per particle)"),
        ("moved_fraction", "Share of poses that moved"),
    ):
        lines = []
        for start in starts:
            mine = [entry for entry in history if entry["start"] == start]
            if len(mine) > 1:
                x = np.array([entry["pass"] for entry in mine], float)
                y = np.array([entry[key] for entry in mine], float)
                lines.append(Curve(x=x, y=y, style=f"c{(start - 1) % 6}", name=f"start {start}"))
        if lines:
            low, high = (f(line.y.min() if f is min else line.y.max() for line in lines) for f in (min, max))
            last = max(line.x[-1] for line in lines)
            drawing = curves(
                lines,
                x=axis(1.0, float(last), "pass", whole=True, widen=False),
                y=axis(min(0.0, float(low)), float(high), "", count=4),
                title=heading,
            )
            drawings.append((heading, drawing))
    return drawings


def _views(found: AbinitioFolder) -> tuple[Drawing, ...]:
    shown = found.poses.rotation[:: max(1, len(found.poses) // MOST_DIRECTIONS)]
    return (("Viewing directions", directions_chart(shown)),)
