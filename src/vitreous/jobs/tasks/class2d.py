"""The ``class2d`` job: a particle file in, a folder with averages, RELION's files and a report out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.class2d import Class2D, Class2DRun, prepare_run
from vitreous.averages.class2d.em import Class2DState
from vitreous.averages.result import Class2DResult
from vitreous.jobs.forecasts import forecast_class2d
from vitreous.jobs.function import function_of
from vitreous.jobs.history import read_history
from vitreous.jobs.laid_out import about_layout
from vitreous.jobs.progress import describe_bytes, describe_duration
from vitreous.jobs.report.class2d import class2d_page
from vitreous.jobs.results.class2d import FILES, Examples, write_examples
from vitreous.jobs.results.class2d_relion import (
    SearchSettings,
    Snapshot,
    remove_iteration,
    write_final,
    write_iteration,
)
from vitreous.jobs.sources import CTFApplied, Particles, require_within_box
from vitreous.jobs.task import IN_SETTINGS, Outcome, Prepared, Resources, Task
from vitreous.matching import FIRST_RINGS
from vitreous.words import counted

__all__ = ["TASK", "ParticlesToClassify", "run_class2d"]

ALIASES = {  # RELION's names of our options
    "classes": ("--K",),
    "particle_diameter_A": ("--particle_diameter",),
    "iterations": ("--iter",),
    "tau2_fudge": ("--tau2_fudge",),
    "resolution_limit_A": ("--strict_highres_exp",),
    "seed": ("--random_seed",),
    "threads": ("--j",),
    "offset_range_px": ("--offset_range",),
}


@dataclass(frozen=True, kw_only=True)
class ParticlesToClassify:
    """Particles, and the range of their shifts as RELION has it.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack.
    offset_range_px
        The same as --offset-range-A, in pixels, as RELION has it.
    project
        Directory that the paths in the particle file are relative to.
    passthrough
        Passthrough files of a cryoSPARC .cs file.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    ctf_applied
        What has been done about the CTF of the images already, when the file does not say: nothing (none), their
        phases were flipped (phases), or they were multiplied by it (full).
    """

    particles: Path
    offset_range_px: float | None = field(default=None, metadata=IN_SETTINGS)
    project: Path | None = None
    passthrough: tuple[Path, ...] = ()
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None


def _prepare(
    source: ParticlesToClassify, settings: Class2D, resources: Resources
) -> Prepared[Class2DState, Class2DResult]:
    found = Particles(
        particles=source.particles,
        project=source.project,
        passthrough=source.passthrough,
        pixel_size_A=source.pixel_size_A,
        ctf_applied=source.ctf_applied,
    ).open(ctf=settings.ctf, poses=False)
    require_within_box(settings, found)
    if source.offset_range_px is not None:
        settings = replace(settings, offset_range_A=source.offset_range_px * found.pixel_size_A)
    run = prepare_run(
        found,
        settings,
        device=resources.device,
        memory_bytes=resources.memory_bytes,
        store=resources.store,
        threads=resources.threads,
        processes=resources.processes,
    )
    run.on_progress = resources.progress
    about = about_layout(run.laid, settings)
    about["notes"] = tuple(run.plan.notes)
    about["summary"] |= _chosen_values(run)
    return Prepared(
        **about,
        algorithm=run.algorithm,
        state=Class2DState,
        steps=settings.iterations,
        forecast=partial(
            forecast_class2d,
            passes=settings.iterations,
            most_rings=round(FIRST_RINGS * run.plan.start_resolution_A / run.plan.finest_resolution_A),
            particles=run.plan.n_particles,
        ),
        write=partial(_write, run),
        iteration=partial(_write_iteration, run),
        forget=remove_iteration,
        screen=_screen(run, resources.store.parent),
        plan=asdict(run.plan),
    )


def _screen(run: Class2DRun, output: Path) -> tuple[str, ...]:
    """Data, settings with their units, device and memory, folder."""
    particles, settings, plan = run.particles, run.settings, run.plan
    groups = len(np.unique(particles.optics_group))
    data = [
        f"{particles.path}: {plan.n_particles:,} particles, {plan.box_px} x {plan.box_px} pixels",
        f"{plan.pixel_size_A:g} Å/pixel",
        f"{len(particles.micrograph_names):,} micrographs",
        f"{groups} optics group{'s' if groups > 1 else ''}",
        "CTF corrected" if plan.has_ctf else "no CTF correction",
    ]
    chosen = [
        f"{plan.classes} classes",
        f"particle diameter {plan.particle_diameter_A:.0f} Å",
        f"shifts within {plan.offset_range_A:.1f} Å",
        f"resolution from {plan.start_resolution_A:.0f} to at most {plan.finest_resolution_A:.1f} Å",
        f"at most {settings.iterations} iterations",
        f"tau2 fudge {settings.tau2_fudge:g}",
        f"seed {settings.seed}",
    ]
    where = "in memory" if plan.prepared_in_memory else f"on disk in {output}"
    threads, processes = run.threads, run.processes.size
    shared = f" in each of {processes} processes" if processes > 1 else ""
    work = [
        f"{run.device}, {threads} thread{'s' if threads > 1 else ''}{shared}",
        f"memory {describe_bytes(plan.memory_bytes)}",
        f"prepared images {describe_bytes(plan.prepared_bytes)} {where}",
        f"first pass {plan.first_pass_particles:,} particles",
        f"roughly {describe_duration(plan.seconds_estimate)}",
    ]
    return (
        f"data     {', '.join(data)}",
        f"settings {', '.join(chosen)}",
        f"work     {', '.join(work)}",
        f"output   {output}",
    )


def _chosen_values(run: Class2DRun) -> dict[str, Any]:
    """What "automatic" settings came to, beyond the layout."""
    return {
        "ctf_corrected": run.plan.has_ctf,
        "device": run.device,
        "threads": run.threads,
        "processes": run.processes.size,
    }


def _write_iteration(run: Class2DRun, folder: Path, state: Class2DState) -> None:
    snapshot = Snapshot(
        pixel_size_A=run.plan.pixel_size_A,
        particle_diameter_A=run.plan.particle_diameter_A,
        noise_power=np.ones((run.plan.noise_groups, run.plan.box_px // 2 + 1)),  # of the normalised background: white
        noise_group=run.particles.optics_group,
        **run.snapshot(state),
    )
    search = _search_settings(run, folder)
    write_iteration(folder, snapshot, run.particles, iteration=state.iteration, search=search)


def _write(run: Class2DRun, folder: Path, result: Class2DResult, state: Class2DState) -> Outcome:
    write_final(folder, result, run.particles, search=_search_settings(run, folder))
    found = run.examples(result)
    if found:
        numbers, rows, images = zip(*found, strict=True)
        chosen = Examples(images=np.stack(images), class_number=np.array(numbers), particle=np.array(rows) + 1)
        write_examples(folder, chosen)
    return _outcome(result)


def _search_settings(run: Class2DRun, folder: Path) -> SearchSettings:
    """RELION's view of the search; its shift step is that of a square grid with as many points in the disc."""
    last: Mapping[str, Any] = read_history(folder)[-1]
    return SearchSettings(
        iterations=run.settings.iterations,
        seed=run.settings.seed,
        regularisation=run.settings.tau2_fudge,
        psi_step_deg=last["psi_step_deg"],
        offset_range_A=run.plan.offset_range_A,
        offset_step_A=run.plan.offset_range_A * float(np.sqrt(np.pi / last["shifts"])),
    )


def _outcome(result: Class2DResult) -> Outcome:
    filled = int((result.population > 0).sum())
    refused = int((result.class_number == 0).sum())
    best = float(result.resolution_A.min())
    figures = {
        "classes_with_particles": filled,
        "refused_particles": refused,
        "best_resolution_A": best if np.isfinite(best) else None,
        "found_signal": result.found_signal,
    }
    if not result.found_signal:
        words, verdict = "no class shows more signal than noise alone would", "nothing was found"
    else:
        resolution = f"the best resolution is {best:.1f} Å" if np.isfinite(best) else "none of them with a resolution"
        refusals = f"; {counted(refused, 'particle')} {'was' if refused == 1 else 'were'} refused" if refused else ""
        words, verdict = f"{counted(filled, 'class')}, {resolution}{refusals}", "done"
    return Outcome(words=words, verdict=verdict, summary=figures, messages=tuple(result.messages))


TASK = Task(
    name="class2d",
    title="classifying",
    about="Written: ``run_data.star``, ``run_classes.mrcs``, ``run_model.star`` and ``run_optimiser.star``, and those "
    "of the iterations as ``run_it###_...``: RELION reads them as its own.",
    source=ParticlesToClassify,
    methods={"": Class2D},
    prepare=_prepare,
    files=FILES,
    results="run_data.star, run_classes.mrcs, run_model.star",
    page=class2d_page,
    uses=frozenset({"device", "memory", "threads", "every", "processes"}),
    aliases=ALIASES,
)
run_class2d = function_of(TASK)
