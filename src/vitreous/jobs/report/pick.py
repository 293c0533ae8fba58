"""The report of a ``pick`` job: picks on the pictures of micrographs, and their scores."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import histogram
from vitreous.jobs.report.page import Charts, Page, Rows, Section
from vitreous.jobs.results.pick import REASON, SIGNIFICANCE, WORDS, PickFolder, Shown, read_picks

__all__ = ["PickedPictures", "micrographs_section", "pick_page"]

MOST_ROWS = 200
REASONS = {
    "noise": "below the threshold",
    "edge": "too near to the edge",
    "overlap": "too near to a better one",
    "too_strong": "stronger than particles",
    "too_heavy": "heavier than particles",
    "too_weak": "weaker than particles",
    "too_light": "lighter than particles",
    "doubtful": "stands out much less than particles",
    "hot": "on a spot of hot pixels",
    "carbon": "on carbon",
}
NOTHING = (
    "No candidate stands out from noise.",
    "Is the pixel size right, and the diameter? Are particles dark in these micrographs (--no-invert-contrast if not)? "
    "Templates find more than a ball does.",
)


@dataclass(frozen=True, kw_only=True)
class PickedPicture:
    """A picture with circles: (x, y, score, reason) in pixels of the micrograph, reason "" for picks."""

    name: str
    address: str
    rows: int
    columns: int
    radius: float  # of the particle, in pixels of the micrograph
    circles: tuple[tuple[float, float, float, str], ...]


@dataclass(frozen=True, kw_only=True)
class PickedPictures:
    """Micrographs with their picks; a slider hides those with lower scores."""

    template: ClassVar[str] = "picks.html.j2"
    assets: ClassVar[tuple[str, ...]] = ("picks.css", "picks.js")
    pictures: tuple[PickedPicture, ...]
    lowest: float
    highest: float


def pick_page(folder: Path) -> Page:
    """The page of a finished ``pick`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = read_picks(folder), read_manifest(folder)
    summary = manifest.summary if manifest else {}
    used = found.micrographs.text(WORDS) == "none"
    counts = found.micrographs.numbers("vtrPicks")[used]
    picks, micrographs = len(found.picks), int(used.sum())
    typical = f"{np.median(counts):.0f}" if len(counts) else "none"
    failed = len(used) - micrographs
    return Page(
        kind="picking",
        headline=f"{picks:,} picks in {micrographs:,} micrographs.",
        key_figures=(
            ("picks", f"{picks:,}", "in picks.star"),
            ("per micrograph", typical, "median"),
            ("micrographs", f"{micrographs:,}", f"{failed:,} could not be used" if failed else "all could be used"),
            ("diameter", f"{summary.get('diameter_A', 0):g} Å", "of the particle"),
        ),
        sections=(micrographs_section(found), _scores(found), _table(found)),
        nothing_found=() if picks else NOTHING,
    )


def micrographs_section(found: PickFolder) -> Section:
    """Pictures with circles, and the slider."""
    scores = found.picks.numbers("rlnAutopickFigureOfMerit")
    panels = (
        PickedPictures(
            pictures=tuple(map(_picture, found.shown)),
            lowest=float(scores.min(initial=0.0)),
            highest=float(scores.max(initial=1.0)),
        ),
    )
    return Section(
        name="micrographs",
        title="Micrographs",
        hint="Picks are circled. Dashed circles were excluded: hover over one to see why. The slider shows what a "
        "higher threshold of the score would leave; a click on a picture makes it large.",
        panels=panels if found.shown else (),
    )


def _picture(shown: Shown) -> PickedPicture:
    circles = []
    for table, reasons in ((shown.picks, None), (shown.excluded, shown.excluded.text(REASON))):
        rows = zip(
            table.numbers("rlnCoordinateX").tolist(),
            table.numbers("rlnCoordinateY").tolist(),
            table.numbers("rlnAutopickFigureOfMerit").tolist(),
            [""] * len(table) if reasons is None else reasons.tolist(),
            strict=True,
        )
        circles += [(x, y, score, REASONS.get(why, why)) for x, y, score, why in rows if why != "noise"]
    return PickedPicture(
        name=shown.name,
        address="data:image/png;base64," + base64.b64encode(shown.png).decode(),
        rows=shown.shape[0],
        columns=shown.shape[1],
        radius=0.5 * shown.diameter_px,
        circles=tuple(circles),
    )


def _scores(found: PickFolder) -> Section:
    drawings = []
    for name, heading, label in (
        ("rlnAutopickFigureOfMerit", "Score", "score of the picks"),
        (SIGNIFICANCE, "Significance", "response in standard deviations of noise"),
    ):
        values = found.picks.numbers(name)
        if len(values):
            horizontal = axis(float(values.min()), float(max(values.max(), values.min() + 1e-3)), label)
            drawings.append((heading, histogram(values, horizontal=horizontal, title=heading, of="picks")))
    return Section(
        name="scores",
        title="Scores",
        hint="The score says how far a particle stands out from its surroundings, less what it costs to be unlike the "
        "other picks of its micrograph. The significance is what the threshold is for.",
        panels=(Charts(drawings=tuple(drawings)),) if drawings else (),
    )


def _table(found: PickFolder) -> Section:
    columns = [
        found.micrographs.text(name)
        for name in ("rlnMicrographName", "vtrPicks", "vtrThreshold", "vtrHotPixels", WORDS)
    ]
    rows = tuple(tuple(str(value) for value in row) for row in zip(*columns, strict=True))
    failed = [row for row in rows if row[-1] != "none"]
    shown = (*failed, *(row for row in rows if row[-1] == "none"))[:MOST_ROWS]
    few = "" if len(shown) == len(rows) else f" {len(shown)} of {len(rows):,} are shown, all are in micrographs.star."
    return Section(
        name="table",
        title="One by one",
        hint=f"Those that could not be used come first.{few}",
        panels=(Rows(head=("micrograph", "picks", "threshold", "hot pixels", "failure"), rows=shown),),
    )
