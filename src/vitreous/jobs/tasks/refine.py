"""The ``refine`` job: particles and a reference or poses in; half maps, a map, its resolution and refined poses out."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.forecasts import forecast_refine
from vitreous.jobs.function import function_of
from vitreous.jobs.given_maps import require_mask
from vitreous.jobs.given_references import read_reference
from vitreous.jobs.progress import describe_bytes
from vitreous.jobs.report.refine import refine_page
from vitreous.jobs.results.refine import DATA, REFINE_FILES, write_refined
from vitreous.jobs.sources import CTFApplied, Particles, file_in_folder, require_within_box, warnings_before
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.jobs.tasks.postprocess import postprocess_doubts, postprocess_figures
from vitreous.particles import ParticleSet, Volume
from vitreous.quality import along_one_axis
from vitreous.structures.poses import ANGLES, Poses
from vitreous.structures.refine import Refine, RefineResult, RefineRun, prepare_refinement
from vitreous.structures.refine.state import RefineState

__all__ = ["TASK", "ParticlesToRefine", "run_refine"]

WITH_POSES = ("abinitio_data.star", DATA)  # in the folders of jobs
INSTEAD = "a .star file of particles, or the folder of a finished `vitreous abinitio` or `vitreous refine`"
ALIASES = {  # RELION's names of our options
    "reference": ("--ref",),
    "mask": ("--solvent_mask",),
    "symmetry": ("--sym",),
    "particle_diameter_A": ("--particle_diameter",),
    "initial_lowpass_A": ("--ini_high",),
    "iterations": ("--iter",),
    "seed": ("--random_seed",),
    "threads": ("--j",),
}


@dataclass(frozen=True, kw_only=True)
class ParticlesToRefine:
    """Particles, and where they start.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file, or the folder of an abinitio or refine job. Where the file has angles, the
        refinement starts from them.
    reference
        A map (.mrc) that both halves start from, on any grid. Without one the map of the poses is taken.
    mask
        A mask (.mrc, from 0 to 1): what is outside has no part in the map.
    ignore_poses
        Search all views at the start, whatever angles the file has; needs a reference.
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
    reference: Path | None = None
    mask: Path | None = None
    ignore_poses: bool = False
    project: Path | None = None
    passthrough: tuple[Path, ...] = ()
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None


def _prepare(source: ParticlesToRefine, settings: Refine, resources: Resources) -> Prepared[RefineState, RefineResult]:
    found = Particles(
        particles=file_in_folder(source.particles, WITH_POSES, INSTEAD),
        project=source.project,
        passthrough=source.passthrough,
        pixel_size_A=source.pixel_size_A,
        ctf_applied=source.ctf_applied,
    ).open(ctf=settings.ctf, poses=not source.ignore_poses)
    require_within_box(settings, found)
    poses, notes = _start(found, source)
    warnings = list(warnings_before(found, invert_contrast=settings.invert_contrast))
    if settings.ctf and found.ctf_for(True) is None:
        warnings.append(
            "no CTF: the file lacks " + ", ".join(found.missing_ctf_columns) + "; the map will be distorted by it"
        )
    if poses is not None and poses.known.any() and along_one_axis(poses.rotation[poses.known], settings.symmetry):
        warnings.append("all particles are seen along one axis: one view does not determine a map")
    reference = mask = None
    if source.reference is not None:
        reference, said, doubts = read_reference(source.reference, found, settings.symmetry)
        notes += said
        warnings += doubts
    if source.mask is not None:
        box = np.zeros((found.box_px,) * 3, np.float32)
        mask, said = require_mask(source.mask, Volume(data=box, pixel_size_A=found.pixel_size_A))
        warnings += said
    run = prepare_refinement(
        found,
        settings,
        reference=reference,
        poses=poses,
        mask=mask,
        memory_bytes=resources.memory_bytes,
        store=resources.store,
        threads=resources.threads,
        processes=resources.processes,
    )
    run.on_progress = resources.progress
    if run.fold_count < settings.folds:
        notes.append(f"the memory holds {run.fold_count} folds in place of {settings.folds}")
    if run.memory_limit_A is not None:
        warnings.append(
            f"the memory ({describe_bytes(resources.memory_bytes)}) ends the resolution of poses at "
            f"{run.memory_limit_A:.1f} Å; allow more for finer detail (--memory)"
        )
    return Prepared(
        settings=settings,
        pixels=found.digest,
        inputs=(found.path, *(path for path in (source.reference, source.mask) if path is not None)),
        algorithm=run.algorithm,
        state=RefineState,
        steps=settings.iterations,
        forecast=partial(forecast_refine, passes=settings.iterations, most_rings=run.most_rings, particles=len(found)),
        write=partial(_write, run),
        screen=_screen(run, source, resources),
        notes=tuple(notes),
        warnings=tuple(warnings),
        summary={
            "particles": len(found),
            "box_px": found.box_px,
            "pixel_size_A": found.pixel_size_A,
            "particle_diameter_used_A": run.preparation.particle_diameter_A,
            "offset_range_used_A": run.offset_range_A,
            "threads": run.threads,
            "processes": run.processes.size,
        },
    )


def _start(particles: ParticleSet, source: ParticlesToRefine) -> tuple[Poses | None, list[str]]:
    """The poses to start from, None where all views are searched first, and what is said about them."""
    missing = [name for name in ANGLES if name not in particles.table]
    if source.ignore_poses or missing:
        if source.reference is None:
            reason = "the poses are to be ignored" if source.ignore_poses else f"no column {', '.join(missing)}"
            raise ValueError(
                f"{particles.path}: {reason}, and no reference is given; give a map as --reference, or particles with "
                "poses (`vitreous abinitio` finds them)"
            )
        return None, ["no poses to start from: all views are searched in the first pass"]
    poses = Poses.from_particles(particles)
    unknown = int((~poses.known).sum())
    return poses, [f"{unknown:,} particles without a pose look at all views in the first pass"] if unknown else []


def _screen(run: RefineRun, source: ParticlesToRefine, resources: Resources) -> tuple[str, ...]:
    particles, settings = run.particles, run.settings
    start = "poses of the file" if run.poses is not None else "a search of all views"
    against = f"{source.reference}" if source.reference is not None else "the map of the poses"
    return (
        f"data     {particles.path}: {len(particles):,} particles, {particles.box_px} x {particles.box_px} pixels, "
        f"{particles.pixel_size_A:g} Å/pixel, {'CTF corrected' if run.ctf is not None else 'no CTF correction'}",
        f"settings {'MAP' if settings.method == 'map' else 'FREALIGN'} from {start} and {against} at "
        f"{settings.initial_lowpass_A:g} Å, symmetry {settings.symmetry}, "
        f"particle diameter {run.preparation.particle_diameter_A:.0f} Å, at most {settings.iterations} passes, "
        f"seed {settings.seed}",
        f"work     {run.threads} thread{'s' if run.threads > 1 else ''}, memory "
        f"{describe_bytes(resources.memory_bytes)}, prepared images {describe_bytes(run.room.prepared_bytes())} "
        f"{'in memory' if run.room.in_memory() else 'on disk'}",
        f"output   {resources.store.parent}",
    )


def _write(run: RefineRun, folder: Path, result: RefineResult, state: RefineState) -> Outcome:
    write_refined(folder, result, run.particles)
    resolution = result.resolution_A
    claimed = bool(np.isfinite(resolution))
    summary: dict[str, Any] = {
        **postprocess_figures(result.post),
        "resolution_A": round(resolution, 2) if claimed else None,
        "resolution_masked_A": _figure(result.masked_resolution_A),
        "resolution_in_sphere_A": _figure(result.in_sphere.resolution_A),
        "same_view": round(result.same_view, 4),
        "found_signal": result.found_signal,
        "passes": state.iteration,
        "converged": state.converged,
        "view_efficiency": round(result.sampling.efficiency, 4),
        "sigma_direction_deg": round(float(np.median(result.sigma_direction_deg[result.half >= 0])), 3),
        "sigma_psi_deg": round(float(np.median(result.sigma_psi_deg[result.half >= 0])), 3),
    }
    words = "no resolution is claimed"
    if claimed:
        words = f"{resolution:.2f} Å within the sphere of the particle, 95 % certain; after {state.iteration} passes"
    if np.isfinite(result.masked_resolution_A):
        words += f"\nmasked   {result.masked_resolution_A:.2f} Å where the corrected FSC within the mask is 0.143"
    doubts = (*result.messages, *(postprocess_doubts(result.post) if claimed else ()))
    return Outcome(
        words="\n".join([words, *(f"note     {text}" for text in doubts)]),
        verdict="done" if claimed else "nothing was found",
        summary=summary,
        messages=doubts,
    )


def _figure(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None


TASK = Task(
    name="refine",
    title="refining",
    about="Poses are refined continuously against half maps whose particles never meet. Written: ``refined.mrc`` "
    "(sharpened and filtered), ``refined_half1_unfil.mrc`` and its pair, ``refined_data.star``, ``refined_fsc.star``.",
    source=ParticlesToRefine,
    methods={"": Refine},
    prepare=_prepare,
    files=REFINE_FILES,
    results="refined.mrc, refined_half1_unfil.mrc, refined_data.star, refined_fsc.star",
    page=refine_page,
    uses=frozenset({"memory", "threads", "every", "processes"}),
    aliases=ALIASES,
)
run_refine = function_of(TASK)
