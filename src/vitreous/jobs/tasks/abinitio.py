"""The ``abinitio`` job: particles in, a folder with volumes of both hands, poses and a report out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.averages import refuse_averages
from vitreous.jobs.forecast_abinitio import forecast_abinitio
from vitreous.jobs.function import function_of
from vitreous.jobs.progress import describe_bytes
from vitreous.jobs.report.abinitio import abinitio_page
from vitreous.jobs.results.abinitio import FILES, write_abinitio
from vitreous.jobs.sources import CTFApplied, Particles, classified, inherited, require_within_box, warnings_before
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.structures.abinitio import (
    Abinitio,
    AbinitioResult,
    AbinitioRun,
    AbinitioState,
    StartSummary,
    prepare_run,
)

__all__ = ["TASK", "ParticlesOfAnyPose", "run_abinitio"]


@dataclass(frozen=True, kw_only=True)
class ParticlesOfAnyPose:
    """Particles, or what a classification has left of them.

    Parameters
    ----------
    particles
        A .star file (such as one that `vitreous select` wrote), a cryoSPARC .cs file, a bare .mrcs stack, or the folder
        of a class2d job.
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
    source: ParticlesOfAnyPose, settings: Abinitio, resources: Resources
) -> Prepared[AbinitioState, AbinitioResult]:
    refuse_averages(source.particles)
    path = classified(source.particles)
    settings, taken = inherited(settings, path)
    found = Particles(**{**vars(source), "particles": path}).open(ctf=settings.ctf, poses=False)
    require_within_box(settings, found)
    warnings = warnings_before(found, invert_contrast=settings.invert_contrast)
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
    return Prepared(
        settings=settings,
        inputs=(found.path,),
        pixels=found.digest,
        algorithm=run.algorithm,
        state=AbinitioState,
        steps=settings.starts * settings.iterations,
        write=partial(_write, run),
        remark=_remark,
        forecast=partial(
            forecast_abinitio,
            starts=settings.starts,
            most_rings=run.plan.rings,
            particles=run.plan.n_particles,
            passes=settings.iterations,
        ),
        screen=_screen(run, resources.store.parent),
        notes=(*taken, *run.plan.notes),
        warnings=warnings,
        plan=asdict(run.plan),
        summary=_chosen_values(run),
    )


def _screen(run: AbinitioRun, output: Path) -> tuple[str, ...]:
    particles, settings, plan = run.particles, run.settings, run.plan
    data = [
        f"{particles.path}: {plan.n_particles:,} particles, {plan.box_px} x {plan.box_px} pixels",
        f"{plan.pixel_size_A:g} Å/pixel",
        "CTF corrected" if plan.has_ctf else "no CTF correction",
    ]
    chosen = [
        {"em": "expectation maximisation", "sgd": "stochastic gradient ascent"}[settings.method],
        f"{plan.volumes} volume{'s' * (plan.volumes > 1)}",
        f"symmetry {plan.symmetry}",
        f"{plan.starts} start{'s' * (plan.starts > 1)}",
        f"particle diameter {plan.particle_diameter_A:.0f} Å",
        f"shifts within {plan.offset_range_A:.1f} Å",
        f"resolution from {plan.start_resolution_A:.0f} to {plan.finest_resolution_A:.1f} Å",
        f"at most {settings.iterations} passes in each start",
        f"seed {settings.seed}",
    ]
    where = "in memory" if plan.prepared_in_memory else f"on disk in {output}"
    work = [
        f"{run.device}, {run.threads} thread{'s' * (run.threads > 1)}",
        f"memory {describe_bytes(plan.memory_bytes)}",
        f"prepared images {describe_bytes(plan.prepared_bytes)} {where}",
        f"first pass {plan.first_pass_particles:,} particles, {plan.held_out:,} held out",
    ]
    return (
        f"data     {', '.join(data)}",
        f"settings {', '.join(chosen)}",
        f"work     {', '.join(work)}",
        f"output   {output}",
    )


def _chosen_values(run: AbinitioRun) -> dict[str, Any]:
    """What "automatic" settings came to."""
    plan = run.plan
    return {
        "particles": plan.n_particles,
        "box_px": plan.box_px,
        "pixel_size_A": plan.pixel_size_A,
        "particle_diameter_used_A": plan.particle_diameter_A,
        "offset_range_used_A": plan.offset_range_A,
        "finest_resolution_A": plan.finest_resolution_A,
        "ctf_corrected": plan.has_ctf,
        "device": run.device,
        "threads": run.threads,
        "processes": run.processes.size,
    }


def _remark(info: Mapping[str, Any]) -> str | None:
    return f"start    {info['start']} begins at random" if info["pass"] == 1 and info["start"] > 1 else None


def _write(run: AbinitioRun, folder: Path, result: AbinitioResult, state: AbinitioState) -> Outcome:
    write_abinitio(folder, result, run.particles)
    best = result.starts[result.best]
    figures = {
        "starts_agreeing": result.starts_agreeing,
        "found_signal": result.found_signal,
        "finished": best.settled,
        "held_out_evidence": round(best.evidence, 3),
        "symmetry": result.symmetry,
        **_group(best),
        "populations": [round(float(share), 4) for share in result.population],
        "mean_max_probability": round(float(result.max_probability[result.poses.known].mean()), 4),
        "refused_particles": int(np.count_nonzero(~result.poses.known)),
    }
    if not result.found_signal:
        words, verdict = "unseen particles match the maps no better than noise does", "nothing was found"
    else:
        verdict = "done"
        agree = f"{result.starts_agreeing} of {len(result.starts)} starts agree"
        words = f"{agree if len(result.starts) > 1 else 'a single start'}, evidence {best.evidence:.1f} nats per image"
    lines = [
        words,
        "hand     not determined by particles: abinitio*_other_hand.mrc explain them equally well",
        *(f"note     {text}" for text in result.messages),
    ]
    return Outcome(words="\n".join(lines), verdict=verdict, summary=figures, messages=tuple(result.messages))


def _group(start: StartSummary) -> dict[str, Any]:
    """What the map without symmetry had, of the group and of others."""
    if start.group is None:
        return {}
    rivals = zip(start.group.rivals, start.group.rival_merits, strict=True)
    return {
        "symmetry_merit": round(start.group.merit, 3),
        "symmetry_rivals": {name: round(merit, 3) for name, merit in rivals},
    }


TASK = Task(
    name="abinitio",
    title="ab initio",
    about="Starts from random poses. Starts are ranked by particles that none of them has used, and compared: a "
    "structure that several starts find is credible. The hand is not determined by particles; both are written.",
    source=ParticlesOfAnyPose,
    methods={"": Abinitio},
    prepare=_prepare,
    files=FILES,
    results="abinitio*.mrc, abinitio_data.star",
    page=abinitio_page,
    uses=frozenset({"device", "memory", "threads", "processes"}),
    aliases={
        "symmetry": ("--sym",),
        "volumes": ("--K",),
        "particle_diameter_A": ("--particle_diameter",),
        "iterations": ("--iter",),
    },
)
run_abinitio = function_of(TASK)
