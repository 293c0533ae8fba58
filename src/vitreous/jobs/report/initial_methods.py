"""The part of an ``initial`` report about methods: their table, how their maps agree, a strip of pictures for each."""

from pathlib import Path

import numpy as np

from vitreous.jobs.report.page import Gallery, Panel, Rows, Section, Text, Tile, picture
from vitreous.jobs.results.methods import MethodRows, read_methods

__all__ = ["methods_section"]

HEAD = ("method", "score", "beyond chance", "correlation", "restarts share", "CPU s", "memory (MB)", "")
HINT = (
    "Score: how well averages that were left out agree with the model, between chance (0: the same averages in random "
    "orientations, or scrambled ones, whichever reach more) and full agreement (1). Beyond chance: the difference in "
    "standard errors. Restarts share: poses that other restarts have in common with the best one, beyond chance; "
    "nothing where there is a single one. "
    "Memory: the most that the process took meanwhile."
)
STRIP = ("xy slice", "xz slice", "yz slice", "average", "average", "average", "projection", "projection", "projection")


def methods_section(folder: Path) -> Section:
    """Empty where the model was made by a mixture."""
    found = read_methods(folder)
    return Section(name="methods", title="Methods", hint=HINT, panels=() if found is None else _panels(found))


def _panels(found: MethodRows) -> tuple[Panel, ...]:
    panels: list[Panel] = [Rows(head=HEAD, rows=tuple(_rows(found)))]
    if found.pairs:
        names = list(found.rows.text("vtrMethod"))
        panels += [
            Text(heading="Resolution at which two maps agree (Å, FSC 0.5; the better hand, * the other one)"),
            Rows(head=("", *names[1:]), rows=tuple(_matrix(found, names))),
        ]
    for name, strip in zip(found.rows.text("vtrMethod"), found.strips, strict=True):
        tiles = tuple(
            Tile(pictures=(picture(image, f"{name}: {what}", largest=96),), name=what)
            for what, image in zip(STRIP, strip, strict=True)
        )
        panels += [Text(heading=name), Gallery(tiles=tiles, small=True)]
    return tuple(panels)


def _rows(found: MethodRows) -> list[tuple[str, ...]]:
    table = found.rows
    names, chosen = table.text("vtrMethod"), table.numbers("vtrChosen")
    columns = [
        ("vtrScore", "{:.3f}"),
        ("vtrBeyondChance", "{:.1f}"),
        ("vtrHeldOutCorrelation", "{:.3f}"),
        ("vtrAgreementOfRestarts", "{:.0%}"),
        ("vtrCpuSeconds", "{:.1f}"),
        ("vtrPeakMegabytes", "{:.0f}"),
    ]
    figures = [
        [form.format(value) if np.isfinite(value) else "" for value in table.numbers(name)] for name, form in columns
    ]
    order = sorted(range(len(names)), key=lambda i: -table.numbers("vtrScore")[i])
    return [(names[i], *(column[i] for column in figures), "the model" if chosen[i] else "") for i in order]


def _matrix(found: MethodRows, names: list[str]) -> list[tuple[str, ...]]:
    """The upper triangle of all pairs."""
    value = {(a, b): text + "*" * (hand == "other") for a, b, text, hand in found.pairs}
    return [(a, *(value.get((a, b), "") for b in names[1:])) for a in names[:-1]]
