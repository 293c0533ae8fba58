"""The table of all jobs, and the only list of them: commands, functions, reports and ``vitreous.load`` come from it.

A job is imported when it is asked for.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitreous.jobs.task import Task

__all__ = ["IMAGES", "MAPS", "MICROGRAPHS", "TASKS", "WHOLE", "Entry", "task_of", "write_report"]

# Of commands in the help, in the order of a project.
WHOLE, MICROGRAPHS, IMAGES, MAPS = "The whole way", "Micrographs", "Particle images and classes", "Models and maps"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A job in the table.

    module: where its ``TASK`` is; help: what it does, in a line; group: of the commands in the help; example: what may
    stand behind the name of the command; reader: ``module:function`` that reads the folder of a finished job, given the
    folder, and its manifest where it takes a second argument (none: it is not read back); particles: the table of
    particles, or images, that it leaves.
    """

    module: str
    help: str
    group: str = IMAGES
    example: str = ""
    reader: str = ""
    particles: str = ""


TASKS = {
    "run": Entry(
        module="vitreous.jobs.tasks.pipeline",
        help="From particles to a refined map: classes, their choice, a first model, refinement in one folder.",
        group=WHOLE,
        example="particles.star -o out",
        reader="vitreous.face.read_run:read_run",
    ),
    "ctf": Entry(
        module="vitreous.jobs.tasks.ctf",
        help="The CTF of micrographs, from the rings of their spectra: micrographs in, their list with it out.",
        group=MICROGRAPHS,
        example='"mics/*.mrc" -o ctf --voltage 300 --cs 2.7',
        reader="vitreous.jobs.results.ctf:read_ctf",
    ),
    "pick": Entry(
        module="vitreous.jobs.tasks.pick",
        help="Particles in micrographs, by a matched filter: micrographs in, coordinates out.",
        group=MICROGRAPHS,
        example="ctf/micrographs_ctf.star -o picks --diameter-A 250",
        reader="vitreous.jobs.results.pick:read_picks",
    ),
    "extract": Entry(
        module="vitreous.jobs.tasks.extract",
        help="Boxes out of micrographs: picks or particles in, a stack of every micrograph and their table out.",
        group=MICROGRAPHS,
        example="picks -o particles --box 256",
        reader="vitreous.jobs.results.extract:read_extract",
        particles="particles.star",
    ),
    "class2d": Entry(
        module="vitreous.jobs.tasks.class2d",
        help="2D classification: particles in, class averages and a report out.",
        group=IMAGES,
        example="particles.star -o classes --classes 50",
        reader="vitreous.face.read_2d:read_classes",
        particles="run_data.star",
    ),
    "align": Entry(
        module="vitreous.jobs.tasks.align",
        help="Particles of one view aligned to one average, from several starts that are compared.",
        group=IMAGES,
        example="particles.star -o aligned",
        reader="vitreous.face.read_2d:read_aligned",
        particles="aligned.star",
    ),
    "isac": Entry(
        module="vitreous.jobs.tasks.isac",
        help="Iterative stable alignment and clustering: validated class averages, and the particles that make them.",
        group=IMAGES,
        example="particles.star -o isac --img-per-grp 100",
        reader="vitreous.face.read_2d:read_isac",
        particles="isac_data.star",
    ),
    "mra": Entry(
        module="vitreous.jobs.tasks.mra",
        help="Multi-reference alignment: K-means with alignment, free or in groups of equal size.",
        group=IMAGES,
        example="particles.star -o groups --classes 20",
        reader="vitreous.face.read_2d:read_classes",
        particles="run_data.star",
    ),
    "model-bias": Entry(
        module="vitreous.jobs.tasks.model_bias",
        help="Model bias: what appears when pure noise is aligned to a reference.",
        group=IMAGES,
        example="reference.mrc -o bias",
        reader="vitreous.jobs.results.model_bias:open_model_bias_folder",
    ),
    "msa": Entry(
        module="vitreous.jobs.tasks.msa",
        help="Multivariate statistical analysis of aligned particles: eigenimages, factor maps, classes.",
        group=IMAGES,
        example="aligned -o factors",
        reader="vitreous.jobs.results.msa:open_msa_folder",
        particles="run_data.star",
    ),
    "stability": Entry(
        module="vitreous.jobs.tasks.stability",
        help="How stable the classes of a 2D classification are, aligned anew from random beginnings.",
        group=IMAGES,
        example="classes -o stability",
        reader="vitreous.face.read_2d:read_stability",
        particles="stability_data.star",
    ),
    "deconvolve": Entry(
        module="vitreous.jobs.tasks.deconvolve",
        help="Non-negative averages without CTF from classified particles, masked.",
        group=IMAGES,
        example="classes -o averages",
        reader="vitreous.face.read_2d:read_deconvolved",
        particles="deconvolved.star",
    ),
    "denoise": Entry(
        module="vitreous.jobs.tasks.denoise",
        help="Denoised images of all particles, free of the CTF.",
        group=IMAGES,
        example="particles.star -o denoised",
        reader="vitreous.face.read_2d:read_denoised",
        particles="denoised.star",
    ),
    "neighbours": Entry(
        module="vitreous.jobs.tasks.neighbours",
        help="Nearest neighbours of every particle, and averages of them.",
        group=IMAGES,
        example="classes -o neighbours",
        reader="vitreous.face.read_2d:read_neighbours",
        particles="data.star",
    ),
    "abinitio": Entry(
        module="vitreous.jobs.tasks.abinitio",
        help="Structures from particles of unknown pose, from random starts.",
        group=MAPS,
        example="classes/selected.star -o model",
        reader="vitreous.face.read_3d:read_structures",
        particles="abinitio_data.star",
    ),
    "initial": Entry(
        module="vitreous.jobs.tasks.initial",
        help="An initial model, with its uncertainty, from class averages of unknown views.",
        group=MAPS,
        example="averages -o model",
        reader="vitreous.face.read_3d:read_model",
        particles="initial_data.star",
    ),
    "reconstruct": Entry(
        module="vitreous.jobs.tasks.reconstruct",
        help="A map, with its uncertainty, from images whose poses are known.",
        group=MAPS,
        example="refined/refined_data.star -o map",
        reader="vitreous.face.read_3d:read_map_with_poses",
    ),
    "refine": Entry(
        module="vitreous.jobs.tasks.refine",
        help="Refinement: particles and a reference or poses in; half maps, a map and its resolution out.",
        group=MAPS,
        example="model -o refined",
        reader="vitreous.face.read_3d:read_refinement",
        particles="refined_data.star",
    ),
    "class3d": Entry(
        module="vitreous.jobs.tasks.class3d",
        help="3D classification: particles with poses in; K maps, and which particle shows which, out.",
        group=MAPS,
        example="refined --classes 2 -o classes3d",
        reader="vitreous.jobs.results.class3d:read_class3d",
        particles="run_data.star",
    ),
    "postprocess": Entry(
        module="vitreous.jobs.tasks.postprocess",
        help="Resolution, mask, sharpened map and local resolution from two half maps.",
        group=MAPS,
        example="half1.mrc half2.mrc -o final",
        reader="vitreous.jobs.results.postprocess:read_postprocessed",
    ),
    "project": Entry(
        module="vitreous.jobs.tasks.project",
        help="Projections of a map: images with their poses.",
        group=MAPS,
        example="map.mrc --views 100 -o views",
        reader="vitreous.face.read_2d:read_projected",
        particles="projections.star",
    ),
    "mixture": Entry(
        module="vitreous.jobs.tasks.mixture",
        help="A map, an image or points as a mixture of Gaussians: pseudo-atoms.",
        group=MAPS,
        example="map.mrc -o atoms",
        reader="vitreous.jobs.results.mixture:read_mixture",
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
