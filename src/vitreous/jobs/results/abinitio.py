"""The result files of an ``abinitio`` job, written and read back."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.jobs.folder import JobFolderError
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
from vitreous.quality import other_hand
from vitreous.rotations import euler_to_matrix
from vitreous.structures import Poses
from vitreous.structures.abinitio import AbinitioResult

__all__ = ["DATA", "FILES", "AbinitioFolder", "read_abinitio", "write_abinitio"]

DATA, STARTS = "abinitio_data.star", "abinitio_starts.star"
VOLUME = re.compile(r"abinitio_volume[0-9]+\.mrc")
FILES = (
    "abinitio.mrc",
    "abinitio_other_hand.mrc",
    "abinitio_volume[0-9]*.mrc",
    DATA,
    STARTS,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class AbinitioFolder:
    """volumes: the most populated first; poses: of the n particles that have one; starts: a row for each."""

    volumes: tuple[Volume, ...]
    poses: Poses
    particles: int  # with those that have no pose
    max_probability: np.ndarray  # (n,)
    starts: Table


def write_abinitio(folder: str | Path, result: AbinitioResult, particles: ParticleSet) -> None:
    """Write a result into a folder.

    ``abinitio.mrc`` and ``abinitio_other_hand.mrc`` (of several volumes ``abinitio_volume1.mrc`` and so on),
    ``abinitio_data.star`` (all columns of the input, poses, volume in rlnClassNumber, 0 where there is no pose; its
    probability in vtrClassProbability, that of the single best pose in rlnMaxValueProbDistribution, log evidence in
    rlnLogLikeliContribution) and ``abinitio_starts.star``.
    """
    path = Path(folder)
    for stem, volume in zip(_stems(len(result.volumes)), result.volumes, strict=True):
        write_volume(path / f"{stem}.mrc", volume)
        write_volume(path / f"{stem}_other_hand.mrc", other_hand(volume))
    columns = {name: np.round(values, 4) for name, values in result.poses.columns().items()}
    in_relion_form(
        particles,
        **columns,
        rlnClassNumber=result.poses.volume + 1,
        vtrClassProbability=np.round(result.volume_probability, 4),
        rlnMaxValueProbDistribution=np.round(result.max_probability, 5),
        rlnLogLikeliContribution=np.round(result.log_evidence, 4),
    ).write(path / DATA)
    write_star(path / STARTS, {"": _starts(result)})


def read_abinitio(folder: str | Path) -> AbinitioFolder:
    """Read what :func:`write_abinitio` wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    stems = _stems(len([p for p in path.iterdir() if VOLUME.fullmatch(p.name)]) or 1)
    missing = [name for name in (*(f"{stem}.mrc" for stem in stems), DATA, STARTS) if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished ab initio job")
    blocks = read_star(path / DATA)
    table = blocks["particles"] if "particles" in blocks else next(iter(blocks.values()))
    poses = _poses(table)
    known = np.flatnonzero(poses.known)
    return AbinitioFolder(
        volumes=tuple(read_volume(path / f"{stem}.mrc") for stem in stems),
        poses=poses.take(known),
        particles=len(table),
        max_probability=table.numbers("rlnMaxValueProbDistribution")[known],
        starts=next(iter(read_star(path / STARTS).values())),
    )


def _poses(table: Table) -> Poses:
    angles = np.stack([table.numbers(f"rlnAngle{name}") for name in ("Rot", "Tilt", "Psi")], axis=1)
    return Poses(
        particle=np.arange(len(table)),
        volume=table.numbers("rlnClassNumber").astype(np.int64) - 1,
        rotation=euler_to_matrix(torch.from_numpy(angles)).numpy(),
        origin_A=np.stack([table.numbers(f"rlnOrigin{axis}Angst") for axis in "XY"], axis=1),
    )


def _stems(volumes: int) -> list[str]:
    """What the files of the maps begin with."""
    return ["abinitio"] if volumes == 1 else [f"abinitio_volume{number}" for number in range(1, volumes + 1)]


def _starts(result: AbinitioResult) -> Table:
    starts = result.starts
    return Table.from_arrays(
        {
            "vtrStart": np.arange(1, len(starts) + 1),
            "vtrHeldOutEvidence": [round(start.evidence, 4) for start in starts],
            "vtrBehindError": [round(start.error, 4) for start in starts],
            "vtrAgreeingFraction": [round(start.agreement.fraction, 4) for start in starts],
            "vtrOtherHand": [int(start.agreement.other_hand) for start in starts],
            "vtrAgreeingByChance": [round(start.agreement.chance, 4) for start in starts],
            "vtrSymmetry": [start.symmetry for start in starts],
            "vtrAgrees": [int(start.agrees) for start in starts],
            "vtrSettled": [int(start.settled) for start in starts],
            "vtrPasses": [start.passes for start in starts],
            "vtrParticles": [start.particles for start in starts],
            "vtrBest": (np.arange(len(starts)) == result.best).astype(int),
        }
    )
