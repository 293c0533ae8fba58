"""The ``run`` job: from particles to a refined map, in one folder with a sub-folder for each stage."""

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
from vitreous.jobs.report.pipeline import ALIGNED_FILES, STAGES, pipeline_page
from vitreous.jobs.results.abinitio import read_abinitio
from vitreous.jobs.results.class2d import Class2DFolder, open_class2d_folder
from vitreous.jobs.results.initial import read_initial
from vitreous.jobs.results.reference import REFINED_NAMES, compare_with_reference, read_reference
from vitreous.jobs.run_task import run_task
from vitreous.jobs.select import SelectionError, SelectResult, select_particles
from vitreous.jobs.sources import CTFApplied, Particles, light_on_dark
from vitreous.jobs.task import Composed, Resources, Task
from vitreous.jobs.tasks import abinitio, class2d, deconvolve, initial, refine
from vitreous.jobs.tasks.initial import Settings as InitialSettings
from vitreous.particles import judge, read_volume
from vitreous.quality import compare_maps
from vitreous.require import require, require_at_least, require_finite, require_one_of, require_positive
from vitreous.structures.abinitio import AUTO, Abinitio
from vitreous.structures.refine import Refine

__all__ = ["TASK", "ParticlesToModel", "Pipeline", "run_pipeline", "select_classes"]

CLASS2D, DECONVOLVE, INITIAL, ABINITIO, REFINE = STAGES
METHODS = initial.TASK.methods
LOOKED_AT = 1000  # particles whose contrast is looked at before the first stage looks at all
SPREAD = 2.0  # classes may resolve this much less than the best one, where nothing else is asked for
ALIKE = 0.7  # correlation of two models of one particle


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Settings of :func:`vitreous.run_pipeline`; everything else has the defaults of its stage.

    Parameters
    ----------
    method
        Where the first model comes from. abinitio: from the particles of the selected classes. gmm: from averages that
        are deconvolved first, as a mixture of Gaussians. gmm-gaussian: from the averages as the classification leaves
        them, by a model for negative pixels.
    check
        Whether a model from particles is compared with one from averages (gmm), which knows nothing of it.
    refine
        Whether the model is refined. Otherwise it is what comes out.
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
        Point group of the particle: C1, Cn, Dn, T, O or I; auto: the one that the model from particles has. The model
        from averages is then made without one.
    restarts
        Random starts of the model from averages.
    starts
        Random starts of the model from particles.
    seed
        Of everything random.
    initial
        In Python: settings of the model from averages, of which symmetry, restarts and seed are overruled.
    """

    method: Literal["abinitio", "gmm", "gmm-gaussian"] = "abinitio"
    check: bool = True
    refine: bool = True
    classes: int = 50
    particle_diameter_A: float | None = None
    invert_contrast: bool = False
    min_share: float = 0.25
    worst_resolution_A: float | None = None
    symmetry: str = "C1"
    restarts: int = 4
    starts: int = 3
    seed: int = 0
    initial: InitialSettings | None = None

    def __post_init__(self) -> None:
        require_finite(self)
        require_one_of(self, "method", ("abinitio", *METHODS))
        require_at_least(self, {"classes": 1, "restarts": 1, "starts": 1})
        require_positive(self, ("particle_diameter_A", "worst_resolution_A"))
        require(self, "min_share", 0 <= self.min_share <= 1, "a number from 0 to 1")
        named = self.symmetry != AUTO or self.method == "abinitio"
        require(self, "symmetry", named, f"a point group, unless the method is abinitio, for the method {self.method}")
        kind = METHODS[self.of_averages]
        fits = self.initial is None or type(self.initial) is kind
        require(self, "initial", fits, f"{kind.__name__} for the method {self.method}")

    @property
    def of_averages(self) -> str:
        """Method of the model from averages."""
        return "gmm" if self.method == "abinitio" else self.method

    @property
    def stages(self) -> tuple[str, ...]:
        """Those that are run, in their order."""
        averages = self.check or self.method != "abinitio"
        wanted = {
            CLASS2D: True,
            DECONVOLVE: averages and self.of_averages == "gmm",
            INITIAL: averages,
            ABINITIO: self.method == "abinitio",
            REFINE: self.refine,
        }
        return tuple(name for name in STAGES if wanted[name])


@dataclass(frozen=True, kw_only=True)
class ParticlesToModel:
    """Particles, and a map that the result is compared with.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack.
    project
        Directory that the paths in the particle file are relative to.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    reference
        A map of the same particle (.mrc) that models and map are compared with in the end, over both hands. They do not
        depend on it.
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
    particles = given.read()
    if {ABINITIO, REFINE} & set(settings.stages):
        particles.ctf_for(True)  # which refuses what these stages would refuse after hours
    settings, turned = light_on_dark(judge(particles, poses=False, sample=LOOKED_AT).contrast, settings)
    classified, classification = _classification(source, settings)
    first = class2d.TASK.prepare(classified, classification, replace(resources, store=store))
    return Composed(
        settings=settings,
        inputs=(source.particles,),
        pixels=first.pixels,
        screen=first.screen,
        notes=first.notes,
        warnings=(*turned, *first.warnings),
        plan=first.plan,
        work=partial(_stages, source, settings, turned),
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


def _stages(
    source: ParticlesToModel, settings: Pipeline, said: tuple[str, ...], job: Job, options: RunOptions, command: str
) -> str:
    """Every stage is a job of its own with its report; one that has finished before is not done again.

    said: what no stage says on its own.
    """
    for text in said:
        job.log(text)
        tell(options, f"note     {text}", "note", {"text": text})
    if options.overwrite:
        for name in STAGES:  # or a stage that has finished before would be taken for that of this run
            clear_job(job.path / name)
    stage = replace(options, resume=True, overwrite=False)
    first, classification = _classification(source, settings)
    run_task(class2d.TASK, first, job.path / CLASS2D, classification, stage, command=command)
    selected = _select(job, settings, stage)
    messages = [*_from_averages(source, settings, job, selected, stage, command)]
    if ABINITIO in settings.stages:
        particles = abinitio.ParticlesOfAnyPose(particles=selected.selected, project=source.project)
        run_task(abinitio.TASK, particles, job.path / ABINITIO, _abinitio(settings), stage, command=command)
        messages += _of(job, ABINITIO)
        if INITIAL in settings.stages:
            messages += _check(job, stage)
    if REFINE in settings.stages:
        given = _to_refine(source, settings, job, selected)
        run_task(refine.TASK, given, job.path / REFINE, _refine(settings, job), stage, command=command)
        messages += [*_of(job, REFINE), *_against(job, source, stage)]
    job.describe(summary={}, messages=tuple(messages))
    return _words(job, settings)


def _words(job: Job, settings: Pipeline) -> str:
    """What came out, in a line."""
    last = read_manifest(job.path / settings.stages[-1])
    if not settings.refine or last is None:
        return "done: an initial model, of either hand"
    claimed = last.summary.get("resolution_A")
    return f"done: a map of {claimed:.2f} Å, of either hand" if claimed else "done: a map of no resolution"


def _from_averages(
    source: ParticlesToModel, settings: Pipeline, job: Job, selected: SelectResult, stage: RunOptions, command: str
) -> tuple[str, ...]:
    """The model of averages, and what it says."""
    if INITIAL not in settings.stages:
        return ()
    averages = selected.class_averages
    if DECONVOLVE in settings.stages:
        averages = job.path / DECONVOLVE
        particles = deconvolve.ClassifiedParticles(particles=selected.selected, project=source.project)
        run_task(deconvolve.TASK, particles, averages, Deconvolve(), stage, command=command)
    given = initial.Averages(averages=averages, reference=source.reference)
    run_task(initial.TASK, given, job.path / INITIAL, _model_settings(settings), stage, command=command)
    return _of(job, INITIAL)


def _abinitio(settings: Pipeline) -> Abinitio:
    return Abinitio(
        symmetry=settings.symmetry,
        starts=settings.starts,
        particle_diameter_A=settings.particle_diameter_A,
        invert_contrast=settings.invert_contrast,
        seed=settings.seed,
    )


def _refine(settings: Pipeline, job: Job) -> Refine:
    model = read_manifest(job.path / ABINITIO) if settings.symmetry == AUTO else None
    return Refine(
        symmetry=settings.symmetry if model is None else model.summary["symmetry"],
        particle_diameter_A=settings.particle_diameter_A,
        invert_contrast=settings.invert_contrast,
        seed=settings.seed,
    )


def _to_refine(
    source: ParticlesToModel, settings: Pipeline, job: Job, selected: SelectResult
) -> refine.ParticlesToRefine:
    """Poses where the model has those of particles; else the model, and all views."""
    if ABINITIO in settings.stages:
        return refine.ParticlesToRefine(particles=job.path / ABINITIO, project=source.project)
    model = job.path / INITIAL / "initial.mrc"
    return refine.ParticlesToRefine(
        particles=selected.selected, reference=model, ignore_poses=True, project=source.project
    )


def _check(job: Job, options: RunOptions) -> list[str]:
    """Whether the model of the particles is that of the averages, which was found in another way."""
    of_averages, of_particles = read_initial(job.path / INITIAL).mean, read_abinitio(job.path / ABINITIO).volumes[0]
    found, _ = compare_maps(of_particles, of_averages)
    alike = found.correlation >= ALIKE
    text = (
        f"the model of the particles and that of the averages {'agree' if alike else 'do NOT agree'}: correlation "
        f"{found.correlation:.2f}, FSC 0.5 at {found.resolution_A:.0f} Å, over both hands"
    )
    if not alike:
        text += "; at least one of them is wrong: look at both before you believe the map"
    job.log(text)
    job.describe(summary={"models_agree": alike, "models_correlation": round(found.correlation, 3)}, messages=())
    tell(options, text, "check", {"agree": alike, "correlation": found.correlation})
    return [text]


def _against(job: Job, source: ParticlesToModel, options: RunOptions) -> list[str]:
    """The refined map against the reference, where there is one."""
    if source.reference is None:
        return []
    refined = read_volume(job.path / REFINE / "refined.mrc")
    figures, lines = compare_with_reference(
        job.path, refined, read_reference(source.reference), source.reference.name, names=REFINED_NAMES
    )
    job.describe(summary=figures, messages=())
    for line in lines:
        tell(options, f"against  {line}", "reference", {"line": line})
    return lines


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
    given = settings.initial or METHODS[settings.of_averages]()
    group = "C1" if settings.symmetry == AUTO else settings.symmetry
    chosen: InitialSettings = replace(given, symmetry=group, restarts=settings.restarts, seed=settings.seed)
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


def _of(job: Job, stage: str) -> tuple[str, ...]:
    """What a stage has to say about the whole."""
    manifest = read_manifest(job.path / stage)
    if manifest is None:
        return ()
    job.describe(summary={f"{stage}_{k}": v for k, v in manifest.summary.items()}, messages=())
    return tuple(manifest.messages)


TASK: Task[ParticlesToModel, Pipeline, Any, Any] = Task(
    name="run",
    title="run",
    function="run_pipeline",
    about="Classes, a choice of them, a first model from their particles, checked against one from their averages, and "
    "refinement with half maps that never met. Each stage is a job in a sub-folder with its own report; one report "
    "shows the whole. A stage that has finished is not done again when the job is resumed.",
    source=ParticlesToModel,
    methods={"": Pipeline},
    prepare=_prepare,
    files=ALIGNED_FILES,
    results=f"{REFINE}/refined.mrc, {REFINE}/refined_half1_unfil.mrc",
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
