"""The ``class3d`` job: particles with poses, or with references, in; K maps and the class of every particle out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.forecasts import Info, seconds_of
from vitreous.jobs.function import function_of
from vitreous.jobs.given_references import read_reference
from vitreous.jobs.progress import describe_bytes
from vitreous.jobs.report.class3d import class3d_page
from vitreous.jobs.results.class3d import CLASS3D_FILES, write_class3d
from vitreous.jobs.sources import CTFApplied, Particles, file_in_folder, require_within_box, warnings_before
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.particles import ParticleSet, Volume
from vitreous.quality import along_one_axis
from vitreous.structures.class3d import Class3D, Class3DResult, Class3DRun, Class3DState, prepare_class3d
from vitreous.structures.poses import ANGLES, Poses
from vitreous.words import counted

__all__ = ["TASK", "ParticlesToClassify", "run_class3d"]

WITH_POSES = ("abinitio_data.star", "refined_data.star", "run_data.star")  # in the folders of jobs
INSTEAD = "a .star file of particles, or the folder of a finished `vitreous abinitio`, `refine` or `class3d`"
USUAL_START, USUAL_LAST = 9, 3  # passes of a start and of the last stage
ALIASES = {  # RELION's names of our options
    "reference": ("--ref",),
    "classes": ("--K",),
    "symmetry": ("--sym",),
    "particle_diameter_A": ("--particle_diameter",),
    "initial_lowpass_A": ("--ini_high",),
    "tau2_fudge": ("--tau2_fudge",),
    "iterations": ("--iter",),
    "seed": ("--random_seed",),
    "threads": ("--j",),
}


@dataclass(frozen=True, kw_only=True)
class ParticlesToClassify:
    """Particles, and where their poses come from.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file, or the folder of an abinitio, refine or class3d job. Poses of the file are
        kept unless --alignment says otherwise.
    reference
        A map (.mrc), on any grid, in which particles without poses find them; or one for each class, in one frame,
        which classes begin with.
    ignore_poses
        Find poses anew, whatever angles the file has; needs a reference.
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
    reference: tuple[Path, ...] = ()
    ignore_poses: bool = False
    project: Path | None = None
    passthrough: tuple[Path, ...] = ()
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None


def _prepare(
    source: ParticlesToClassify, settings: Class3D, resources: Resources
) -> Prepared[Class3DState, Class3DResult]:
    found = Particles(
        particles=file_in_folder(source.particles, WITH_POSES, INSTEAD),
        project=source.project,
        passthrough=source.passthrough,
        pixel_size_A=source.pixel_size_A,
        ctf_applied=source.ctf_applied,
    ).open(ctf=settings.ctf, poses=not source.ignore_poses)
    require_within_box(settings, found)
    poses, notes = _poses(found, source, settings)
    warnings = list(warnings_before(found, invert_contrast=settings.invert_contrast))
    if settings.ctf and found.ctf_for(True) is None:
        warnings.append(
            "no CTF: the file lacks " + ", ".join(found.missing_ctf_columns) + "; classes may be those of defocus"
        )
    if poses is not None and poses.known.any() and along_one_axis(poses.rotation[poses.known], settings.symmetry):
        warnings.append("all particles are seen along one axis: one view does not determine a map")
    references: list[Volume] = []
    for path in source.reference:
        volume, said, doubts = read_reference(path, found, settings.symmetry)
        references.append(volume)
        notes += said
        warnings += doubts
    run = prepare_class3d(
        found,
        settings,
        poses=poses,
        references=tuple(references),
        memory_bytes=resources.memory_bytes,
        store=resources.store,
        threads=resources.threads,
        processes=resources.processes,
    )
    run.on_progress = resources.progress
    if run.fold_count < settings.folds:
        notes.append(f"the memory holds {run.fold_count} folds in place of {settings.folds}")
    return Prepared(
        settings=settings,
        pixels=found.digest,
        inputs=(found.path, *source.reference),
        algorithm=run.algorithm,
        state=Class3DState,
        steps=run.most_steps,
        forecast=partial(_forecast, run),
        write=partial(_write, run),
        screen=_screen(run, source, resources),
        notes=tuple(notes),
        warnings=tuple(warnings),
        summary={
            "particles": len(found),
            "box_px": found.box_px,
            "pixel_size_A": found.pixel_size_A,
            "particle_diameter_used_A": run.preparation.particle_diameter_A,
            "threads": run.threads,
            "processes": run.processes.size,
        },
    )


def _poses(
    particles: ParticleSet, source: ParticlesToClassify, settings: Class3D
) -> tuple[Poses | None, list[str]]:  # fmt: skip
    """The poses of the file, None where they are to be found, and what is said about them."""
    missing = [name for name in ANGLES if name not in particles.table]
    if source.ignore_poses or missing:
        if not source.reference:
            reason = "the poses are to be ignored" if source.ignore_poses else f"no column {', '.join(missing)}"
            raise ValueError(
                f"{particles.path}: {reason}, and no reference is given; give a map as --reference, or particles with "
                "poses (`vitreous abinitio` finds them)"
            )
        return None, ["no poses to start from: they are refined in one map first"]
    poses = Poses.from_particles(particles)
    unknown = int((~poses.known).sum())
    notes = [f"without a pose, and without a part: {counted(unknown, 'particle')}"] if unknown else []
    frames = len(np.unique(poses.volume[poses.known]))
    if frames > 1:
        notes.append(f"the file has {frames} classes; their poses are taken to be in one frame")
    if len(source.reference) == 1 and settings.classes > 1:
        notes.append("particles have poses, and classes begin with their mean map: the reference is not used")
    return poses, notes


def _forecast(run: Class3DRun, infos: Sequence[Info]) -> float:
    """The usual number of passes, all of one cost but for those of the last stage, which may align."""
    done = sum(1 for info in infos if info["stage"] in ("components", "classes", "judged"))
    last = sum(1 for info in infos if info["stage"] == "last")
    to_come = max(run.start_count * USUAL_START - done, 0 if last else 1) + max(USUAL_LAST - last, 0)
    return seconds_of([(float(info["seconds"]), 1.0) for info in infos], [float(to_come)])


def _screen(run: Class3DRun, source: ParticlesToClassify, resources: Resources) -> tuple[str, ...]:
    particles, settings = run.particles, run.settings
    poses = "poses found first" if run.seeks_poses else "poses of the file"
    begin = "their references" if len(run.references) == settings.classes else counted(settings.starts, "start")
    aligned = "kept" if settings.alignment == "none" else f"{settings.alignment} alignment in the last stage"
    return (
        f"data     {particles.path}: {len(particles):,} particles, {particles.box_px} x {particles.box_px} pixels, "
        f"{particles.pixel_size_A:g} Å/pixel, {'CTF corrected' if run.ctf is not None else 'no CTF correction'}",
        f"settings {settings.classes} classes from {begin}, {settings.assignment}; {poses}, {aligned}; "
        f"symmetry {settings.symmetry}, particle diameter {run.preparation.particle_diameter_A:.0f} Å, "
        f"seed {settings.seed}",
        f"work     {counted(run.threads, 'thread')}, memory "
        f"{describe_bytes(resources.memory_bytes)}, prepared images {describe_bytes(run.base.room.prepared_bytes())} "
        f"{'in memory' if run.base.room.in_memory() else 'on disk'}",
        f"output   {resources.store.parent}",
    )


def _write(run: Class3DRun, folder: Path, result: Class3DResult, state: Class3DState) -> Outcome:
    write_class3d(folder, result, run.particles)
    best, sizes = result.best, [int((result.poses.volume == k).sum()) for k in range(len(result.classes))]
    summary: dict[str, Any] = {
        "found_classes": result.found_classes,
        "class_particles": sizes,
        "class_resolution_A": [
            round(one.resolution_A, 2) if np.isfinite(one.resolution_A) else None for one in result.classes
        ],
        "evidence": round(best.evidence, 4),
        "evidence_sigmas": round(best.sigmas, 2),
        "halves_agreement": round(best.halves_agree, 4),
        "starts_agreement": [round(start.best_agrees, 4) for start in result.starts],
        "rings": state.rings,
    }
    said = ", ".join(f"{size:,}" for size in sizes)
    words = f"classes of {said} particles; evidence {best.evidence:+.2f} nats per particle, halves agree by "
    return Outcome(
        words="\n".join([f"{words}{best.halves_agree:.2f}", *(f"note     {text}" for text in result.messages)]),
        verdict="done" if result.found_classes else "nothing was found",
        summary=summary,
        messages=tuple(result.messages),
    )


TASK = Task(
    name="class3d",
    title="classifying in 3D",
    about="Classes begin together, as the mean map, and come apart along what it leaves over. Written: "
    "``run_class001.mrc`` and so on, ``run_data.star``, ``class1.star`` and so on with the particles of a class.",
    source=ParticlesToClassify,
    methods={"": Class3D},
    prepare=_prepare,
    files=CLASS3D_FILES,
    results="run_class001.mrc, run_data.star, class1.star",
    page=class3d_page,
    uses=frozenset({"memory", "threads", "every", "processes"}),
    aliases=ALIASES,
)
run_class3d = function_of(TASK)
