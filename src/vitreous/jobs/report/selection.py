"""What a selection has kept of the classes of a job, and why the others went, with their pictures."""

from pathlib import Path

import numpy as np

from vitreous.averages.class_choice import REASONS
from vitreous.jobs.report.page import Gallery, Page, Panel, Section, Text, Tile, picture
from vitreous.jobs.results.selection import Selection, read_selection
from vitreous.words import counted

__all__ = ["selection_page", "selection_section"]

OTHER = "did not fulfil the other conditions"


def selection_section(folder: Path, averages: np.ndarray) -> Section | None:
    """The section for a folder with ``class_selection.star``, else None; averages: (K, L, L) of all its classes."""
    found = read_selection(folder)
    if found is None or len(found.kept) != len(averages):
        return None
    panels: list[Panel] = []
    for name in (*REASONS, "other condition"):
        numbers = found.of(name)
        if numbers:
            panels += [
                Text(heading=f"{_capital(REASONS.get(name, OTHER))}: {_counted(numbers, found)}"),
                Gallery(tiles=tuple(_tile(k, found, averages) for k in numbers)),
            ]
    kept = (np.flatnonzero(found.kept) + 1).tolist()
    panels += [
        Text(heading=f"Kept: {_counted(kept, found)}"),
        Gallery(tiles=tuple(_tile(k, found, averages) for k in kept), small=True),
    ]
    hint = (
        "Why classes went. Signal is what a class explains of one of its particles, in nats; it does not depend on the "
        "size of the class."
    )
    return Section(name="selection", title="Selection", hint=hint, panels=tuple(panels))


def selection_page(folder: Path, averages: np.ndarray) -> Page:
    """A page for the folder of a selection from classes of another program."""
    found = read_selection(folder)
    section = selection_section(folder, averages)
    if found is None or section is None:
        raise ValueError(f"{folder} has no selection that fits {len(averages)} averages")
    return Page(
        kind="selection of classes",
        headline=f"{int(found.kept.sum())} of {len(found.kept)} classes are worth keeping.",
        sections=(section,),
    )


def _tile(number: int, found: Selection, averages: np.ndarray) -> Tile:
    words = found.words[number - 1]
    return Tile(
        pictures=(picture(averages[number - 1], f"Class {number}"),),
        name=f"{number}",
        figure=f"{int(found.population[number - 1]):,}",
        notes=tuple(words.split("; ")) if words else (f"signal {found.signal[number - 1]:.0f}",),
    )


def _counted(numbers: list[int], found: Selection) -> str:
    particles = int(found.population[np.array(numbers, int) - 1].sum())
    return f"{counted(len(numbers), 'class')}, {counted(particles, 'particle')}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
