"""The report of a ``class2d`` job: the averages, to be looked at and selected by clicking, and how they were found."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from vitreous.jobs.report import class2d_view as view
from vitreous.jobs.report.class2d_bias import noise_alone, noise_alone_chart, noise_alone_words
from vitreous.jobs.report.class2d_content import ReportContent, read_content
from vitreous.jobs.report.class2d_view import ClassView
from vitreous.jobs.report.page import Charts, Page, Section, Text
from vitreous.jobs.report.selection import selection_section

__all__ = ["ClassPicker", "class2d_page"]

NOTHING_FOUND = (
    "No class shows a signal that its two halves share beyond the first Fourier shells. This is what pure noise gives. "
    "What the averages show below is noise aligned to itself; it must not be interpreted or used as a reference.",
    "Worth checking: that the particles are where the coordinates say, that the contrast is right (particles bright), "
    "the particle diameter and the pixel size.",
)


@dataclass(frozen=True, kw_only=True)
class ClassPicker:
    """The averages with check boxes, the bar that shows what is selected, and the details of every class."""

    template: ClassVar[str] = "class_picker.html.j2"
    assets: ClassVar[tuple[str, ...]] = ("class_picker.css", "class_picker.js")
    folder: Path
    classes: tuple[ClassView, ...]
    example_resolution: str

    @property
    def data(self) -> dict[str, Any]:
        """What the script needs."""
        return {
            "command": f"vitreous select {shlex.quote(str(self.folder))}",
            "classes": [{"number": c.number, "n": c.population, "resolution": c.resolution_A} for c in self.classes],
        }


def class2d_page(folder: Path) -> Page:
    """The page of a finished ``class2d`` folder. Raises JobFolderError when the folder lacks the results."""
    content = read_content(folder)
    noise = view.noise(content)
    noise_drawings = [("Noise spectra, relative to their mean", noise)] if noise else []
    return Page(
        kind="2D classification",
        headline=view.headline(content),
        key_figures=tuple(view.key_figures(content)),
        nothing_found=() if content.found_signal else NOTHING_FOUND,
        sections=(
            _classes(content),
            *(section for section in (selection_section(folder, content.averages),) if section is not None),
            _quality(content),
            _convergence(content),
            _charts("particles", [*view.distributions(content), *noise_drawings]),
        ),
    )


def _classes(content: ReportContent) -> Section:
    picker = ClassPicker(
        folder=content.folder,
        classes=tuple(view.class_views(content)),
        example_resolution=view.example_resolution(content),
    )
    hint = "A click on an average selects its class; the figures below it open the details."
    return Section(name="classes", title="Classes", hint=hint, panels=(picker,))


def _quality(content: ReportContent) -> Section:
    """Charts of the classes, and how much of them could be aligned noise."""
    drawings, noise = view.overview(content), noise_alone(content)
    if noise is None:
        return _charts("quality", drawings)
    charts = Charts(drawings=(*drawings, noise_alone_chart(noise, content)))
    return Section(name="quality", title="Quality", panels=(Text(text=noise_alone_words(noise)), charts))


def _charts(name: str, drawings: list[tuple[str, str]]) -> Section:
    panels = (Charts(drawings=tuple(drawings)),) if drawings else ()
    return Section(name=name, title=name.capitalize(), panels=panels)


def _convergence(content: ReportContent) -> Section:
    drawings, populations = view.convergence(content), view.populations(content)
    wide = (("Class populations", populations),) if populations else ()
    panels = (Charts(drawings=tuple(drawings), wide=wide),) if drawings or wide else ()
    return Section(name="convergence", title="Convergence", panels=panels)
