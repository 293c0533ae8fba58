"""The ``deconvolve`` job: classified particles in, a folder with non-negative averages and a report out."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from vitreous.averages.deconvolve import Deconvolve, DeconvolveResult, DeconvolveRun, prepare_deconvolution
from vitreous.averages.deconvolve.task import DeconvolveState
from vitreous.jobs.function import function_of
from vitreous.jobs.ready_averages import is_dark
from vitreous.jobs.report.deconvolve import deconvolve_page
from vitreous.jobs.results.deconvolve import FILES, write_deconvolved
from vitreous.jobs.sources import (
    CTFApplied,
    Particles,
    classified,
    inherited,
    light_on_dark,
    require_signal,
    warnings_before,
)
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.particles import ParticleSet
from vitreous.quality import average_contrast

__all__ = ["TASK", "ClassifiedParticles", "run_deconvolve"]


@dataclass(frozen=True, kw_only=True)
class ClassifiedParticles:
    """Particles with classes and poses.

    Parameters
    ----------
    particles
        A .star file with classes and poses (run_data.star, or RELION's), or the folder of a class2d job. With --single
        a stack of averages, or a .star file that names them.
    project
        Directory that the paths in the particle file are relative to.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    ctf_applied
        What has been done about the CTF of the images already, when the file does not say: nothing (none), their
        phases were flipped (phases), or they were multiplied by it (full).
    """

    particles: Path
    project: Path | None = None
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None


def _prepare(
    source: ClassifiedParticles, settings: Deconvolve, resources: Resources
) -> Prepared[DeconvolveState, DeconvolveResult]:
    path = classified(source.particles)
    require_signal(path)
    chosen, notes = (settings, ()) if settings.single else inherited(settings, path)
    given = Particles(**{**vars(source), "particles": path})
    found = given.read() if settings.single else given.open(ctf=chosen.ctf, alignment="2D")
    if settings.single:
        chosen, turned = _white_averages(found, chosen)
    else:
        chosen, turned = light_on_dark(None if found.usable is None else found.usable.contrast, chosen)
    run = prepare_deconvolution(found, chosen, device=resources.device, threads=resources.threads)
    return Prepared(
        settings=chosen,
        inputs=(found.path,),
        pixels=found.digest,
        algorithm=run.algorithm,
        state=DeconvolveState,
        steps=run.steps,
        write=partial(_write, run),
        screen=_screen(run),
        notes=(*notes, *run.messages),
        warnings=(*turned, *warnings_before(found, invert_contrast=chosen.invert_contrast)),
        plan={"averages": len(run.class_number)},
    )


def _white_averages(averages: ParticleSet, settings: Deconvolve) -> tuple[Deconvolve, tuple[str, ...]]:
    """The settings with the contrast that averages clearly have; ValueError where they have both."""
    images = averages.read(slice(None))
    if settings.invert_contrast or not np.isfinite(images).all():
        return settings, ()
    try:
        dark, notes = is_dark(average_contrast(images), None)
    except ValueError as error:
        raise ValueError(f"{averages.path}: {error}") from error
    return replace(settings, invert_contrast=dark), notes


def _screen(run: DeconvolveRun) -> tuple[str, ...]:
    images, classes, settings = len(run.members.particle), len(run.class_number), run.settings
    what = f"{classes:,} averages" if settings.single else f"{images:,} particles in {classes:,} classes"
    box, pixel = run.preparation.box_px, run.preparation.pixel_size_A
    defocus = f"{len(run.group_defocus_A)} defocus groups" if len(run.group_defocus_A) else "one frame each"
    return (
        f"data     {run.particles.path}: {what}, {box} x {box} pixels, {pixel:g} Å/pixel, "
        + ("CTF" if run.ctf is not None else "no CTF"),
        f"settings {defocus}, smoothness {settings.smoothness:g}, mask at {settings.mask_threshold:.0%} of the peak, "
        f"particle diameter {run.preparation.particle_diameter_A:.0f} Å",
    )


def _write(run: DeconvolveRun, folder: Path, result: DeconvolveResult, state: DeconvolveState) -> Outcome:
    write_deconvolved(folder, result)
    figures = {
        "averages": len(result.averages),
        "particles": int(result.population.sum()),
        "box_px": result.averages.shape[-1],
        "pixel_size_A": result.pixel_size_A,
        "particle_diameter_used_A": result.particle_diameter_A,
        "ctf_corrected": run.ctf is not None,
        "group_defocus_A": np.round(result.group_defocus_A).tolist(),
        "group_population": result.group_population.tolist(),
        "most_iterations": int(result.iterations.max()),
    }
    return Outcome(words=f"{len(result.averages)} averages", summary=figures, messages=tuple(result.messages))


TASK = Task(
    name="deconvolve",
    title="deconvolving",
    about="What an initial model starts from. Particle diameter, contrast, normalisation and use of the CTF are taken "
    "over from a class2d job that the file belongs to.",
    source=ClassifiedParticles,
    methods={"": Deconvolve},
    prepare=_prepare,
    files=FILES,
    results="deconvolved.mrcs, deconvolved.star",
    page=deconvolve_page,
    uses=frozenset({"device", "threads"}),
    ignores=frozenset({"memory", "every"}),
)
run_deconvolve = function_of(TASK)
