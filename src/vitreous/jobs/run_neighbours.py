"""The ``neighbours`` job: a particle file in, a folder with neighbours, averages and a report out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from vitreous.averages.neighbours import (
    Neighbours,
    NeighboursResult,
    NeighboursRun,
    neighbour_examples,
    prepare_neighbours,
)
from vitreous.averages.neighbours.task import NeighboursState
from vitreous.iterate import run
from vitreous.jobs.carry_out import carry_out
from vitreous.jobs.folder import Job
from vitreous.jobs.inherit import classified_particles, inherited
from vitreous.jobs.manifest import Manifest, new_manifest
from vitreous.jobs.neighbours_folder import write_neighbours
from vitreous.jobs.options import RunOptions, tell, use_threads
from vitreous.jobs.progress import describe_bytes, describe_duration, follow, reporting
from vitreous.jobs.report.neighbours import write_neighbours_report
from vitreous.jobs.run_summary import warnings_before
from vitreous.particles import ParticleSet, read_particles

__all__ = ["run_neighbours"]

STORE = "coefficients.dat"  # coefficients that do not fit into memory; removed at the end


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """A job that is laid out and has not begun."""

    particles: ParticleSet
    settings: Neighbours
    options: RunOptions
    prepared: NeighboursRun
    manifest: Manifest
    first_screen: tuple[str, ...]
    warnings: tuple[str, ...]


def run_neighbours(
    particles: str | Path,
    output: str | Path,
    settings: Neighbours | None = None,
    options: RunOptions | None = None,
    *,
    command: str = "vitreous.run_neighbours",
    project: str | Path | None = None,
    passthrough: Sequence[str | Path] = (),
    pixel_size_A: float | None = None,
) -> Path | None:
    """Find the neighbours of the particles of a file and write everything into the folder ``output``.

    ``particles``: a particle file, centred by its origin columns, or the folder of a ``class2d`` job, of which
    particle diameter, contrast, normalisation and use of the CTF are taken over. The folder gets ``neighbours.star``,
    ``averages.mrcs`` and ``.star``, ``classes.mrcs`` and ``.star``, ``data.star``, ``report.html``, ``job.json``,
    ``history.jsonl``, ``run.log``. A job that was killed continues with ``options.resume`` and ends with the same
    result. Returns the path of the report; None after a dry run.

    Raises
    ------
    FileNotFoundError, ValueError
        For particles or settings that cannot be used, and for a folder that holds something else.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder.
    """
    options = options or RunOptions()
    if options.device == "cuda":
        raise ValueError("neighbours are searched on the processor; leave the device out")
    path = classified_particles(particles)
    found = read_particles(path, project=project, passthrough=passthrough, pixel_size_A=pixel_size_A)
    use_threads(options)
    chosen, notes = inherited(settings or Neighbours(), path)
    layout = _lay_out(found, chosen, options, Path(output), notes=notes, given_pixel_size_A=pixel_size_A)
    if options.dry_run:
        tell(options, "\n".join(layout.first_screen), "plan", _plan_event(layout))
        return None
    return carry_out(
        output,
        layout.manifest,
        options,
        command=command,
        work=lambda job: _work(job, layout),
        write_report=write_neighbours_report,
        results="neighbours.star, averages.mrcs, data.star",
    )


def _lay_out(
    particles: ParticleSet,
    settings: Neighbours,
    options: RunOptions,
    output: Path,
    *,
    notes: list[str],
    given_pixel_size_A: float | None,
) -> _Layout:
    """Everything that can be found wrong before the folder is touched is found here."""
    warnings = warnings_before(particles, invert_contrast=settings.invert_contrast)
    prepared = prepare_neighbours(particles, settings, memory_bytes=options.memory, store=output / STORE)
    recorded = {name: value for name, value in asdict(settings).items() if name != "seed"}
    if given_pixel_size_A is not None:
        recorded["pixel_size_A"] = given_pixel_size_A
    said = (*notes, *prepared.plan.notes, *warnings)
    return _Layout(
        particles=particles,
        settings=settings,
        options=options,
        prepared=prepared,
        manifest=new_manifest("neighbours", recorded, seed=settings.seed, inputs=[particles.path]),
        first_screen=(*_describe_start(prepared, output), *(f"note     {text}" for text in said)),
        warnings=warnings,
    )


def _plan_event(layout: _Layout) -> dict:
    return {**asdict(layout.prepared.plan), "settings": asdict(layout.settings), "warnings": layout.warnings}


def _describe_start(prepared: NeighboursRun, output: Path) -> list[str]:
    """The first screen: data, settings with their units, memory and threads, folder."""
    plan, settings = prepared.plan, prepared.settings
    data = [
        f"{prepared.particles.path}: {plan.n_particles:,} particles, {plan.box_px} x {plan.box_px} pixels",
        f"{plan.pixel_size_A:g} Å/pixel",
        "CTF corrected" if prepared.ctf is not None else "no CTF correction",
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
        f"{prepared.threads} thread{'s' if prepared.threads > 1 else ''}",
        f"working box {plan.working_box_px} pixels of {plan.working_pixel_A:.2f} Å",
        f"{plan.coefficients:,} coefficients per particle, {describe_bytes(plan.matched_bytes)} "
        + ("in memory" if plan.matched_bytes < plan.memory_bytes // 4 else f"on disk in {output}"),
        f"memory {describe_bytes(plan.memory_bytes)}",
        f"roughly {describe_duration(plan.seconds_estimate)}",
    ]
    return [
        f"data     {', '.join(data)}",
        f"settings {', '.join(chosen)}",
        f"work     {', '.join(work)}",
        f"output   {output}",
    ]


def _work(job: Job, layout: _Layout) -> str:
    """Run, or go on, and write the results; returns the closing words."""
    start, prepared, settings = perf_counter(), layout.prepared, layout.settings
    state = job.restore(NeighboursState)
    done = 0 if state is None else state.iteration
    job.describe(summary=_chosen_values(prepared), messages=layout.warnings)
    try:
        with (
            torch.no_grad(),
            reporting(
                "neighbours", total=settings.runs * settings.passes, first=done, json=layout.options.json
            ) as reporter,
        ):
            for line in layout.first_screen:
                reporter.say(line)
                job.log(line)
            reporter.emit("plan", _plan_event(layout))
            if job.resumed:
                reporter.say(f"going on after pass {done}")
            prepared.on_progress = follow(reporter)

            def on_step(info: dict) -> None:
                job.record(info)
                reporter.step(info)

            result, _ = run(
                prepared.algorithm,
                seed=settings.seed,
                state=state,
                on_step=on_step,
                save=job.save,
                interrupted=job.abort_requested,
            )
            write_neighbours(job.path, result, layout.particles, neighbour_examples(prepared, result))
    finally:
        (job.path / STORE).unlink(missing_ok=True)
    closing, figures = _describe_result(result, perf_counter() - start)
    job.describe(summary=figures, messages=tuple(result.messages))
    return closing


def _chosen_values(prepared: NeighboursRun) -> dict:
    """What "automatic" settings came to, for ``job.json`` and the report."""
    plan = prepared.plan
    return {
        "particles": plan.n_particles,
        "box_px": plan.box_px,
        "pixel_size_A": plan.pixel_size_A,
        "working_box_px": plan.working_box_px,
        "working_pixel_A": plan.working_pixel_A,
        "particle_diameter_used_A": plan.particle_diameter_A,
        "classes_used": plan.classes,
        "ctf_corrected": prepared.ctf is not None,
        "threads": prepared.threads,
    }


def _describe_result(result: NeighboursResult, seconds: float) -> tuple[str, dict]:
    """(closing words, figures for ``job.json``)."""
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
        "seconds": round(seconds, 1),
    }
    took = f"in {describe_duration(seconds)}"
    if not result.found_signal:
        return f"nothing was found {took}: averages explain particles hardly better than the mean image", figures
    refusals = f"; {refused:,} particles were refused" if refused else ""
    resolution = f", a typical average reaches {figures['typical_resolution_A']:.1f} Å" if len(good) else ""
    words = f"{result.neighbours.shape[1]} neighbours of {used:,} particles, mean affinity {affinity:.2f}"
    return f"done {took}: {words}{resolution}{refusals}", figures
