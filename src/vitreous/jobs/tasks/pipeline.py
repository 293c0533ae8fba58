"""The ``run`` job: from particles or micrographs to a refined map, in one folder with a sub-folder for each stage."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.class2d import Class2D
from vitreous.averages.class_choice import REASONS
from vitreous.averages.deconvolve import Deconvolve
from vitreous.averages.isac import ISAC
from vitreous.jobs.folder import Job, clear_job
from vitreous.jobs.function import function_of
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.options import RunOptions, processors, tell
from vitreous.jobs.report.pipeline import ALIGNED_FILES, ROUND, STAGES, pipeline_page
from vitreous.jobs.results.abinitio import read_abinitio
from vitreous.jobs.results.classified import ClassifiedFolder, open_classified
from vitreous.jobs.results.initial import read_initial
from vitreous.jobs.results.reference import REFINED_NAMES, compare_with_reference, read_reference
from vitreous.jobs.results.selection import Selection, read_selection
from vitreous.jobs.run_task import run_task
from vitreous.jobs.select import SelectResult, select_particles
from vitreous.jobs.sources import CTFApplied, Particles, light_on_dark
from vitreous.jobs.task import Composed, Resources, Task
from vitreous.jobs.tasks import abinitio, class2d, deconvolve, from_micrographs, initial, isac, refine
from vitreous.jobs.tasks.from_micrographs import FromMicrographs, are_micrographs, fewer_classes
from vitreous.jobs.tasks.initial import Settings as InitialSettings
from vitreous.jobs.tasks.pipeline_input import (
    ABINITIO,
    CLASS2D,
    DECONVOLVE,
    INITIAL,
    ISAC2D,
    METHODS,
    REFINE,
    ParticlesToModel,
    Pipeline,
)
from vitreous.jobs.tasks.table import task_of
from vitreous.micrographs import MicroscopeGiven, same_micrographs
from vitreous.particles import judge, read_star, read_volume
from vitreous.quality import compare_maps
from vitreous.structures.abinitio import AUTO, Abinitio
from vitreous.structures.refine import Refine

__all__ = ["TASK", "ParticlesToModel", "Pipeline", "run_pipeline"]

LOOKED_AT = 1000  # particles whose contrast is looked at before the first stage looks at all
READ = ("particles", "project", "pixel_size_A", "ctf_applied")  # of a source, by all that read its particles
OPTICS = ("voltage_kV", "cs_mm", "amplitude_contrast")
ALIKE = 0.7  # correlation of two models of one particle


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Particles that are boxes already."""

    particles: Path
    project: Path | None = None
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None
    reference: Path | None = None


def _prepare(source: ParticlesToModel, settings: Pipeline, resources: Resources) -> Composed:
    if source.reference is not None:
        read_reference(source.reference)  # an error in it is better said now than after hours
    paths: tuple[Path, ...] = tuple(np.atleast_1d(np.array(source.particles, dtype=object)))
    if are_micrographs(paths):
        return _prepare_micrographs(source, paths, settings)
    _refuse_optics_of_particles(source)
    given = _Source(particles=paths[0], **{name: getattr(source, name) for name in (*READ[1:], "reference")})
    store = resources.store.parent / settings.averages / resources.store.name
    particles = Particles(**{name: getattr(given, name) for name in READ}).read()
    if {ABINITIO, REFINE} & set(settings.stages):
        particles.ctf_for(True)  # which refuses what these stages would refuse after hours
    settings, turned = light_on_dark(judge(particles, poses=False, sample=LOOKED_AT).contrast, settings)
    task, classified, classification = _classification(given, settings)
    first = task.prepare(classified, classification, replace(resources, store=store))
    return Composed(
        settings=settings,
        inputs=(given.particles,),
        pixels=first.pixels,
        screen=first.screen,
        notes=first.notes,
        warnings=(*turned, *first.warnings),
        plan=first.plan,
        work=partial(_stages, given, settings, turned),
    )


def _refuse_optics_of_particles(source: ParticlesToModel) -> None:
    for name in OPTICS:
        if getattr(source, name) is not None:
            raise ValueError(f"{name}: is for micrographs, and these are particles, whose file has it")


def _prepare_micrographs(source: ParticlesToModel, paths: tuple[Path, ...], settings: Pipeline) -> Composed:
    if source.ctf_applied is not None:
        raise ValueError("ctf_applied: says what was done about the CTF of particles, and these are micrographs")
    given = FromMicrographs(
        micrographs=paths,
        project=source.project,
        pixel_size_A=source.pixel_size_A,
        diameter_A=settings.particle_diameter_A,
        invert_contrast=settings.invert_contrast,
        seed=settings.seed,
        microscope=MicroscopeGiven(**{name: getattr(source, name) for name in OPTICS}),
    )
    listed = from_micrographs.listed(given)
    return Composed(
        settings=settings,
        inputs=paths,
        pixels=same_micrographs(listed),
        screen=from_micrographs.screen(listed),
        plan={"micrographs": len(listed)},
        work=partial(_from_micrographs, given, source.reference, settings),
    )


def _from_micrographs(
    given: FromMicrographs, reference: Path | None, settings: Pipeline, job: Job, options: RunOptions, command: str
) -> str:
    """Pick, twice, and go on as from particles."""
    _clear(job, options)
    stage = replace(options, resume=True, overwrite=False)
    particles = from_micrographs.particles_of(given, job, stage, command)
    used = replace(
        settings,
        classes=fewer_classes(settings.classes, len(read_star(particles)["particles"])),
        offset_range_A=settings.offset_range_A or from_micrographs.offset_range_A(job.path),
        particle_diameter_A=None,  # the boxes have the size of the particle
        invert_contrast=False,  # and it is white there
    )
    return _stages(_Source(particles=particles, reference=reference), used, (), job, stage, command)


def _classification(source: _Source, settings: Pipeline) -> tuple[Task[Any, Any, Any, Any], Any, Any]:
    """The first stage, what it is given, and its settings."""
    given = {name: getattr(source, name) for name in READ}
    same: dict[str, Any] = {
        "particle_diameter_A": settings.particle_diameter_A,
        "invert_contrast": settings.invert_contrast,
        "seed": settings.seed,
    }
    if settings.averages == ISAC2D:
        return isac.TASK, Particles(**given), ISAC(img_per_grp=settings.img_per_grp, **same)
    same["offset_range_A"] = settings.offset_range_A
    return class2d.TASK, class2d.ParticlesToClassify(**given), Class2D(classes=settings.classes, **same)


def _stages(
    source: _Source, settings: Pipeline, said: tuple[str, ...], job: Job, options: RunOptions, command: str
) -> str:
    """Every stage is a job of its own with its report; one that has finished before is not done again.

    said: what no stage says on its own.
    """
    for text in said:
        job.log(text)
        tell(options, f"note     {text}", "note", {"text": text})
    _clear(job, options)
    stage = replace(options, resume=True, overwrite=False)
    task, first, classification = _classification(source, settings)
    run_task(task, first, job.path / task.name, classification, stage, command=command)
    selected = _select(job, source, settings, stage)
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


def _clear(job: Job, options: RunOptions) -> None:
    """Or a stage that has finished before would be taken for that of this run."""
    if options.overwrite:
        for name in (*ROUND, *STAGES):
            clear_job(job.path / name)


def _words(job: Job, settings: Pipeline) -> str:
    """What came out, in a line."""
    last = read_manifest(job.path / settings.stages[-1])
    if not settings.refine or last is None:
        return "done: an initial model, of either hand"
    claimed = last.summary.get("resolution_A")
    if not claimed:
        return "done: a map of which no resolution is claimed"
    return f"done: a map of {claimed:.2f} Å, of either hand"


def _from_averages(
    source: _Source, settings: Pipeline, job: Job, selected: SelectResult, stage: RunOptions, command: str
) -> tuple[str, ...]:
    """The model of averages, and what it says."""
    if INITIAL not in settings.stages:
        return ()
    averages = selected.class_averages
    assert averages is not None  # of classes of this program
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
        offset_range_A=settings.offset_range_A,
        particle_diameter_A=settings.particle_diameter_A,
        invert_contrast=settings.invert_contrast,
        seed=settings.seed,
    )


def _refine(settings: Pipeline, job: Job) -> Refine:
    model = read_manifest(job.path / ABINITIO) if settings.symmetry == AUTO else None
    return Refine(
        symmetry=settings.symmetry if model is None else model.summary["symmetry"],
        offset_range_A=settings.offset_range_A,
        particle_diameter_A=settings.particle_diameter_A,
        invert_contrast=settings.invert_contrast,
        seed=settings.seed,
    )


def _to_refine(source: _Source, settings: Pipeline, job: Job, selected: SelectResult) -> refine.ParticlesToRefine:
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


def _against(job: Job, source: _Source, options: RunOptions) -> list[str]:
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


def _model_settings(settings: Pipeline) -> InitialSettings:
    """Settings of the last stage."""
    given = settings.initial or METHODS[settings.of_averages]()
    group = "C1" if settings.symmetry == AUTO else settings.symmetry
    chosen: InitialSettings = replace(given, symmetry=group, restarts=settings.restarts, seed=settings.seed)
    return chosen


def _select(job: Job, source: _Source, settings: Pipeline, options: RunOptions) -> SelectResult:
    """Select, and say how. What ISAC accepts is chosen already."""
    folder = open_classified(job.path / settings.averages)
    auto = settings.auto and settings.averages == CLASS2D
    smallest = max(1, int(np.ceil(settings.min_share * folder.population.sum() / max(folder.count, 1))))
    selected = select_particles(
        folder.path, min_size=smallest, worst_resolution_A=settings.worst_resolution_A, auto=auto,
        project=source.project, threads=processors() if options.threads is None else options.threads,
        memory_bytes=options.memory,
    )  # fmt: skip
    found = read_selection(folder.path) if auto else None
    text = _chosen_words(folder, selected, found, settings, smallest)
    job.log(text)
    for number, words in selected.reasons.items():
        job.log(f"class {number} went: {words}")
    job.describe(
        summary={
            "selected_classes": list(selected.classes),
            "selected_particles": selected.selected_count,
            "outlier_particles": selected.outlier_count,
            "smallest_class": smallest,
        },
        messages=(text,),
    )
    tell(options, text, "selection", {"classes": selected.classes, "particles": selected.selected_count,
                                      "reasons": selected.reasons})  # fmt: skip
    return selected


def _chosen_words(
    folder: ClassifiedFolder, selected: SelectResult, found: Selection | None, settings: Pipeline, smallest: int
) -> str:
    """What was selected, and why the rest was not, in a sentence."""
    conditions = [f"those with at least {smallest} particles"] if smallest > 1 else []
    if settings.worst_resolution_A is not None:
        conditions.append(f"a resolution of {settings.worst_resolution_A:.1f} Å or better")
    whole = selected.selected_count + selected.excluded_count
    text = (
        f"selected {len(selected.classes)} of {folder.count} classes{', ' if conditions else ''}"
        f"{' and '.join(conditions)}: {selected.selected_count:,} of {whole:,} particles"
    )
    if found is None:
        return text
    went = [f"{len(found.of(name))} {words}" for name, words in REASONS.items() if found.of(name)]
    outliers = [f"{selected.outlier_count:,} particles do not fit their class"] if selected.outlier_count else []
    return "; ".join([text, *([f"classes that went: {', '.join(went)}"] if went else []), *outliers])


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
    about="Of micrographs particles are picked first, with a ball, and then anew with the averages of what it found. "
    "Classes, a choice of them, a first model from their particles, checked against one from their averages, and "
    "refinement with half maps that never met. Each stage is a job in a sub-folder with its own report; one report "
    "shows the whole. A stage that has finished is not done again when the job is resumed.",
    source=ParticlesToModel,
    methods={"": Pipeline},
    prepare=_prepare,
    files=ALIGNED_FILES,
    results=f"{REFINE}/refined.mrc, {REFINE}/refined_half1_unfil.mrc",
    page=partial(pipeline_page, page_of=lambda name: task_of(name).page),
    uses=frozenset({"device", "memory", "threads"}),
    in_python=frozenset({"initial"}),
    aliases={
        "classes": ("--K",),
        "voltage_kV": ("--voltage", "--kV"),
        "cs_mm": ("--cs",),
        "symmetry": ("--sym",),
        "worst_resolution_A": ("--max-resolution", "--max-resolution-A"),
    },
)
run_pipeline = function_of(TASK)
