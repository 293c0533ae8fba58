"""The ``reconstruct`` job: images with poses in, a folder with a map, its uncertainty and a report out."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from vitreous.iterate import Algorithm
from vitreous.jobs.carry_out import carry_out, iterate_in_job
from vitreous.jobs.folder import Job, JobFolderError
from vitreous.jobs.manifest import new_manifest
from vitreous.jobs.progress import describe_duration
from vitreous.jobs.reconstruct_folder import POSE_COLUMNS, write_reconstruction
from vitreous.jobs.report.reconstruct import write_reconstruct_report
from vitreous.jobs.run_options import RunOptions, tell
from vitreous.mixtures import (
    KnownPoses,
    KnownPosesResult,
    KnownPosesState,
    known_poses_algorithm,
)
from vitreous.particles import ParticleSet, read_particles
from vitreous.quality import UnseenCone, unseen_cone
from vitreous.rotations import euler_to_matrix, symmetry_matrices

__all__ = ["METHODS", "run_reconstruct"]

INITIAL = "initial_data.star"  # of an initial folder
WIDE_DEG = 30.0  # a cone without data that is wider than this, half angle, distorts a map visibly
SINGLE_DEG = 65.0  # all views are within 25 degrees of one direction
Settings = KnownPoses


@dataclass(frozen=True, kw_only=True)
class Method:
    """How one kind of settings is carried out."""

    name: str
    algorithm: Callable[..., Algorithm[Any, KnownPosesResult]]
    state: type[Any]


METHODS: dict[type[Settings], Method] = {
    KnownPoses: Method(name="gmm", algorithm=known_poses_algorithm, state=KnownPosesState),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Input:
    particles: ParticleSet
    images: np.ndarray
    rotations: np.ndarray
    notes: list[str]


def run_reconstruct(
    images: str | Path,
    output: str | Path,
    settings: Settings | None = None,
    options: RunOptions | None = None,
    *,
    command: str = "vitreous.run_reconstruct",
    project: str | Path | None = None,
    pixel_size_A: float | None = None,
) -> Path | None:
    """A map from averages or other images whose poses are known, with everything about it in the folder ``output``.

    ``images``: a STAR file with rlnAngleRot, rlnAngleTilt, rlnAnglePsi and, where particles are not centred,
    rlnOriginXAngst and rlnOriginYAngst; or the folder of an ``initial`` job. Particles white, nowhere negative. The
    kind of ``settings`` chooses the method; there is one today.

    Written: what :func:`vitreous.jobs.reconstruct_folder.write_reconstruction` lists, ``report.html``, ``job.json``,
    ``history.jsonl``, ``run.log``. A job that was killed continues with ``options.resume`` and ends with the same
    bits. Returns the path of the report; None after a dry run.

    Raises
    ------
    FileNotFoundError, ValueError
        For images, poses or settings that cannot be used, and for a folder that holds something else.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder.
    """
    options = options or RunOptions()
    chosen, threads = settings or KnownPoses(), options.threads or os.cpu_count() or 1
    method = METHODS[type(chosen)]
    found = _read(images, project, pixel_size_A)
    particles = found.particles
    try:
        algorithm = method.algorithm(
            found.images,
            found.rotations,
            particles.pixel_size_A,
            chosen,
            origins_A=particles.origin_A,
            threads=threads,
        )
    except ValueError as error:
        raise ValueError(f"{particles.path}: {error}") from error
    cone = unseen_cone(found.rotations, symmetry_matrices(chosen.symmetry).to(torch.float64).numpy())
    notes = [*found.notes, *_doubts(cone)]
    screen = [*_describe(particles, chosen, cone, threads), *(f"note     {text}" for text in notes)]
    recorded = {"method": method.name, **asdict(chosen)}
    if options.dry_run:
        tell(options, "\n".join(screen), "plan", {"settings": recorded, "images": len(particles)})
        return None
    del recorded["seed"]  # has a place of its own
    if pixel_size_A is not None:
        recorded["pixel_size_A"] = pixel_size_A
    manifest = new_manifest("reconstruct", recorded, seed=chosen.seed, inputs=[particles.path])
    return carry_out(
        output,
        manifest,
        options,
        command=command,
        work=lambda job: _work(job, algorithm, found, chosen, cone, options, screen, notes),
        write_report=write_reconstruct_report,
        results="reconstruction.mrc, reconstruction_variance.mrc, reconstruction.cif",
    )


def _read(images: str | Path, project: str | Path | None, pixel_size_A: float | None) -> _Input:
    """Images without those that are empty, their pixels and poses, and notes."""
    path = Path(images)
    if path.is_dir() and not (path / INITIAL).is_file():
        raise JobFolderError(
            f"{path} has no {INITIAL}: give a .star file of images with their poses, or the folder of a finished "
            "`vitreous initial`"
        )
    found = read_particles(path / INITIAL if path.is_dir() else path, project=project, pixel_size_A=pixel_size_A)
    rotations = _rotations(found)
    pixels, notes = found.read(slice(None)), []
    if not any(found.has(name) for name in ("rlnOriginXAngst", "rlnOriginX")):
        notes.append("the file has no origins (rlnOriginXAngst): particles are taken to be centred in their images")
    filled = pixels.any(axis=(1, 2))
    if not filled.any():
        raise ValueError(f"{found.path}: all {len(found)} images are zero everywhere; there is nothing to reconstruct.")
    if not filled.all():
        numbers = ", ".join(str(i + 1) for i in np.flatnonzero(~filled))
        notes.append(f"zero everywhere and left out: image {numbers}")
        found, pixels, rotations = found.subset(filled), pixels[filled], rotations[filled]
    return _Input(particles=found, images=pixels, rotations=rotations, notes=notes)


def _rotations(particles: ParticleSet) -> np.ndarray:
    """The poses (n, 3, 3), or a ValueError that says what is missing."""
    missing = [name for name in POSE_COLUMNS if name not in particles.table]
    if missing:
        raise ValueError(
            f"{particles.path}: no column {', '.join(missing)}; a reconstruction needs the poses of all images. "
            "`vitreous initial` finds those of class averages."
        )
    angles = np.stack([particles.table.numbers(name) for name in POSE_COLUMNS], axis=1)
    wrong = ~np.isfinite(angles).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        values = ", ".join(f"{v:g}" for v in angles[row])
        raise ValueError(
            f"{particles.table.where(row)}: {wrong.sum()} pose(s) are no numbers, the first one is {values}"
        )
    return euler_to_matrix(torch.from_numpy(angles)).numpy()


def _describe(particles: ParticleSet, settings: Settings, cone: UnseenCone, threads: int) -> list[str]:
    """The first screen."""
    box, pixel = particles.box_px, particles.pixel_size_A
    side = min(settings.box_px, box)
    offsets = f"drawn within {settings.offset_sd_A:g} Å" if settings.offset_sd_A else "fixed"
    return [
        f"data     {particles.path}: {len(particles):,} images, {box} x {box} pixels, {pixel:g} Å/pixel",
        f"views    largest cone of Fourier space without data: half angle {cone.half_angle_deg:.0f}°",
        f"settings {METHODS[type(settings)].name}, symmetry {settings.symmetry}, {settings.components} Gaussians on "
        f"{side} x {side} pixels, {settings.counts:,} counts per image, offsets {offsets}, seed {settings.seed}, "
        f"{threads} threads",
    ]


def _doubts(cone: UnseenCone) -> list[str]:
    """What a user should know before believing the map."""
    if cone.half_angle_deg <= WIDE_DEG:
        return []
    axis = ", ".join(f"{v:.2f}" for v in cone.axis)
    text = f"the views leave a cone of {cone.half_angle_deg:.0f}° (half angle) about the axis ({axis}) without data"
    if cone.half_angle_deg > SINGLE_DEG:
        return [f"{text}: all are seen from about one direction, and do not determine the structure"]
    return [f"{text}: the map is uncertain along it"]


def _work(
    job: Job,
    algorithm: Algorithm[Any, KnownPosesResult],
    found: _Input,
    settings: Settings,
    cone: UnseenCone,
    options: RunOptions,
    screen: list[str],
    notes: list[str],
) -> str:
    """Run, or go on, and write the results; returns the closing words."""
    start = perf_counter()
    result, _ = iterate_in_job(
        job,
        algorithm,
        METHODS[type(settings)].state,
        seed=settings.seed,
        title="reconstruction",
        total=-(-settings.burn_in_steps // settings.steps_between) + settings.samples,
        screen=screen,
        options=options,
    )
    correlation = write_reconstruction(job.path, result, found.particles, found.images)
    seconds = perf_counter() - start
    summary = {
        "images": len(found.images),
        "map_box_px": result.mean.data.shape[0],
        "map_pixel_size_A": result.mean.pixel_size_A,
        "unseen_cone_deg": round(cone.half_angle_deg, 1),
        "mean_correlation_with_images": round(float(correlation.mean()), 4),
        "component_sigma_A": round(result.mixture.sigma_A, 2),
        "seconds": round(seconds, 1),
    }
    job.describe(summary=summary, messages=tuple(notes))
    return (
        f"done in {describe_duration(seconds)}: {len(result.mixture):,} Gaussians of sigma "
        f"{result.mixture.sigma_A:.2f} Å, mean correlation of images and projections {correlation.mean():.3f}"
    )
