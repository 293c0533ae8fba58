"""The report of a ``deconvolve`` job: averages before, after and masked, side by side."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np

import vitreous
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import now, read_manifest
from vitreous.jobs.report.images import data_address, show
from vitreous.jobs.report.writer import clock, provenance
from vitreous.particles import open_stack, read_star, write_text_atomic

__all__ = ["write_deconvolve_report"]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One average as the page shows it."""

    number: int
    population: int
    pictures: dict[str, str]  # what it shows -> address


def write_deconvolve_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a finished ``deconvolve`` folder from the files there, and return its path.

    Raises JobFolderError when the folder lacks the results.
    """
    path = Path(folder)
    if not (path / "deconvolved.star").is_file():
        raise JobFolderError(f"{path} has no deconvolved.star: it is not the folder of a finished deconvolution")
    page = files("vitreous.jobs.report") / "page"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((page / "deconvolve.html.j2").read_text(encoding="utf-8"))
    manifest, rows = read_manifest(path), _rows(path)
    text = template.render(
        style=(page / "style.css").read_text(encoding="utf-8"),
        title=str(path),
        rows=rows,
        particles=sum(row.population for row in rows),
        messages=manifest.messages if manifest else (),
        commands=[run.command for run in manifest.runs] if manifest else [],
        tables=provenance(manifest),
        version=vitreous.__version__,
        written=clock(now()),
    )
    write_text_atomic(path / "report.html", text)
    return path / "report.html"


def _rows(path: Path) -> list[_Row]:
    table = read_star(path / "deconvolved.star")["particles"]
    names = {"before": "_plain", "deconvolved": "_unmasked", "masked": ""}
    stacks = {what: open_stack(path / f"deconvolved{name}.mrcs") for what, name in names.items()}
    rows = []
    for i, (number, population) in enumerate(zip(table["rlnClassNumber"], table["vtrPopulation"], strict=True)):
        images = {what: stack.read(np.array([i]))[0] for what, stack in stacks.items()}
        pictures = {what: data_address(show(image, fade=False)) for what, image in images.items()}
        rows.append(_Row(number=int(number), population=int(population), pictures=pictures))
    return rows
