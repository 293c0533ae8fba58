"""The report: one HTML file that needs nothing else, written from a job folder alone."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

import vitreous
from vitreous.jobs.manifest import Manifest, now
from vitreous.jobs.report import view
from vitreous.jobs.report.content import ReportContent, read_content
from vitreous.particles import write_text_atomic

__all__ = ["clock", "provenance", "render", "write_report"]

LONG = 20  # numbers: a curve, of which there are drawings


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a finished ``class2d`` folder from the files there, and return its path.

    Raises
    ------
    JobFolderError
        When the folder lacks the results.
    """
    path = Path(folder) / "report.html"
    write_text_atomic(path, render(read_content(folder)))
    return path


def render(content: ReportContent) -> str:
    """The page for this content."""
    page = files("vitreous.jobs.report") / "page"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((page / "report.html.j2").read_text(encoding="utf-8"))
    classes = view.class_views(content)
    return template.render(
        style=(page / "style.css").read_text(encoding="utf-8"),
        script=(page / "report.js").read_text(encoding="utf-8"),
        data=view.script_data(content, classes),
        title=str(content.folder),
        headline=view.headline(content),
        key_figures=view.key_figures(content),
        found_signal=content.found_signal,
        messages=content.manifest.messages if content.manifest else (),
        classes=classes,
        example_resolution=view.example_resolution(content),
        overview=view.overview(content),
        convergence=view.convergence(content),
        populations=view.populations(content),
        distributions=view.distributions(content),
        noise=view.noise(content),
        commands=[run.command for run in content.manifest.runs] if content.manifest else [],
        tables=provenance(content.manifest),
        version=vitreous.__version__,
        written=clock(now()),
    ).lstrip()


def provenance(manifest: Manifest | None) -> list[tuple[str, list[tuple[str, Any]]]]:
    """(heading, rows) of settings and provenance."""
    if manifest is None:
        return []
    runs = [
        (f"run {i}", f"{run.status}, {clock(run.started)} to {clock(run.ended) or 'unknown'}")
        for i, run in enumerate(manifest.runs, start=1)
    ]
    origin = [("input", ", ".join(manifest.inputs)), ("seed", manifest.seed), *runs]
    groups = [
        ("Settings", [(_named(name), _shown(value)) for name, value in manifest.settings.items()]),
        ("Data and result", [(_named(name), _shown(value)) for name, value in manifest.summary.items()]),
        ("Run", [*origin, *manifest.machine.items()]),
        ("Versions", list(manifest.versions.items())),
    ]
    return [(heading, rows) for heading, rows in groups if rows]


def clock(time: str | None) -> str:
    """An ISO time for reading: date, time, without the zone."""
    return time[:19].replace("T", " ") if time else ""


def _named(name: str) -> str:
    """A setting's name for reading, its unit in brackets."""
    stem, _, unit = name.rpartition("_")
    units = {"A": "Å", "A2": "Å²", "deg": "°", "px": "px", "kV": "kV", "um": "µm", "s": "s"}
    return (f"{stem} ({units[unit]})" if stem and unit in units else name).replace("_", " ")


def _shown(value: Any) -> str:
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > LONG and all(isinstance(number, float) for number in value):
        return f"{len(value)} values, in job.json"
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
