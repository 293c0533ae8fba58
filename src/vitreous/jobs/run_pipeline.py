"""The ``run`` job: from particles to an initial model, in one folder with a sub-folder for each stage."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from vitreous.averages.class2d import Class2D
from vitreous.averages.deconvolve import Deconvolve
from vitreous.jobs.carry_out import carry_out
from vitreous.jobs.class2d_folder import Class2DFolder, open_class2d_folder
from vitreous.jobs.folder import Job, clear_job
from vitreous.jobs.manifest import new_manifest, read_manifest
from vitreous.jobs.model_reference import read_reference
from vitreous.jobs.options import RunOptions, tell
from vitreous.jobs.report.pipeline import STAGES, write_pipeline_report
from vitreous.jobs.run_initial import METHODS, Settings, run_initial
from vitreous.jobs.select import SelectionError, SelectResult, select_particles
from vitreous.jobs.tasks.class2d import run_class2d
from vitreous.jobs.tasks.deconvolve import run_deconvolve

__all__ = ["Pipeline", "run_pipeline", "select_classes"]

CLASS2D, DECONVOLVE, INITIAL = STAGES
SETTINGS_OF = {method.name: settings for settings, method in METHODS.items()}
SPREAD = 2.0  # classes may resolve this much less than the best one, where nothing else is asked for


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Settings of :func:`run_pipeline`; everything else has the defaults of its stage.

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
    max_resolution_A
        And when its resolution is this or better. None: twice the figure of the best class that is large enough.
    symmetry
        Point group of the particle: C1, Cn, Dn, T, O or I.
    restarts
        Random starts of the initial model.
    seed
        Of everything random.
    """

    method: Literal["gmm", "gmm-gaussian"] = "gmm"
    classes: int = 50
    particle_diameter_A: float | None = None
    invert_contrast: bool = False
    min_share: float = 0.25
    max_resolution_A: float | None = None
    symmetry: str = "C1"
    restarts: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in SETTINGS_OF:
            raise ValueError(f"method: expected {' or '.join(SETTINGS_OF)}, found {self.method}")
        if not 0 <= self.min_share <= 1:
            raise ValueError(f"min_share: expected a number from 0 to 1, found {self.min_share}")
        if self.max_resolution_A is not None and not self.max_resolution_A > 0:
            raise ValueError(f"max_resolution_A: expected a positive number, found {self.max_resolution_A}")


def run_pipeline(
    particles: str | Path,
    output: str | Path,
    settings: Pipeline | None = None,
    options: RunOptions | None = None,
    *,
    command: str = "vitreous.run_pipeline",
    project: str | Path | None = None,
    pixel_size_A: float | None = None,
    initial: Settings | None = None,
    reference: str | Path | None = None,
) -> Path | None:
    """2D classification, selection of classes, deconvolution and initial model: ``output/class2d`` and so on.

    Every stage is a job of its own with its report; one that has finished is not done again with ``options.resume``.
    There is no deconvolution with the method gmm-gaussian. ``initial`` overrules the defaults of the last stage
    (symmetry, restarts and seed come from ``settings``); it must be settings of the method. ``reference``: a map
    that the model is compared with at the end (:func:`vitreous.run_initial`). Returns the path of the report of the
    whole; None after a dry run, which lays out the first stage.

    Raises
    ------
    FileNotFoundError, ValueError
        For particles or settings that cannot be used, for a folder that holds something else, and where no class is
        good enough.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder of the stage that is running.
    """
    chosen, options, path = settings or Pipeline(), options or RunOptions(), Path(output)
    model = _model_settings(chosen, initial)
    class2d = Class2D(
        classes=chosen.classes,
        particle_diameter_A=chosen.particle_diameter_A,
        invert_contrast=chosen.invert_contrast,
        seed=chosen.seed,
    )
    if reference is not None:
        read_reference(reference)  # an error in it is better said now than after hours
    source = {"project": project, "pixel_size_A": pixel_size_A}
    if options.dry_run:
        run_class2d(particles, path / CLASS2D, class2d, options, command=command, **source)  # type: ignore[arg-type]
        return None
    recorded = {name: value for name, value in asdict(chosen).items() if name != "seed"}
    if pixel_size_A is not None:
        recorded["pixel_size_A"] = pixel_size_A
    if reference is not None:
        recorded["reference"] = str(reference)
    manifest = new_manifest("run", recorded, seed=chosen.seed, inputs=[particles])
    stage = replace(options, resume=True, overwrite=False)

    def stages(job: Job) -> str:
        if options.overwrite:
            for name in STAGES:  # or a stage that has finished before would be taken for that of this run
                clear_job(path / name)
        run_class2d(particles, path / CLASS2D, class2d, stage, command=command, **source)  # type: ignore[arg-type]
        selected = _select(job, chosen, stage)
        averages = selected.class_averages
        if chosen.method == "gmm":
            averages = path / DECONVOLVE
            run_deconvolve(selected.selected, averages, Deconvolve(), stage, command=command, project=project)
        run_initial(averages, path / INITIAL, model, stage, command=command, reference=reference)
        _summarise(job)
        return "done"

    return carry_out(
        path,
        manifest,
        options,
        command=command,
        work=stages,
        write_report=write_pipeline_report,
        results=f"{INITIAL}/initial.mrc",
    )


def select_classes(folder: Class2DFolder, settings: Pipeline) -> tuple[int, float]:
    """Smallest population and worst resolution (A) of the classes to be used.

    Raises SelectionError when no class that is large enough has a resolution: there is nothing but noise.
    """
    smallest = max(1, int(np.ceil(settings.min_share * folder.population.sum() / len(folder.population))))
    if settings.max_resolution_A is not None:
        return smallest, settings.max_resolution_A
    best = folder.resolution_A[folder.population >= smallest].min(initial=np.inf)
    if not np.isfinite(best):
        raise SelectionError(
            f"no class of {folder.path} with {smallest} particles or more shows anything but noise; look at its report "
            "(contrast, particle diameter, CTF) before an initial model"
        )
    return smallest, SPREAD * float(best)


def _model_settings(chosen: Pipeline, initial: Settings | None) -> Settings:
    """Settings of the last stage."""
    kind = SETTINGS_OF[chosen.method]
    given = initial or kind()
    if not isinstance(given, kind):
        raise ValueError(f"initial: expected {kind.__name__} for the method {chosen.method}, found {given!r}")
    return replace(given, symmetry=chosen.symmetry, restarts=chosen.restarts, seed=chosen.seed)


def _select(job: Job, settings: Pipeline, options: RunOptions) -> SelectResult:
    """Select, and say how."""
    folder = open_class2d_folder(job.path / CLASS2D)
    smallest, worst_A = select_classes(folder, settings)
    selected = select_particles(job.path / CLASS2D, min_size=smallest, max_resolution_A=worst_A)
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
