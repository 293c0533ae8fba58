"""The report of a ``run`` job: the stages, each with its own report, and what came out at the end."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import Manifest, read_manifest
from vitreous.jobs.report.maps import TURN_HINT, slices
from vitreous.jobs.report.page import Columns, Gallery, KeyFigure, Page, Panel, Section, Slices, Tile, picture
from vitreous.jobs.report.pick import micrographs_section
from vitreous.jobs.report.postprocess import half_map_sections
from vitreous.jobs.report.reference import reference_section
from vitreous.jobs.report.refine import refined_key_figures
from vitreous.jobs.report.selection import selection_section
from vitreous.jobs.report.stages import PageOf, stages_section
from vitreous.jobs.report.surface import surface
from vitreous.jobs.results.abinitio import read_abinitio
from vitreous.jobs.results.class2d import open_class2d_folder
from vitreous.jobs.results.initial import read_initial
from vitreous.jobs.results.isac import open_isac_folder
from vitreous.jobs.results.pick import read_picks
from vitreous.jobs.results.reference import REFINED_NAMES
from vitreous.jobs.results.refine import read_refined
from vitreous.particles import Volume

__all__ = ["ALIGNED_FILES", "ROUND", "STAGES", "pipeline_page"]

ROUND = ("ctf", "pick_first", "extract_first", "class2d_first", "pick", "extract")  # before STAGES, of micrographs
OF_ROUND = ("CTF", "Picks with a ball", "Their boxes", "Their classes", "Picks with averages", "Boxes")
STAGES = ("class2d", "isac", "deconvolve", "initial", "abinitio", "refine")
TITLES = ("2D classification", "ISAC", "Deconvolution", "Model from averages", "Model from particles", "Refinement")
ALIGNED_FILES = (REFINED_NAMES.aligned,)  # that a run writes beside its stages
HAND = "The hand of a map is not determined: images cannot tell it from its mirror image."


def pipeline_page(folder: Path, *, page_of: PageOf) -> Page:
    """The page of a finished ``run`` folder, from its stages. Raises JobFolderError when a stage lacks its results."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise JobFolderError(f"{folder} has no job.json: it is not the folder of `vitreous run`")
    done = [name for name in (*ROUND, *STAGES) if read_manifest(folder / name) is not None]
    first = "isac" if "isac" in done else "class2d"
    averages, population, particles = _classes(folder / first)
    selection = selection_section(folder / first, averages)
    figures, refined = _refined(folder, done)
    models = _models(folder, done)
    return Page(
        kind=f"from {_what(done)} to {'a map' if refined else 'an initial model'}",
        headline=_headline(particles, manifest, done),
        key_figures=figures,
        notes=(HAND,),
        sections=(
            stages_section(folder, dict(zip((*ROUND, *STAGES), (*OF_ROUND, *TITLES), strict=True)), page_of),
            *refined,
            reference_section(folder, REFINED_NAMES),
            *((models,) if models else ()),
            *((reference_section(folder / "initial"),) if "initial" in done and not refined else ()),
            selection or _averages(averages, population, set(manifest.summary.get("selected_classes", []))),
            *_round(folder, done),
        ),
        complete=False,
    )


def _what(done: list[str]) -> str:
    return "micrographs" if "pick" in done else "particles"


def _round(folder: Path, done: list[str]) -> tuple[Section, ...]:
    """Micrographs with what was picked in the end, and the classes that it was picked with."""
    if "pick" not in done:
        return ()
    averages, population, _ = _classes(folder / "class2d_first")
    templates = selection_section(folder / "class2d_first", averages) or _averages(averages, population, set())
    return (
        micrographs_section(read_picks(folder / "pick")),
        replace(templates, name="templates", title="Classes of the first picks"),
    )


def _classes(folder: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Averages (K, L, L) of the first stage, their populations (K,), and the number of particles it was given."""
    if folder.name == "isac":
        accepted = open_isac_folder(folder)
        return accepted.averages, accepted.population, accepted.particles
    classes = open_class2d_folder(folder)
    return classes.averages, classes.population, int(classes.population.sum())


def _headline(particles: int, manifest: Manifest, done: list[str]) -> str:
    said, start = manifest.summary, f"From {particles:,} particles to "
    if "pick" in done:
        start = f"From {said.get('pick_micrographs', 0):,} micrographs by {particles:,} particles to "
    if "refine" in done:
        claimed = said.get("refine_resolution_A")
        return start + (f"a map of {claimed:.2f} Å." if claimed else "a map of which no resolution is claimed.")
    agreeing = said.get("initial_restarts_agreeing", said.get("abinitio_starts_agreeing", "?"))
    return start + f"an initial model; {agreeing} random starts agree."


def _refined(folder: Path, done: list[str]) -> tuple[tuple[KeyFigure, ...], tuple[Section, ...]]:
    if "refine" not in done:
        return (), ()
    found, manifest = read_refined(folder / "refine"), read_manifest(folder / "refine")
    return refined_key_figures(found, manifest.summary if manifest else {}), half_map_sections(found.post)


def _models(folder: Path, done: list[str]) -> Section | None:
    """The first models, of particles and of averages."""
    found: list[tuple[str, Volume]] = []
    if "abinitio" in done:
        found.append(("From particles", read_abinitio(folder / "abinitio").volumes[0]))
    if "initial" in done:
        found.append(("From averages", read_initial(folder / "initial").mean))
    if not found:
        return None
    left, *right = [_model(what, volume) for what, volume in found]
    return Section(
        name="models",
        title="First models",
        hint=f"{TURN_HINT} Models of different origin lie in different frames, and may be of either hand.",
        panels=(Columns(left=left, right=tuple(panel for panels in right for panel in panels)),),
    )


def _model(what: str, volume: Volume) -> tuple[Panel, ...]:
    surface_of = surface(volume.data, volume.pixel_size_A, title=f"Surface: {what.lower()}")
    return surface_of, Slices(maps=(slices(what, volume.data),))


def _averages(averages: np.ndarray, population: np.ndarray, chosen: set[int]) -> Section:
    tiles = tuple(
        Tile(
            pictures=(picture(average, f"Class {k}", fade=True),),
            name=f"{k}",
            figure=f"{int(population[k - 1]):,}",
            pale=k not in chosen,
        )
        for k, average in enumerate(averages, start=1)
    )
    hint = "Those that were not used are pale."
    return Section(name="averages", title="Class averages", hint=hint, panels=(Gallery(tiles=tiles, small=True),))
