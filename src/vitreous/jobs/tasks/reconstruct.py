"""The ``reconstruct`` job: images with poses in, a folder with a map, its uncertainty and a report out."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.function import function_of
from vitreous.jobs.report.reconstruct import reconstruct_page
from vitreous.jobs.results.reconstruct import FILES, POSE_COLUMNS, write_reconstruction
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.mixtures import (
    KnownPoses,
    KnownPosesResult,
    KnownPosesState,
    known_poses_algorithm,
)
from vitreous.particles import ParticleSet, read_particles
from vitreous.quality import UnseenCone, unseen_cone
from vitreous.rotations import euler_to_matrix, symmetry_matrices

__all__ = ["TASK", "PosedImages", "run_reconstruct"]

INITIAL = "initial_data.star"  # of an initial folder
WIDE_DEG = 30.0  # a cone without data that is wider than this, half angle, distorts a map visibly
SINGLE_DEG = 65.0  # all views are within 25 degrees of one direction


@dataclass(frozen=True, kw_only=True)
class PosedImages:
    """Images with their poses.

    Parameters
    ----------
    images
        A .star file with the angles and origins of its images, or the folder of an initial job.
    project
        Directory that the paths in the .star file are relative to.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    """

    images: Path
    project: Path | None = None
    pixel_size_A: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Input:
    particles: ParticleSet
    images: np.ndarray
    rotations: np.ndarray
    notes: list[str]


def _prepare(
    source: PosedImages, settings: KnownPoses, resources: Resources
) -> Prepared[KnownPosesState, KnownPosesResult]:
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
        warnings=(*found.notes, *_doubts(cone)),
        plan={"images": len(particles)},
    )


def _read(source: PosedImages) -> _Input:
    """Images without those that are empty, their pixels and poses, and notes."""
    path = source.images
    if path.is_dir() and not (path / INITIAL).is_file():
        raise JobFolderError(
            f"{path} has no {INITIAL}: give a .star file of images with their poses, or the folder of a finished "
            "`vitreous initial`"
        )
    found = read_particles(
        path / INITIAL if path.is_dir() else path, project=source.project, pixel_size_A=source.pixel_size_A
    )
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


def _screen(particles: ParticleSet, settings: KnownPoses, cone: UnseenCone, threads: int) -> tuple[str, ...]:
    box, pixel = particles.box_px, particles.pixel_size_A
    side = min(settings.box_px, box)
    offsets = f"drawn within {settings.offset_sd_A:g} Å" if settings.offset_sd_A else "fixed"
    return (
        f"data     {particles.path}: {len(particles):,} images, {box} x {box} pixels, {pixel:g} Å/pixel",
        f"views    largest cone of Fourier space without data: half angle {cone.half_angle_deg:.0f}°",
        f"settings {TASK.method(settings)}, symmetry {settings.symmetry}, {settings.components} Gaussians on "
        f"{side} x {side} pixels, {settings.counts:,} counts per image, offsets {offsets}, seed {settings.seed}, "
        f"{threads} threads",
    )


def _doubts(cone: UnseenCone) -> list[str]:
    """What a user should know before believing the map."""
    if cone.half_angle_deg <= WIDE_DEG:
        return []
    axis = ", ".join(f"{v:.2f}" for v in cone.axis)
    text = f"the views leave a cone of {cone.half_angle_deg:.0f}° (half angle) about the axis ({axis}) without data"
    if cone.half_angle_deg > SINGLE_DEG:
        return [f"{text}: all are seen from about one direction, and do not determine the structure"]
    return [f"{text}: the map is uncertain along it"]


def _write(found: _Input, cone: UnseenCone, folder: Path, result: KnownPosesResult, state: KnownPosesState) -> Outcome:
    correlation = write_reconstruction(folder, result, found.particles, found.images)
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


TASK = Task(
    name="reconstruct",
    title="reconstruction",
    about="The images must be nowhere negative: `vitreous deconvolve` makes such averages from classified particles, "
    "and with --single from any averages.",
    source=PosedImages,
    methods={"gmm": KnownPoses},
    about_methods="gmm: Gaussian mixture with counts (Poisson) as data, by Gibbs sampling.",
    prepare=_prepare,
    files=FILES,
    results="reconstruction.mrc, reconstruction_variance.mrc, reconstruction.cif",
    page=reconstruct_page,
    uses=frozenset({"threads"}),
    aliases={"symmetry": ("--sym",), "components": ("--K",)},
)
run_reconstruct = function_of(TASK)
