"""The report of a ``run`` job: the stages, each with its own report, and what came out at the end."""

from pathlib import Path

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import Manifest, read_manifest
from vitreous.jobs.report.maps import TURN_HINT, map_panel
from vitreous.jobs.report.page import Gallery, Links, Page, Section, Tile, picture
from vitreous.jobs.report.reference import reference_section
from vitreous.jobs.results.class2d import Class2DFolder, open_class2d_folder
from vitreous.jobs.results.initial import read_initial

__all__ = ["STAGES", "pipeline_page"]

STAGES = ("class2d", "deconvolve", "initial")
TITLES = dict(zip(STAGES, ("2D classification", "Deconvolution", "Initial model"), strict=True))


def pipeline_page(folder: Path) -> Page:
    """The page of a finished ``run`` folder, from its stages. Raises JobFolderError when a stage lacks its results."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise JobFolderError(f"{folder} has no job.json: it is not the folder of `vitreous run`")
    model = read_initial(folder / "initial")
    classes = open_class2d_folder(folder / "class2d")
    agreeing = manifest.summary.get("initial_restarts_agreeing", "?")
    return Page(
        kind="from particles to an initial model",
        headline=f"From {int(classes.population.sum()):,} particles to an initial model from {len(model.averages)} "
        f"averages; {agreeing} of {len(model.restarts)} restarts agree.",
        notes=("The hand of the model is not determined: averages cannot tell it from its mirror image.",),
        sections=(
            _stages(folder),
            Section(name="model", title="Model", hint=TURN_HINT, panels=(map_panel(model.mean),)),
            reference_section(folder / "initial"),
            _averages(classes, set(manifest.summary.get("selected_classes", []))),
        ),
        complete=False,
    )


def _stages(folder: Path) -> Section:
    links = tuple(
        (TITLES[name], f"{name}/report.html", _remark(stage))
        for name in STAGES
        if (stage := read_manifest(folder / name)) is not None
    )
    hint = "Every stage has its own report, in its sub-folder."
    return Section(name="stages", title="Stages", hint=hint, panels=(Links(links=links),))


def _averages(classes: Class2DFolder, chosen: set[int]) -> Section:
    tiles = tuple(
        Tile(
            pictures=(picture(average, f"Class {k}", fade=True),),
            name=f"{k}",
            figure=f"{int(classes.population[k - 1]):,}",
            pale=k not in chosen,
        )
        for k, average in enumerate(classes.averages, start=1)
    )
    hint = "Those that were not used are pale."
    return Section(name="averages", title="Class averages", hint=hint, panels=(Gallery(tiles=tiles, small=True),))


def _remark(manifest: Manifest) -> str:
    seconds = manifest.summary.get("seconds")
    return manifest.status if seconds is None else f"{manifest.status}, {seconds:.0f} s"
