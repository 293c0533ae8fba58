"""What a 2D classification tells its user before and after the work."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.averages.class2d import Class2D, Class2DPlan
from vitreous.averages.result import Class2DResult
from vitreous.jobs.progress import describe_bytes, describe_duration
from vitreous.particles import CheckReport, ParticleSet, check_particles

__all__ = ["describe_result", "describe_start", "warnings_before"]

LOOKED_AT = 400  # particles whose pixels are looked at before a run


def warnings_before(particles: ParticleSet, *, invert_contrast: bool) -> tuple[str, ...]:
    """What looks wrong with the data, from the table, the headers and a sample of the images.

    Raises ValueError when a job could not run.
    """
    report = check_particles(particles, sample=LOOKED_AT)
    if report.problems:
        raise ValueError(_reason(report))
    found = [text for text in report.warnings if "dark on light" not in text]
    verdict = report.contrast.verdict if report.contrast is not None else "unclear"
    if verdict == "dark" and not invert_contrast:
        found.append("particles seem to be dark on light; --invert-contrast makes them white")
    if verdict == "white" and invert_contrast:
        found.append("particles seem to be white already, and --invert-contrast makes them dark")
    found += [f"{len(rows):,} particles {kind} (get no weight)" for kind, rows in report.bad.items() if rows]
    return tuple(found)


def _reason(report: CheckReport) -> str:
    """Why a job cannot run, with what was found in the image files when that is the reason."""
    if report.images_checked:
        return report.problems[0]
    faults = [f"{len(rows):,} particles {kind}" for kind, rows in report.bad.items() if rows]
    return f"{report.path}: {'; '.join([*report.problems[:1], *report.warnings[:1], *faults])}"


def describe_start(
    particles: ParticleSet, settings: Class2D, plan: Class2DPlan, *, device: str, output: Path
) -> list[str]:
    """The first screen: data, settings with their units, device and memory, folder."""
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
    threads = torch.get_num_threads()
    work = [
        f"{device}, {threads} thread{'s' if threads > 1 else ''}",
        f"memory {describe_bytes(plan.memory_bytes)}",
        f"prepared images {describe_bytes(plan.prepared_bytes)} {where}",
        f"first pass {plan.first_pass_particles:,} particles",
        f"roughly {describe_duration(plan.seconds_estimate)}",
    ]
    return [
        f"data     {', '.join(data)}",
        f"settings {', '.join(chosen)}",
        f"work     {', '.join(work)}",
        f"output   {output}",
    ]


def describe_result(result: Class2DResult, *, seconds: float) -> tuple[str, dict[str, Any]]:
    """(closing words, figures for ``job.json``)."""
    filled = int((result.population > 0).sum())
    refused = int((result.class_number == 0).sum())
    best = float(result.resolution_A.min())
    figures = {
        "classes_with_particles": filled,
        "refused_particles": refused,
        "best_resolution_A": best if np.isfinite(best) else None,
        "found_signal": result.found_signal,
        "seconds": round(seconds, 1),
    }
    took = f"in {describe_duration(seconds)}"
    if not result.found_signal:
        return f"nothing was found {took}: no class shows more signal than noise alone would", figures
    resolution = f"the best resolution is {best:.1f} Å" if np.isfinite(best) else "none of them with a resolution"
    refusals = f"; {refused:,} particles were refused" if refused else ""
    return f"done {took}: {filled} classes, {resolution}{refusals}", figures
