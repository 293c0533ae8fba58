"""The ``run`` job: from particles to an initial model, in one folder with a sub-folder for each stage."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vitreous.averages.class2d import Class2D
from vitreous.averages.deconvolve import Deconvolve
from vitreous.jobs.folder import Job, clear_job
from vitreous.jobs.function import function_of
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.options import RunOptions, tell
from vitreous.jobs.report.pipeline import STAGES, pipeline_page
from vitreous.jobs.results.class2d import Class2DFolder, open_class2d_folder
from vitreous.jobs.results.reference import read_reference
from vitreous.jobs.run_task import run_task
from vitreous.jobs.select import SelectionError, SelectResult, select_particles
from vitreous.jobs.sources import CTFApplied, Particles, light_on_dark
from vitreous.jobs.task import Composed, Resources, Task
from vitreous.jobs.tasks import class2d, deconvolve, initial
from vitreous.jobs.tasks.initial import Settings as InitialSettings
from vitreous.particles import judge
from vitreous.require import require, require_at_least, require_finite, require_one_of, require_positive

__all__ = ["TASK", "ParticlesToModel", "Pipeline", "run_pipeline", "select_classes"]

CLASS2D, DECONVOLVE, INITIAL = STAGES
METHODS = initial.TASK.methods
LOOKED_AT = 1000  # particles whose contrast is looked at before the first stage looks at all
SPREAD = 2.0  # classes may resolve this much less than the best one, where nothing else is asked for


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Settings of :func:`vitreous.run_pipeline`; everything else has the defaults of its stage.

    Parameters
    ----------
    method
        Of the initial model. gmm: from averages that are deconvolved first. gmm-gaussian: from the averages as the
        classification leaves them, by a model for negative pixels.
    classes
        Number of class averages.
    particle_diameter_A
        Diameter of the circular mask on the images. None: from the box.
    invert_contrast
        For particles that are dark on a bright background.
    min_share
        A class is used when it has at least this share of the number of particles of an average class.
    worst_resolution_A
        And when its resolution is this or better. None: twice the figure of the best class that is large enough.
    symmetry
        Point group of the particle: C1, Cn, Dn, T, O or I.
    restarts
        Random starts of the initial model.
    seed
        Of everything random.
    initial
        In Python: settings of the initial model, of which symmetry, restarts and seed are overruled.
    """

    method: Literal["gmm", "gmm-gaussian"] = "gmm"
    classes: int = 50
    particle_diameter_A: float | None = None
    invert_contrast: bool = False
    min_share: float = 0.25
    worst_resolution_A: float | None = None
    symmetry: str = "C1"
    restarts: int = 4
    seed: int = 0
    initial: InitialSettings | None = None

    def __post_init__(self) -> None:
        require_finite(self)
        require_one_of(self, "method", METHODS)
        require_at_least(self, {"classes": 1, "restarts": 1})
        require_positive(self, ("particle_diameter_A", "worst_resolution_A"))
        require(self, "min_share", 0 <= self.min_share <= 1, "a number from 0 to 1")
        kind = METHODS[self.method]
        fits = self.initial is None or type(self.initial) is kind
        require(self, "initial", fits, f"{kind.__name__} for the method {self.method}")


@dataclass(frozen=True, kw_only=True)
class ParticlesToModel:
    """Particles, and a map that the model is compared with.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack.
    project
        Directory that the paths in the particle file are relative to.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    reference
        A map of the same particle (.mrc) that the model is compared with in the end, over both hands. The model does
        not depend on it.
    ctf_applied
        What has been done about the CTF of the images already, when the file does not say: nothing (none), their
        phases were flipped (phases), or they were multiplied by it (full).
    """

    particles: Path
    project: Path | None = None
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None
    reference: Path | None = None


def _prepare(source: ParticlesToModel, settings: Pipeline, resources: Resources) -> Composed:
    if source.reference is not None:
        read_reference(source.reference)  # an error in it is better said now than after hours
    store = resources.store.parent / CLASS2D / resources.store.name
    given = Particles(
        particles=source.particles,
        project=source.project,
        pixel_size_A=source.pixel_size_A,
        ctf_applied=source.ctf_applied,
    )
    settings, turned = light_on_dark(judge(given.read(), poses=False, sample=LOOKED_AT).contrast, settings)
    particles, classification = _classification(source, settings)
    first = class2d.TASK.prepare(particles, classification, replace(resources, store=store))
    return Composed(
        settings=settings,
        inputs=(source.particles,),
        pixels=first.pixels,
        screen=first.screen,
        notes=first.notes,
        warnings=(*turned, *first.warnings),
        plan=first.plan,
        work=partial(_stages, source, settings),
    )


def _classification(source: ParticlesToModel, settings: Pipeline) -> tuple[class2d.ParticlesToClassify, Class2D]:
    """What the first stage is given."""
    particles = class2d.ParticlesToClassify(
        particles=source.particles,
        project=source.project,
        pixel_size_A=source.pixel_size_A,
        ctf_applied=source.ctf_applied,
    )
    chosen = Class2D(
        classes=settings.classes,
        particle_diameter_A=settings.particle_diameter_A,
        invert_contrast=settings.invert_contrast,
        seed=settings.seed,
    )
    return particles, chosen


def _stages(source: ParticlesToModel, settings: Pipeline, job: Job, options: RunOptions, command: str) -> str:
    """Every stage is a job of its own with its report; one that has finished before is not done again."""
    if options.overwrite:
        for name in STAGES:  # or a stage that has finished before would be taken for that of this run
            clear_job(job.path / name)
    stage = replace(options, resume=True, overwrite=False)
    first, classification = _classification(source, settings)
    run_task(class2d.TASK, first, job.path / CLASS2D, classification, stage, command=command)
    selected = _select(job, settings, stage)
    averages = selected.class_averages
    if settings.method == "gmm":
        averages = job.path / DECONVOLVE
        particles = deconvolve.ClassifiedParticles(particles=selected.selected, project=source.project)
        run_task(deconvolve.TASK, particles, averages, Deconvolve(), stage, command=command)
    given = initial.Averages(averages=averages, reference=source.reference)
    run_task(initial.TASK, given, job.path / INITIAL, _model_settings(settings), stage, command=command)
    _summarise(job)
    return "done"


def select_classes(folder: Class2DFolder, settings: Pipeline) -> tuple[int, float]:
    """Smallest population and worst resolution (A) of the classes to be used.

    Raises SelectionError when no class that is large enough has a resolution: there is nothing but noise.
    """
    smallest = max(1, int(np.ceil(settings.min_share * folder.population.sum() / len(folder.population))))
    if settings.worst_resolution_A is not None:
        return smallest, settings.worst_resolution_A
    best = folder.resolution_A[folder.population >= smallest].min(initial=np.inf)
    if not np.isfinite(best):
        raise SelectionError(
            f"no class of {folder.path} with {smallest} particles or more shows anything but noise; look at its report "
            "(contrast, particle diameter, CTF) before an initial model"
        )
    return smallest, SPREAD * float(best)


def _model_settings(settings: Pipeline) -> InitialSettings:
    """Settings of the last stage."""
    given = settings.initial or METHODS[settings.method]()
    chosen: InitialSettings = replace(given, symmetry=settings.symmetry, restarts=settings.restarts, seed=settings.seed)
    return chosen


def _select(job: Job, settings: Pipeline, options: RunOptions) -> SelectResult:
    """Select, and say how."""
    folder = open_class2d_folder(job.path / CLASS2D)
    smallest, worst_A = select_classes(folder, settings)
    selected = select_particles(job.path / CLASS2D, min_size=smallest, worst_resolution_A=worst_A)
    text = (
        f"selected {len(selected.classes)} of {len(folder.averages)} classes, those with at least {smallest} particles "
        f"and a resolution of {worst_A:.1f} Å or better: {selected.selected_count:,} of "
        f"{selected.selected_count + selected.excluded_count:,} particles"
    )
    job.log(text)
    job.describe(
        summary={
            "selected_classes": list(selected.classes),
            "selected_particles": selected.selected_count,
            "smallest_class": smallest,
            "worst_resolution_A": round(worst_A, 2),
        },
        messages=(text,),
    )
    tell(options, text, "selection", {"classes": selected.classes, "particles": selected.selected_count})
    return selected


def _summarise(job: Job) -> None:
    """What the last stage has to say about the whole."""
    manifest = read_manifest(job.path / INITIAL)
    if manifest is not None:
        job.describe(summary={f"initial_{k}": v for k, v in manifest.summary.items()}, messages=manifest.messages)


TASK: Task[ParticlesToModel, Pipeline, Any, Any] = Task(
    name="run",
    title="run",
    function="run_pipeline",
    about="Each stage is a job in a sub-folder, with its own report; one report shows the whole. With --method "
    "gmm-gaussian the selected averages become a model as they are, without deconvolve. A stage that has finished is "
    "not done again when the job is resumed.",
    source=ParticlesToModel,
    methods={"": Pipeline},
    prepare=_prepare,
    files=(),
    results=f"{INITIAL}/initial.mrc",
    page=pipeline_page,
    uses=frozenset({"device", "memory", "threads"}),
    in_python=frozenset({"initial"}),
    aliases={
        "classes": ("--K",),
        "symmetry": ("--sym",),
        "worst_resolution_A": ("--max-resolution", "--max-resolution-A"),
    },
)
run_pipeline = function_of(TASK)
