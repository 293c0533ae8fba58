"""The ``neighbours`` job: a particle file in, a folder with neighbours, averages and a report out."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.neighbours import (
    Neighbours,
    NeighboursResult,
    NeighboursRun,
    neighbour_examples,
    prepare_neighbours,
)
from vitreous.averages.neighbours.task import NeighboursState
from vitreous.jobs.function import function_of
from vitreous.jobs.progress import describe_bytes, describe_duration
from vitreous.jobs.report.neighbours import neighbours_page
from vitreous.jobs.results.neighbours import FILES, write_neighbours
from vitreous.jobs.sources import CTFApplied, Particles, classified, inherited, require_within_box, warnings_before
from vitreous.jobs.task import Outcome, Prepared, Resources, Task

__all__ = ["TASK", "CentredParticles", "run_neighbours"]

STORE = "coefficients.dat"  # coefficients that do not fit into memory


@dataclass(frozen=True, kw_only=True)
class CentredParticles:
    """Particles that are centred by their origin columns.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file, a bare .mrcs stack, or the folder of a class2d job.
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
    project: Path | None = None
    passthrough: tuple[Path, ...] = ()
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None


def _prepare(
    source: CentredParticles, settings: Neighbours, resources: Resources
) -> Prepared[NeighboursState, NeighboursResult]:
    path = classified(source.particles)
    chosen, notes = inherited(settings, path)
    found = Particles(**{**vars(source), "particles": path}).open(ctf=chosen.ctf)
    require_within_box(chosen, found)
    warnings = warnings_before(found, invert_contrast=chosen.invert_contrast)
    run = prepare_neighbours(
        found,
        chosen,
        memory_bytes=resources.memory_bytes,
        store=resources.store / STORE,
        threads=resources.threads,
        processes=resources.processes,
    )
    run.on_progress = resources.progress
    return Prepared(
        settings=chosen,
        inputs=(found.path,),
        pixels=found.digest,
        algorithm=run.algorithm,
        state=NeighboursState,
        steps=chosen.runs * chosen.passes,
        write=partial(_write, run),
        screen=_screen(run, resources.store.parent),
        notes=(*notes, *run.plan.notes),
        warnings=warnings,
        plan=asdict(run.plan),
        summary=_chosen_values(run),
    )


def _screen(run: NeighboursRun, output: Path) -> tuple[str, ...]:
    """Data, settings with their units, memory and threads, folder."""
    plan, settings = run.plan, run.settings
    data = [
        f"{run.particles.path}: {plan.n_particles:,} particles, {plan.box_px} x {plan.box_px} pixels",
        f"{plan.pixel_size_A:g} Å/pixel",
        "CTF corrected" if run.ctf is not None else "no CTF correction",
        "centred by the file's shifts" if plan.centred else "taken to be centred",
    ]
    chosen = [
        f"{settings.neighbours} neighbours",
        f"particle diameter {plan.particle_diameter_A:.0f} Å",
        f"{settings.runs} classification{'s' if settings.runs > 1 else ''} into {plan.classes} classes",
        f"at most {settings.passes} passes each",
        f"{settings.averages} averages" if settings.averages < plan.n_particles else "averages of all particles",
        f"seed {settings.seed}",
    ]
    work = [
        f"{run.threads} thread{'s' if run.threads > 1 else ''}",
        f"working box {plan.working_box_px} pixels of {plan.working_pixel_A:.2f} Å",
        f"{plan.coefficients:,} coefficients per particle, {describe_bytes(plan.matched_bytes)} "
        + ("in memory" if plan.matched_bytes < plan.memory_bytes // 4 else f"on disk in {output}"),
        f"memory {describe_bytes(plan.memory_bytes)}",
        f"roughly {describe_duration(plan.seconds_estimate)}",
    ]
    return (
        f"data     {', '.join(data)}",
        f"settings {', '.join(chosen)}",
        f"work     {', '.join(work)}",
        f"output   {output}",
    )


def _chosen_values(run: NeighboursRun) -> dict[str, Any]:
    """What "automatic" settings came to."""
    plan = run.plan
    return {
        "particles": plan.n_particles,
        "box_px": plan.box_px,
        "pixel_size_A": plan.pixel_size_A,
        "working_box_px": plan.working_box_px,
        "working_pixel_A": plan.working_pixel_A,
        "particle_diameter_used_A": plan.particle_diameter_A,
        "classes_used": plan.classes,
        "ctf_corrected": run.ctf is not None,
        "threads": run.threads,
        "processes": run.processes.size,
    }


def _write(run: NeighboursRun, folder: Path, result: NeighboursResult, state: NeighboursState) -> Outcome:
    write_neighbours(folder, result, run.particles, neighbour_examples(run, result))
    used = int(result.weight.sum())
    refused = len(result.weight) - used
    good = result.resolution_A[np.isfinite(result.resolution_A)]
    affinity = float(result.affinity[result.weight > 0].mean())
    figures = {
        "refused_particles": refused,
        "mean_affinity": round(affinity, 4),
        "evidence": round(result.evidence, 3),
        "typical_resolution_A": round(float(np.median(good)), 2) if len(good) else None,
        "principal_components": len(result.orders),
        "defocus_groups": result.defocus_groups,
        "defocus_phase_error_rad": round(result.defocus_phase_error_rad, 4),
        "found_signal": result.found_signal,
    }
    if not result.found_signal:
        words, verdict = "averages explain particles hardly better than the mean image", "nothing was found"
    else:
        refusals = f"; {refused:,} particles were refused" if refused else ""
        resolution = f", a typical average reaches {figures['typical_resolution_A']:.1f} Å" if len(good) else ""
        words = f"{result.neighbours.shape[1]} neighbours of {used:,} particles, mean affinity {affinity:.2f}"
        words, verdict = words + resolution + refusals, "done"
    return Outcome(words=words, verdict=verdict, summary=figures, messages=tuple(result.messages))


TASK = Task(
    name="neighbours",
    title="neighbours",
    about="Particles must be centred: give a file with shifts, or a class2d job, of which particle diameter, contrast, "
    "normalisation and use of the CTF are taken over.",
    source=CentredParticles,
    methods={"": Neighbours},
    prepare=_prepare,
    files=FILES,
    results="neighbours.star, averages.mrcs, data.star",
    page=neighbours_page,
    uses=frozenset({"memory", "threads", "processes"}),
    ignores=frozenset({"device", "every"}),
    aliases={"neighbours": ("-k",)},
)
run_neighbours = function_of(TASK)
