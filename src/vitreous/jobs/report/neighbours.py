"""The report of a ``neighbours`` job: examples, averages, classes, and how alike the neighbours are."""

import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np

import vitreous
from vitreous.jobs.class2d_folder import NO_RESOLUTION_A
from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import Manifest, now, read_manifest
from vitreous.jobs.neighbours_folder import NeighboursFolder, open_neighbours_folder
from vitreous.jobs.progress import describe_duration
from vitreous.jobs.report.images import data_address, low_pass, show
from vitreous.jobs.report.neighbours_charts import class_charts, convergence, neighbour_charts, spectra
from vitreous.jobs.report.writer import clock, provenance
from vitreous.particles import write_text_atomic

__all__ = ["write_neighbours_report"]

EXAMPLE_CYCLES = 10  # per box: single particles are shown without the frequencies that carry noise only


@dataclass(frozen=True, kw_only=True)
class _Tile:
    """A picture with words under it."""

    picture: str
    name: str
    figures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Example:
    """One particle: its pictures with their captions, and those of its neighbours."""

    particle: tuple[_Tile, ...]
    averages: tuple[_Tile, ...]
    neighbours: tuple[_Tile, ...]


def write_neighbours_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a finished ``neighbours`` folder from the files there, and return its path.

    Raises JobFolderError when the folder lacks the results.
    """
    found = open_neighbours_folder(folder)
    manifest, history = read_manifest(found.path), read_history(found.path)
    page = files("vitreous.jobs.report") / "page"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((page / "neighbours.html.j2").read_text(encoding="utf-8"))
    text = template.render(
        style=(page / "style.css").read_text(encoding="utf-8"),
        title=str(found.path),
        headline=_headline(found),
        key_figures=_key_figures(found, manifest),
        found_signal=_found_signal(manifest),
        messages=manifest.messages if manifest else (),
        examples=_examples(found),
        detail=_detail(found),
        averages=_averages(found),
        classes=_classes(found),
        neighbour_charts=neighbour_charts(found),
        class_charts=class_charts(found),
        convergence=convergence(history),
        spectra=spectra(found),
        commands=[run.command for run in manifest.runs] if manifest else [],
        tables=provenance(manifest),
        version=vitreous.__version__,
        written=clock(now()),
    ).lstrip()
    write_text_atomic(found.path / "report.html", text)
    return found.path / "report.html"


def _found_signal(manifest: Manifest | None) -> bool:
    return bool(manifest.summary.get("found_signal", True)) if manifest else True


def _headline(found: NeighboursFolder) -> str:
    """The result in one sentence."""
    k, used = found.figures["affinity_by_rank"].shape[1], int(found.weight.sum())
    good = found.resolution_A[np.isfinite(found.resolution_A)]
    words = f"{used:,} particles, each with its {k} nearest neighbours"
    return f"{words}; a typical average reaches {np.median(good):.1f} Å." if len(good) else f"{words}."


def _key_figures(found: NeighboursFolder, manifest: Manifest | None) -> list[tuple[str, str, str]]:
    """(name, figure, remark) for the head of the page."""
    used = found.weight > 0
    refused = int((~used).sum())
    figures = [("particles", f"{int(used.sum()):,}", f"{refused:,} more refused" if refused else "none refused")]
    figures.append(("neighbours", f"{found.figures['affinity_by_rank'].shape[1]}", "of every particle"))
    figures.append(("affinity", f"{found.affinity[used].mean():.2f}", "mean of all pairs"))
    good = found.resolution_A[np.isfinite(found.resolution_A)]
    if len(good):
        remark = f"median of {len(found.averages)} averages"
        figures.append(("typical resolution", f"{np.median(good):.1f} Å", remark))
    never = float((found.times_neighbour[used] == 0).mean())
    figures.append(("nobody's neighbour", f"{100 * never:.1f} %", "of the particles"))
    summary = manifest.summary if manifest else {}
    if summary.get("evidence") is not None:
        figures.append(("evidence", f"{summary['evidence']:.1f}", "nats per particle"))
    box = found.classes.shape[-1]
    figures.append(("box", f"{box} px", f"{found.pixel_size_A:.3g} Å per pixel"))
    if summary.get("seconds"):
        figures.append(("time", describe_duration(summary["seconds"]), "of the last run"))
    return figures


def _detail(found: NeighboursFolder) -> str:
    """The detail to which single particles are shown."""
    return f"{found.classes.shape[-1] * found.pixel_size_A / EXAMPLE_CYCLES:.0f} Å"


def _examples(found: NeighboursFolder) -> list[_Example]:
    """Every example with its pictures, from left to right."""
    given = found.examples
    if given is None:
        return []
    rows = []
    for i, particle in enumerate(given.particle):
        image = given.images[i].astype(np.float64)
        name, affinity = f"particle {particle + 1:,}", f"affinity {given.affinity[i]:.2f}"
        own = (
            _Tile(picture=data_address(show(image)), name=name, figures=("as recorded",)),
            _Tile(picture=_smooth(image), name=name, figures=("smoothed",)),
        )
        averages = tuple(
            _Tile(picture=data_address(show(average)), name=f"{size} neighbours", figures=(affinity,) * (s == last))
            for last in [len(given.sizes) - 1]
            for s, (size, average) in enumerate(zip(given.sizes, given.averages[i], strict=True))
        )
        others = tuple(
            _Tile(picture=_smooth(aligned), name=f"{j + 1:,}", figures=("mirrored",) * bool(mirrored))
            for j, mirrored, aligned in zip(
                given.neighbour[i], given.mirrored[i], given.neighbour_images[i], strict=True
            )
        )
        rows.append(_Example(particle=own, averages=averages, neighbours=others))
    return rows


def _smooth(image: np.ndarray) -> str:
    return data_address(show(low_pass(image.astype(np.float64), EXAMPLE_CYCLES), largest=128))


def _averages(found: NeighboursFolder) -> list[_Tile]:
    """Averages in the order of their affinity."""
    table = found.average_table["particles"]
    affinity, particle = table.numbers("vtrAffinity"), table.numbers("vtrParticle").astype(int)
    return [
        _Tile(
            picture=data_address(show(found.averages[i])),
            name=_resolution(found.resolution_A[i]),
            figures=(f"{affinity[i]:.2f}", f"{particle[i]:,}"),
        )
        for i in np.argsort(-affinity, kind="stable")
    ]


def _resolution(value: float) -> str:
    return f"{value:.1f} Å" if math.isfinite(value) and value < NO_RESOLUTION_A else "no signal"


def _classes(found: NeighboursFolder) -> list[_Tile]:
    """Classes in the order of their size."""
    order = np.argsort(-found.class_members, kind="stable")
    return [
        _Tile(picture=data_address(show(found.classes[k])), name=f"{found.class_members[k]:,.0f}", figures=())
        for k in order
    ]
