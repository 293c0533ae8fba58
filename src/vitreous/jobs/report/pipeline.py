"""The report of a ``run`` job: the stages, each with its own report, and what came out at the end."""

from pathlib import Path

from vitreous.jobs.class2d_folder import open_class2d_folder
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.initial_folder import read_initial
from vitreous.jobs.manifest import Manifest, read_manifest
from vitreous.jobs.report.images import data_address, show
from vitreous.jobs.report.maps import slices, write_page
from vitreous.jobs.report.reference import reference_panel
from vitreous.jobs.report.surface import surface_panel

__all__ = ["STAGES", "write_pipeline_report"]

STAGES = ("class2d", "deconvolve", "initial")
TITLES = dict(zip(STAGES, ("2D classification", "Deconvolution", "Initial model"), strict=True))


def write_pipeline_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a finished ``run`` folder from its stages, and return its path.

    Raises JobFolderError when a stage lacks its results.
    """
    path = Path(folder)
    manifest = read_manifest(path)
    if manifest is None:
        raise JobFolderError(f"{path} has no job.json: it is not the folder of `vitreous run`")
    model = read_initial(path / "initial")
    classes = open_class2d_folder(path / "class2d")
    chosen = set(manifest.summary.get("selected_classes", []))
    agreeing = manifest.summary.get("initial_restarts_agreeing", "?")
    return write_page(
        path,
        "run.html.j2",
        headline=(
            f"From {int(classes.population.sum()):,} particles to an initial model from {len(model.averages)} averages;"
            f" {agreeing} of {len(model.restarts)} restarts agree."
        ),
        stages=[
            (TITLES[name], f"{name}/report.html", _remark(stage))
            for name in STAGES
            if (stage := read_manifest(path / name)) is not None
        ],
        surface=surface_panel(model.mean.data, model.mean.pixel_size_A, title="Surface of the posterior mean"),
        slices=slices(model.mean.data),
        reference=reference_panel(path / "initial"),
        averages=[
            (k, data_address(show(average)), k in chosen, int(classes.population[k - 1]))
            for k, average in enumerate(classes.averages, start=1)
        ],
    )


def _remark(manifest: Manifest) -> str:
    seconds = manifest.summary.get("seconds")
    return manifest.status if seconds is None else f"{manifest.status}, {seconds:.0f} s"
