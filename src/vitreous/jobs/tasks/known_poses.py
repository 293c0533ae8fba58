"""Reconstruction by Gaussian mixtures (gmm), as a method of the ``reconstruct`` job."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vitreous.jobs.posed_images import NO_ORIGINS, POSE_COLUMNS, PosedImages, doubts, rotations_of
from vitreous.jobs.results.known_poses import write_known_poses
from vitreous.jobs.task import Outcome, Prepared, Resources
from vitreous.mixtures import (
    KnownPoses,
    KnownPosesResult,
    KnownPosesState,
    known_poses_algorithm,
)
from vitreous.particles import ParticleSet
from vitreous.quality import UnseenCone, unseen_cone
from vitreous.rotations import symmetry_matrices

__all__ = ["prepare_known_poses"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Input:
    particles: ParticleSet
    images: np.ndarray
    rotations: np.ndarray
    notes: list[str]


def prepare_known_poses(
    source: PosedImages, settings: KnownPoses, resources: Resources
) -> Prepared[KnownPosesState, KnownPosesResult]:
    """The job, laid out. Raises ValueError for images that are no counts of matter."""
    if resources.processes.size > 1 or resources.device != "cpu":
        raise ValueError("reconstruct --method gmm works in one process, on the processor")
    found = _read(source)
    particles = found.particles
    try:
        algorithm = known_poses_algorithm(
            found.images,
            found.rotations,
            particles.pixel_size_A,
            settings,
            origins_A=particles.origin_A,
            threads=resources.threads,
        )
    except ValueError as error:
        raise ValueError(f"{particles.path}: {error}") from error
    cone = unseen_cone(found.rotations, symmetry_matrices(settings.symmetry).to(torch.float64).numpy())
    return Prepared(
        settings=settings,
        inputs=(particles.path,),
        algorithm=algorithm,
        state=KnownPosesState,
        steps=-(-settings.burn_in_steps // settings.steps_between) + settings.samples,
        write=partial(_write, found, cone),
        screen=_screen(particles, settings, cone, resources.threads),
        warnings=(*found.notes, *doubts(cone)),
        plan={"images": len(particles)},
    )


def _read(source: PosedImages) -> _Input:
    """Images without those that are empty, their pixels and poses, and notes."""
    found = source.open()
    rotations = rotations_of(found)
    wrong = ~np.isfinite(rotations).all((1, 2))
    if wrong.any():
        row = int(wrong.argmax())
        values = ", ".join(f"{found.table.numbers(name)[row]:g}" for name in POSE_COLUMNS)
        where = found.table.where(row)
        raise ValueError(f"{where}: {wrong.sum()} pose(s) are no numbers, the first one is {values}")
    pixels, notes = found.read(slice(None)), []
    if not any(found.has(name) for name in ("rlnOriginXAngst", "rlnOriginX")):
        notes.append(NO_ORIGINS)
    filled = pixels.any(axis=(1, 2))
    if not filled.any():
        raise ValueError(f"{found.path}: all {len(found)} images are zero everywhere; there is nothing to reconstruct.")
    if not filled.all():
        numbers = ", ".join(str(i + 1) for i in np.flatnonzero(~filled))
        notes.append(f"zero everywhere and left out: image {numbers}")
        found, pixels, rotations = found.subset(filled), pixels[filled], rotations[filled]
    return _Input(particles=found, images=pixels, rotations=rotations, notes=notes)


def _screen(particles: ParticleSet, settings: KnownPoses, cone: UnseenCone, threads: int) -> tuple[str, ...]:
    box, pixel = particles.box_px, particles.pixel_size_A
    side = min(settings.box_px, box)
    offsets = f"drawn within {settings.offset_sd_A:g} Å" if settings.offset_sd_A else "fixed"
    return (
        f"data     {particles.path}: {len(particles):,} images, {box} x {box} pixels, {pixel:g} Å/pixel",
        f"views    largest cone of Fourier space without data: half angle {cone.half_angle_deg:.0f}°",
        f"settings gmm, symmetry {settings.symmetry}, {settings.components} Gaussians on "
        f"{side} x {side} pixels, {settings.counts:,} counts per image, offsets {offsets}, seed {settings.seed}, "
        f"{threads} threads",
    )


def _write(found: _Input, cone: UnseenCone, folder: Path, result: KnownPosesResult, state: KnownPosesState) -> Outcome:
    correlation = write_known_poses(folder, result, found.particles, found.images)
    summary = {
        "images": len(found.images),
        "map_box_px": result.mean.data.shape[0],
        "map_pixel_size_A": result.mean.pixel_size_A,
        "unseen_cone_deg": round(cone.half_angle_deg, 1),
        "mean_correlation_with_images": round(float(correlation.mean()), 4),
        "component_sigma_A": round(result.mixture.sigma_A, 2),
    }
    words = (
        f"{len(result.mixture):,} Gaussians of sigma {result.mixture.sigma_A:.2f} Å, mean correlation of images and "
        f"projections {correlation.mean():.3f}"
    )
    return Outcome(words=words, summary=summary)
