"""The result files of ``reconstruct --method gmm``, written and read back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.posed_images import POSE_COLUMNS
from vitreous.mixtures import KnownPosesResult, project, write_pseudo_atoms
from vitreous.particles import (
    ParticleSet,
    Volume,
    complete_optics,
    image_name,
    read_stack,
    read_star,
    read_volume,
    write_mrc_stack,
    write_star,
    write_volume,
)
from vitreous.quality import image_correlations
from vitreous.rotations import euler_to_matrix

__all__ = ["KnownPosesFolder", "read_known_poses", "write_known_poses"]

IMAGES, PROJECTIONS = "reconstruction_images.mrcs", "reconstruction_projections.mrcs"
DATA = "reconstruction_data.star"
MAPS = {"mean": "reconstruction.mrc", "variance": "reconstruction_variance.mrc"}


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownPosesFolder:
    """n images of box L."""

    mean: Volume
    variance: Volume
    images: np.ndarray  # (n, L, L)
    projections: np.ndarray  # (n, L, L) of the last sample, in the poses of the images
    correlation: np.ndarray  # (n,) of the two
    rotations: np.ndarray  # (n, 3, 3)


def write_known_poses(
    folder: str | Path, result: KnownPosesResult, particles: ParticleSet, images: np.ndarray
) -> np.ndarray:
    """Write a result into a folder; returns the correlation (n,) of images and projections.

    ``reconstruction.mrc`` (posterior mean, per cubic Angstrom, of integral 1), ``reconstruction_variance.mrc``,
    ``reconstruction.cif`` (pseudo-atoms of the last sample), ``reconstruction_images.mrcs`` and
    ``reconstruction_data.star`` (the images, all columns of the input), ``reconstruction_projections.mrcs`` (the last
    sample in the poses of the images).
    """
    path = Path(folder)
    box, pixel = particles.box_px, particles.pixel_size_A
    projections = project(result.mixture, result.rotations, box, pixel, offsets_A=-result.origins_A)
    correlation = image_correlations(images, projections)
    write_volume(path / MAPS["mean"], result.mean)
    write_volume(path / MAPS["variance"], result.variance)
    write_pseudo_atoms(path / "reconstruction.cif", result.mixture)
    write_mrc_stack(path / IMAGES, images, pixel)
    write_mrc_stack(path / PROJECTIONS, projections, pixel)
    table = particles.table.without(["rlnOriginX", "rlnOriginY"]).with_columns(
        {
            "vtrSourceImage": particles.table.text("rlnImageName"),
            "rlnImageName": [image_name(i, IMAGES) for i in range(len(particles))],
            "rlnOriginXAngst": np.round(result.origins_A[:, 0], 4),
            "rlnOriginYAngst": np.round(result.origins_A[:, 1], 4),
            "vtrCorrelation": np.round(correlation, 4),
        }
    )
    write_star(path / DATA, {"optics": complete_optics(particles), "particles": table})
    return correlation


def read_known_poses(folder: str | Path) -> KnownPosesFolder:
    """Read what :func:`write_known_poses` wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    missing = [name for name in (*MAPS.values(), IMAGES, PROJECTIONS, DATA) if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished reconstruction")
    table = read_star(path / DATA)["particles"]
    angles = np.stack([table.numbers(name) for name in POSE_COLUMNS], axis=1)
    return KnownPosesFolder(
        **{name: read_volume(path / file) for name, file in MAPS.items()},
        images=read_stack(path / IMAGES),
        projections=read_stack(path / PROJECTIONS),
        correlation=table.numbers("vtrCorrelation"),
        rotations=euler_to_matrix(torch.from_numpy(angles)).numpy(),
    )
