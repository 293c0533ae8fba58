"""The report of a ``neighbours`` job: examples, averages, classes, and how alike the neighbours are."""

import math
from pathlib import Path

import numpy as np

from vitreous.averages.neighbours import NeighbourExamples
from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import Manifest, read_manifest
from vitreous.jobs.progress import describe_duration
from vitreous.jobs.report.neighbours_charts import class_charts, convergence, neighbour_charts, spectra
from vitreous.jobs.report.page import Charts, Gallery, KeyFigure, Page, Picture, Section, Tile, TileRows, picture
from vitreous.jobs.results.class2d import NO_RESOLUTION_A
from vitreous.jobs.results.neighbours import NeighboursFolder, open_neighbours_folder
from vitreous.pictures import low_pass

__all__ = ["neighbours_page"]

EXAMPLE_CYCLES = 10  # per box: single particles are shown without the frequencies that carry noise only
NOTHING_FOUND = (
    "Averages of other particles explain a particle hardly better than the mean image of all does. This is what pure "
    "noise gives. Neighbours are then close to random, and what the averages show is noise.",
    "Worth checking: that the particles are centred, that the contrast is right (particles bright), the particle "
    "diameter, the pixel size and the CTF.",
)


def neighbours_page(folder: Path) -> Page:
    """The page of a finished ``neighbours`` folder. Raises JobFolderError when the folder lacks the results."""
    found = open_neighbours_folder(folder)
    manifest = read_manifest(found.path)
    return Page(
        kind="neighbours",
        headline=_headline(found),
        key_figures=tuple(_key_figures(found, manifest)),
        nothing_found=() if _found_signal(manifest) else NOTHING_FOUND,
        sections=(_example_section(found), _average_section(found), *_other_sections(found)),
    )


def _example_section(found: NeighboursFolder) -> Section:
    detail_A = found.classes.shape[-1] * found.pixel_size_A / EXAMPLE_CYCLES
    return Section(
        name="examples",
        title="Examples",
        hint="Particles drawn at random, those with the most alike neighbours first. Left: the particle, centred, as "
        f"it was recorded and smoothed to {detail_A:.0f} Å. Middle: average of the particle and its neighbours. "
        "Right: its nearest neighbours, aligned to it and smoothed.",
        panels=() if found.examples is None else (_examples(found.examples),),
    )


def _average_section(found: NeighboursFolder) -> Section:
    return Section(
        name="averages",
        title="Averages",
        hint="Of particles as unlike each other as possible, by the mean affinity of their neighbours. Under each: its "
        "resolution (FRC 0.143 of its halves), the number of the particle, the mean affinity.",
        panels=(_averages(found),) if len(found.averages) else (),
    )


def _other_sections(found: NeighboursFolder) -> tuple[Section, ...]:
    passes = tuple(convergence(read_history(found.path)))
    return (
        Section(
            name="neighbours",
            title="Neighbours",
            hint="Affinity is the overlap of what two particles may show, 1 where the classes cannot tell them apart.",
            panels=(Charts(drawings=tuple(neighbour_charts(found))),),
        ),
        Section(
            name="classes",
            title="Classes",
            hint="Averages that every particle was compared with, and the particles in them (first classification). "
            "A class stands for a view and for its mirror image.",
            panels=(_classes(found), Charts(drawings=tuple(class_charts(found)))),
        ),
        Section(name="convergence", title="Convergence", panels=(Charts(drawings=passes),) if passes else ()),
        Section(
            name="spectra",
            title="Spectra",
            hint="Variances are those of the clean images, in units of the noise of a background pixel.",
            panels=(Charts(drawings=tuple(spectra(found))),),
        ),
    )


def _found_signal(manifest: Manifest | None) -> bool:
    return bool(manifest.summary.get("found_signal", True)) if manifest else True


def _headline(found: NeighboursFolder) -> str:
    """The result in one sentence."""
    k, used = found.figures["affinity_by_rank"].shape[1], int(found.weight.sum())
    good = found.resolution_A[np.isfinite(found.resolution_A)]
    words = f"{used:,} particles, each with its {k} nearest neighbours"
    return f"{words}; a typical average reaches {np.median(good):.1f} Å." if len(good) else f"{words}."


def _key_figures(found: NeighboursFolder, manifest: Manifest | None) -> list[KeyFigure]:
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
    figures.append(("never a neighbour", f"{100 * never:.1f} %", "of the particles, of any other"))
    summary = manifest.summary if manifest else {}
    if summary.get("evidence") is not None:
        figures.append(("evidence", f"{summary['evidence']:.1f}", "nats per particle"))
    box = found.classes.shape[-1]
    figures.append(("box", f"{box} px", f"{found.pixel_size_A:.3g} Å per pixel"))
    if summary.get("seconds"):
        figures.append(("time", describe_duration(summary["seconds"]), "of the last run"))
    return figures


def _examples(given: NeighbourExamples) -> TileRows:
    """Every example: the particle, averages with its neighbours, and the neighbours, from left to right."""
    rows = []
    for i, particle in enumerate(given.particle):
        image, name = given.images[i].astype(np.float64), f"particle {particle + 1:,}"
        own = (
            Tile(pictures=(picture(image, f"{name} as recorded", fade=True),), name=name, notes=("as recorded",)),
            Tile(pictures=(_smooth(image, f"{name} smoothed"),), name=name, notes=("smoothed",)),
        )
        averages = tuple(
            Tile(
                pictures=(picture(average, f"{name} averaged with {size} neighbours", fade=True),),
                name=f"{size} neighbours",
                notes=(f"affinity {given.affinity[i]:.2f}",) if size == given.sizes[-1] else (),
            )
            for size, average in zip(given.sizes, given.averages[i], strict=True)
        )
        others = tuple(
            Tile(
                pictures=(_smooth(aligned, f"neighbour {j + 1} of {name}"),),
                name=f"{j + 1:,}",
                notes=("mirrored",) if mirrored else (),
            )
            for j, mirrored, aligned in zip(
                given.neighbour[i], given.mirrored[i], given.neighbour_images[i], strict=True
            )
        )
        rows.append((("Particle", own), ("Average with", averages), ("Nearest neighbours", others)))
    return TileRows(rows=tuple(rows))


def _smooth(image: np.ndarray, alt: str) -> Picture:
    return picture(low_pass(image.astype(np.float64), EXAMPLE_CYCLES), alt, largest=128, fade=True)


def _averages(found: NeighboursFolder) -> Gallery:
    """Averages in the order of their affinity."""
    table = found.average_table["particles"]
    affinity, particle = table.numbers("vtrAffinity"), table.numbers("vtrParticle").astype(int)
    return Gallery(
        tiles=tuple(
            Tile(
                pictures=(picture(found.averages[i], f"Average of particle {particle[i]:,}", fade=True),),
                name=_resolution(found.resolution_A[i]),
                figure=f"{particle[i]:,}",
                notes=(f"affinity {affinity[i]:.2f}",),
            )
            for i in np.argsort(-affinity, kind="stable")
        )
    )


def _resolution(value: float) -> str:
    return f"{value:.1f} Å" if math.isfinite(value) and value < NO_RESOLUTION_A else "no signal"


def _classes(found: NeighboursFolder) -> Gallery:
    """Classes in the order of their size."""
    size = found.class_members
    return Gallery(
        tiles=tuple(
            Tile(
                pictures=(picture(found.classes[k], f"Class of {size[k]:,.0f} particles", fade=True),),
                name=f"{size[k]:,.0f}",
            )
            for k in np.argsort(-size, kind="stable")
        ),
        small=True,
    )
