"""The result files of a ``reconstruct`` job, written and read back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.posed_images import POSE_COLUMNS
from vitreous.particles import (
    ParticleSet,
    Table,
    Volume,
    in_relion_form,
    read_star,
    read_volume,
    write_star,
    write_volume,
)
from vitreous.rotations import euler_to_matrix
from vitreous.volumes.reconstruction import PosedParticles, Reconstruction

__all__ = ["FILES", "FSC", "ReconstructFolder", "read_reconstruction", "write_reconstruction"]

FULL = "reconstruction.mrc"
HALVES = ("reconstruction_half1_unfil.mrc", "reconstruction_half2_unfil.mrc")  # as RELION's postprocess finds them
FSC, DATA = "reconstruction_fsc.star", "reconstruction_data.star"
FILES = (
    FULL,
    *HALVES,
    FSC,
    DATA,
    "reconstruction_variance.mrc",
    "reconstruction.cif",
    "reconstruction_images.mrcs",
    "reconstruction_projections.mrcs",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ReconstructFolder:
    """fsc, ssnr: (n // 2 + 1,) of the halves, of the whole; rotations: (m, 3, 3) of the particles that are in."""

    full: Volume
    halves: tuple[Volume, Volume]
    fsc: np.ndarray
    ssnr: np.ndarray
    rotations: np.ndarray


def write_reconstruction(
    folder: str | Path, result: Reconstruction, particles: ParticleSet, posed: PosedParticles
) -> None:
    """Write a result into a folder.

    ``reconstruction.mrc`` (filtered), ``reconstruction_half1_unfil.mrc`` and ``.._half2_unfil.mrc`` (not filtered),
    ``reconstruction_fsc.star`` (their correlation, as RELION has it), ``reconstruction_data.star`` (the particles that
    are in, with their half-sets).
    """
    path = Path(folder)
    write_volume(path / FULL, result.full)
    for name, half in zip(HALVES, result.halves, strict=True):
        write_volume(path / name, half)
    n, shells = particles.box_px, np.arange(len(result.fsc))
    frequency = shells / (n * particles.pixel_size_A)
    table = Table.from_arrays(
        {
            "rlnSpectralIndex": shells,
            "rlnResolution": np.round(frequency, 6),
            "rlnAngstromResolution": np.round(1 / np.maximum(frequency, 1e-3), 4),
            "rlnFourierShellCorrelation": np.round(result.fsc.double().numpy(), 6),
            "rlnSsnrMap": np.round(result.ssnr.double().numpy(), 6),
        }
    )
    write_star(path / FSC, {"fsc": table})
    used = np.setdiff1d(posed.used, result.bad)
    in_relion_form(particles, rlnRandomSubset=posed.half_of + 1).subset(used).write(path / DATA)


def read_reconstruction(folder: str | Path) -> ReconstructFolder:
    """Read what :func:`write_reconstruction` wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    missing = [name for name in (FULL, *HALVES, FSC, DATA) if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished reconstruction")
    found, particles = read_star(path / FSC)["fsc"], read_star(path / DATA)["particles"]
    angles = np.stack([particles.numbers(name) for name in POSE_COLUMNS], axis=1)
    return ReconstructFolder(
        full=read_volume(path / FULL),
        halves=(read_volume(path / HALVES[0]), read_volume(path / HALVES[1])),
        fsc=found.numbers("rlnFourierShellCorrelation"),
        ssnr=found.numbers("rlnSsnrMap"),
        rotations=euler_to_matrix(torch.from_numpy(angles)).numpy(),
    )
