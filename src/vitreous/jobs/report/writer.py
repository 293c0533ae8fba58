"""A page as one HTML file that needs nothing else."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from vitreous.jobs.manifest import Manifest, now, read_manifest
from vitreous.jobs.report.page import Columns, Page, Panel
from vitreous.particles import write_text_atomic
from vitreous.version import __version__

__all__ = ["render", "write_page"]

LONG = 20  # numbers: a curve, of which there are drawings
UNITS = {"A": "Å", "A2": "Å²", "deg": "°", "rad": "rad", "px": "px", "kV": "kV", "um": "µm", "s": "s"}


def write_page(folder: str | Path, page: Page) -> Path:
    """Write ``report.html`` into the folder of a job, whole or not at all, and return its path."""
    path = Path(folder) / "report.html"
    write_text_atomic(path, render(folder, page))
    return path


def render(folder: str | Path, page: Page) -> str:
    """The HTML of a page, with what ``job.json`` of the folder says: messages, commands, settings, provenance."""
    path = Path(folder)
    manifest = read_manifest(path)
    assets = dict.fromkeys(["style.css", *_assets(panel for section in page.sections for panel in section.panels)])
    template = _environment().get_template("base.html.j2")
    return template.render(
        page=page,
        folder=str(path),
        styles=[_file(name) for name in assets if name.endswith(".css")],
        scripts=[_file(name) for name in assets if name.endswith(".js")],
        messages=[*page.notes, *(_with_unit(message) for message in (manifest.messages if manifest else ()))],
        commands=[run.command for run in manifest.runs] if manifest else [],
        tables=_provenance(manifest, _stages_of(path)),
        version=__version__,
        written=_clock(now()),
    )


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _file(name: str) -> str:
    """A template, style or script of the folder ``page``."""
    return (files("vitreous.jobs.report") / "page" / name).read_text(encoding="utf-8")


def _assets(panels: Iterable[Panel]) -> Iterator[str]:
    for panel in panels:
        yield from panel.assets
        if isinstance(panel, Columns):
            yield from _assets((*panel.left, *panel.right))


def _stages_of(path: Path) -> tuple[str, ...]:
    """The jobs within a job, by their folders."""
    return tuple(sorted(folder.parent.name for folder in path.glob("*/job.json")))


def _provenance(manifest: Manifest | None, stages: tuple[str, ...]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """(heading, rows) of settings and provenance. Figures of stages are in their own reports."""
    if manifest is None:
        return []
    runs = [
        (f"run {i}", f"{run.status}, {_clock(run.started)} to {_clock(run.ended) or 'unknown'}")
        for i, run in enumerate(manifest.runs, start=1)
    ]
    origin = [("input", ", ".join(manifest.inputs)), ("seed", manifest.seed), *runs]
    of_stages = tuple(f"{stage}_" for stage in stages)
    own = {name: value for name, value in manifest.summary.items() if not name.startswith(of_stages)}
    groups = [
        ("Settings", [(_named(name), _shown(value)) for name, value in manifest.settings.items()]),
        ("Data and result", [(_named(name), _shown(value, none="none")) for name, value in own.items()]),
        ("Run", [*origin, *manifest.machine.items()]),
        ("Versions", list(manifest.versions.items())),
    ]
    return [(heading, rows) for heading, rows in groups if rows]


def _clock(time: str | None) -> str:
    """An ISO time for reading: date, time, without the zone."""
    return time[:19].replace("T", " ") if time else ""


def _with_unit(message: str) -> str:
    """A message, which is ASCII for the terminal and the log, with Å instead of A after a number."""
    return re.sub(r"(?<=\d) ?A\b", " Å", message)


def _named(name: str) -> str:
    """A setting's name for reading, its unit in brackets."""
    stem, _, unit = name.rpartition("_")
    return (f"{stem} ({UNITS[unit]})" if stem and unit in UNITS else name).replace("_", " ")


def _shown(value: Any, *, none: str = "automatic") -> str:
    if value is None:
        return none
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > LONG and all(isinstance(number, float) for number in value):
        return f"{len(value)} values, in job.json"
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
