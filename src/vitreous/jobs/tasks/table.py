"""The table of all jobs. Commands, functions and reports come from it; a job is imported when it is asked for."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitreous.jobs.task import Task

__all__ = ["TASKS", "Entry", "task_of", "write_report"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A job in the table: the module whose ``TASK`` it is, and what it does in a line."""

    module: str
    help: str


TASKS = {
    "run": Entry(
        module="vitreous.jobs.tasks.pipeline",
        help="From particles to a refined map: classes, their choice, a first model, refinement in one folder.",
    ),
    "ctf": Entry(
        module="vitreous.jobs.tasks.ctf",
        help="The CTF of micrographs, from the rings of their spectra: micrographs in, their list with it out.",
    ),
    "pick": Entry(
        module="vitreous.jobs.tasks.pick",
        help="Particles in micrographs, by a matched filter: micrographs in, coordinates out.",
    ),
    "extract": Entry(
        module="vitreous.jobs.tasks.extract",
        help="Boxes out of micrographs: picks or particles in, a stack of every micrograph and their table out.",
    ),
    "class2d": Entry(
        module="vitreous.jobs.tasks.class2d",
        help="2D classification: particles in, class averages and a report out.",
    ),
    "align": Entry(
        module="vitreous.jobs.tasks.align",
        help="Particles of one view aligned to one average, from several starts that are compared.",
    ),
    "isac": Entry(
        module="vitreous.jobs.tasks.isac",
        help="Iterative stable alignment and clustering: validated class averages, and the particles that make them.",
    ),
    "mra": Entry(
        module="vitreous.jobs.tasks.mra",
        help="Multi-reference alignment: K-means with alignment, free or in groups of equal size.",
    ),
    "model-bias": Entry(
        module="vitreous.jobs.tasks.model_bias",
        help="Model bias: what appears when pure noise is aligned to a reference.",
    ),
    "msa": Entry(
        module="vitreous.jobs.tasks.msa",
        help="Multivariate statistical analysis of aligned particles: eigenimages, factor maps, classes.",
    ),
    "stability": Entry(
        module="vitreous.jobs.tasks.stability",
        help="How stable the classes of a 2D classification are, aligned anew from random beginnings.",
    ),
    "deconvolve": Entry(
        module="vitreous.jobs.tasks.deconvolve",
        help="Non-negative averages without CTF from classified particles, masked.",
    ),
    "denoise": Entry(
        module="vitreous.jobs.tasks.denoise",
        help="Denoised images of all particles, free of the CTF.",
    ),
    "neighbours": Entry(
        module="vitreous.jobs.tasks.neighbours",
        help="Nearest neighbours of every particle, and averages of them.",
    ),
    "abinitio": Entry(
        module="vitreous.jobs.tasks.abinitio",
        help="Structures from particles of unknown pose, from random starts.",
    ),
    "initial": Entry(
        module="vitreous.jobs.tasks.initial",
        help="An initial model, with its uncertainty, from class averages of unknown views.",
    ),
    "reconstruct": Entry(
        module="vitreous.jobs.tasks.reconstruct",
        help="A map, with its uncertainty, from images whose poses are known.",
    ),
    "refine": Entry(
        module="vitreous.jobs.tasks.refine",
        help="Refinement: particles and a reference or poses in; half maps, a map and its resolution out.",
    ),
    "class3d": Entry(
        module="vitreous.jobs.tasks.class3d",
        help="3D classification: particles with poses in; K maps, and which particle shows which, out.",
    ),
    "postprocess": Entry(
        module="vitreous.jobs.tasks.postprocess",
        help="Resolution, mask, sharpened map and local resolution from two half maps.",
    ),
    "project": Entry(
        module="vitreous.jobs.tasks.project",
        help="Projections of a map: images with their poses.",
    ),
    "mixture": Entry(
        module="vitreous.jobs.tasks.mixture",
        help="A map, an image or points as a mixture of Gaussians: pseudo-atoms.",
    ),
}


def task_of(name: str) -> "Task[Any, Any, Any, Any]":
    """A job by its name. Raises KeyError."""
    task: Task[Any, Any, Any, Any] = import_module(TASKS[name].module).TASK
    return task


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into the folder of a finished job from the files there, and return its path.

    A folder without ``job.json`` that has files of a 2D classification is taken for one, such as another program may
    have made. Raises JobFolderError for a task without a report, and for what is no folder of a finished job.
    """
    from vitreous.jobs.folder import JobFolderError  # here, so that the table alone is cheap
    from vitreous.jobs.manifest import read_manifest
    from vitreous.jobs.report import write_page

    path = Path(folder)
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise JobFolderError(f"{path} {what}; expected the folder of a finished job")
    manifest = read_manifest(path)
    if manifest is None and not (path / "run_model.star").is_file():
        raise JobFolderError(f"{path} has no job.json: it is not the folder of a job")
    name = "class2d" if manifest is None else manifest.task
    if name not in TASKS:
        raise JobFolderError(f"{folder} is a {name} job, which has no report; those with one: {', '.join(TASKS)}")
    try:
        page = task_of(name).page(path)
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise JobFolderError(
            f"{path}: its files do not fit together ({type(error).__name__}: {error}); they are damaged or of another "
            "version, and the same job with --overwrite makes them anew"
        ) from error
    return write_page(folder, page)
