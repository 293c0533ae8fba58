"""Images with their poses, as jobs are given them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.jobs.sources import file_in_folder
from vitreous.particles import Given, ParticleSet, read_particles
from vitreous.quality import UnseenCone
from vitreous.rotations import euler_to_matrix

__all__ = ["NO_ORIGINS", "POSE_COLUMNS", "PosedImages", "doubts", "file_with_poses", "posed_rows", "rotations_of"]

POSE_COLUMNS = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
NO_ORIGINS = "the file has no origins (rlnOriginXAngst): particles are taken to be centred in their images"
WITH_POSES = ("refined_data.star", "abinitio_data.star", "initial_data.star")  # of the folders of jobs
INSTEAD = "a .star file of images with their poses, or the folder of a `vitreous refine`, `abinitio` or `initial` job"
ABINITIO = WITH_POSES[1]
VOLUME = "rlnClassNumber"  # in abinitio_data.star: which volume a particle shows; 0 where it has no pose
WIDE_DEG = 30.0  # a cone without data that is wider than this, half angle, distorts a map visibly
SINGLE_DEG = 65.0  # all views are within 25 degrees of one direction


@dataclass(frozen=True, kw_only=True)
class PosedImages:
    """Images with their poses.

    Parameters
    ----------
    images
        A .star file with the angles and origins of its images, or the folder of a refine, abinitio or initial job.
    project
        Directory that the paths in the .star file are relative to.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    """

    images: Path
    project: Path | None = None
    pixel_size_A: float | None = None

    def open(self) -> ParticleSet:
        """The images with their table. Raises JobFolderError for a folder of something else."""
        path = file_with_poses(self.images)
        particles = read_particles(path, project=self.project, pixel_size_A=self.pixel_size_A)
        return posed_rows(particles) if path is not self.images else particles


def file_with_poses(path: Given) -> Given | Path:
    """A file as it is; of the folder of a job the file with poses. JobFolderError where there is none."""
    return file_in_folder(path, WITH_POSES, INSTEAD)


def posed_rows(particles: ParticleSet) -> ParticleSet:
    """Those of a job's file that have a pose. ValueError where they show several volumes: no map is made of all."""
    if particles.path.name != ABINITIO or VOLUME not in particles.table:
        return particles
    volume = particles.table.numbers(VOLUME)
    if len(np.unique(volume[volume > 0])) > 1:
        raise ValueError(
            f"{particles.path}: particles of {len(np.unique(volume[volume > 0]))} volumes ({VOLUME}); give a .star "
            "file with those of one of them"
        )
    if not (volume > 0).any():
        raise ValueError(f"{particles.path}: no particle has a pose ({VOLUME} is 0)")
    return particles.subset(np.flatnonzero(volume > 0))


def rotations_of(particles: ParticleSet) -> np.ndarray:
    """The poses (n, 3, 3), NaN where a pose is no number; ValueError when the file has none."""
    missing = [name for name in POSE_COLUMNS if name not in particles.table]
    if missing:
        raise ValueError(
            f"{particles.path}: no column {', '.join(missing)}; a reconstruction needs the poses of all images. "
            "`vitreous abinitio` and `vitreous refine` find those of particles, `vitreous initial` those of averages."
        )
    angles = np.stack([particles.table.numbers(name) for name in POSE_COLUMNS], axis=1)
    angles[~np.isfinite(angles).all(axis=1)] = np.nan
    return euler_to_matrix(torch.from_numpy(angles)).numpy()


def doubts(cone: UnseenCone) -> list[str]:
    """What a user should know before believing the map."""
    if cone.half_angle_deg <= WIDE_DEG:
        return []
    axis = ", ".join(f"{v:.2f}" for v in cone.axis)
    text = f"the views leave a cone of {cone.half_angle_deg:.0f}° (half angle) about the axis ({axis}) without data"
    if cone.half_angle_deg > SINGLE_DEG:
        return [f"{text}: all are seen from about one direction, and do not determine the structure"]
    return [f"{text}: the map is uncertain along it"]
