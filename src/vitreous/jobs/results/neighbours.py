"""The files of a search for neighbours: written from a result, read back for the report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from vitreous.averages.neighbours import NeighbourExamples, NeighboursResult
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.results.class2d import NO_RESOLUTION_A
from vitreous.jobs.results.stack_table import write_stack_table
from vitreous.particles import (
    ParticleSet,
    StarFile,
    atomic_path,
    in_relion_form,
    open_stack,
    read_arrays,
    read_star,
    write_mrc_stack,
)

__all__ = ["FILES", "NeighboursFolder", "open_neighbours_folder", "write_neighbours", "write_pairs"]

PAIR_COLUMNS = ("vtrParticle", "vtrNeighbour", "vtrRank", "vtrAffinity", "rlnAnglePsi", "vtrMirrored")
PAIR = "%d %d %d %.4f %.2f %d\n"
PARTICLES_AT_ONCE = 2000
FIGURES, EXAMPLES = "figures.npz", "examples.npz"
FILES = (
    "neighbours.star",
    "averages.mrcs",
    "averages.star",
    "classes.mrcs",
    "classes.star",
    "data.star",
    FIGURES,
    EXAMPLES,
)
NEEDED = ("data.star", "averages.star", "classes.star", FIGURES)


@dataclass(frozen=True, kw_only=True)
class NeighboursFolder:
    """What is in a finished folder: A averages and C classes of box L, n particles."""

    path: Path
    averages: np.ndarray  # (A, L, L)
    average_table: StarFile
    classes: np.ndarray  # (C, L, L)
    class_members: np.ndarray  # (C,)
    data: StarFile
    figures: dict[str, np.ndarray]
    examples: NeighbourExamples | None

    @property
    def pixel_size_A(self) -> float:
        """Of averages and classes."""
        return float(self.average_table["optics"].numbers("rlnImagePixelSize")[0])

    @property
    def resolution_A(self) -> np.ndarray:
        """(A,), inf where nothing was found."""
        column = self.average_table["particles"].numbers("rlnEstimatedResolution")
        return np.where(column >= NO_RESOLUTION_A, np.inf, column)

    @property
    def affinity(self) -> np.ndarray:
        """(n,) mean over a particle's neighbours; 0 for refused particles."""
        return self._column("vtrAffinity")

    @property
    def log_evidence(self) -> np.ndarray:
        """(n,) of a particle under averages that it is not in, over the mean image, in nats."""
        return self._column("vtrLogEvidence")

    @property
    def times_neighbour(self) -> np.ndarray:
        """(n,) how many particles it is a neighbour of."""
        return self._column("vtrTimesNeighbour").astype(int)

    @property
    def weight(self) -> np.ndarray:
        """(n,) 1, or 0 for refused particles."""
        return self._column("vtrWeight")

    def _column(self, name: str) -> np.ndarray:
        return next(table for table in self.data.values() if name in table).numbers(name)


def write_neighbours(
    folder: str | Path, result: NeighboursResult, particles: ParticleSet, examples: NeighbourExamples
) -> None:
    """Write everything that a result holds into a folder, each file atomically."""
    path = Path(folder)
    write_pairs(path / "neighbours.star", result)
    _write_averages(path, result)
    _write_data(path / "data.star", result, particles)
    _write_figures(path / FIGURES, result)
    with atomic_path(path / EXAMPLES) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {name: _halved(value) for name, value in vars(examples).items()}
        np.savez_compressed(file, **arrays)


def write_pairs(path: Path, result: NeighboursResult) -> None:
    """``neighbours.star``: a row for every particle and rank, as a stream, whatever their number."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write("\ndata_neighbours\n\nloop_\n")
        file.writelines(f"_{name} #{i}\n" for i, name in enumerate(PAIR_COLUMNS, 1))
        used = np.flatnonzero(result.weight > 0)
        for start in range(0, len(used), PARTICLES_AT_ONCE):
            _write_rows(file, result, used[start : start + PARTICLES_AT_ONCE])
        file.write("\n")


def open_neighbours_folder(folder: str | Path) -> NeighboursFolder:
    """Read the results of a search for neighbours.

    Raises
    ------
    JobFolderError
        When a file is missing: the folder is not that of a finished search.
    """
    path = Path(folder)
    missing = [name for name in NEEDED if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished search for neighbours")
    averages, classes = read_star(path / "averages.star"), read_star(path / "classes.star")
    found = read_arrays(path / EXAMPLES) if (path / EXAMPLES).is_file() else None
    return NeighboursFolder(
        path=path,
        averages=_stack(path / "averages.mrcs", len(averages["particles"])),
        average_table=averages,
        classes=_stack(path / "classes.mrcs", len(classes["particles"])),
        class_members=classes["particles"].numbers("vtrMembers"),
        data=read_star(path / "data.star"),
        figures=read_arrays(path / FIGURES),
        examples=NeighbourExamples(**found) if found is not None else None,
    )


def _write_rows(file: TextIO, result: NeighboursResult, rows: np.ndarray) -> None:
    k = result.neighbours.shape[1]
    values = np.column_stack(
        [
            np.repeat(rows + 1, k),
            result.neighbours[rows].ravel() + 1,
            np.tile(np.arange(1, k + 1), len(rows)),
            result.affinity[rows].ravel().astype(np.float64),
            result.psi_deg[rows].ravel().astype(np.float64),
            result.mirrored[rows].ravel(),
        ]
    )
    file.write(PAIR * len(values) % tuple(values.ravel().tolist()))


def _write_averages(path: Path, result: NeighboursResult) -> None:
    pixel, shape = result.pixel_size_A, result.averages.shape
    resolution = result.resolution_A
    columns = {
        "vtrParticle": result.average_of + 1,
        "vtrMembers": np.full(len(result.average_of), result.neighbours.shape[1] + 1),
        "vtrAffinity": np.round(result.affinity[result.average_of].mean(1).astype(np.float64), 4),
        "rlnEstimatedResolution": np.where(np.isfinite(resolution), np.round(resolution, 2), NO_RESOLUTION_A),
    }
    members = {"vtrMembers": np.round(result.class_members.astype(np.float64), 2)}
    if len(result.averages):
        write_mrc_stack(path / "averages.mrcs", result.averages, pixel)
    write_stack_table(path / "averages.star", "averages.mrcs", shape, pixel, columns)
    write_mrc_stack(path / "classes.mrcs", result.classes, pixel)
    write_stack_table(path / "classes.star", "classes.mrcs", result.classes.shape, pixel, members)


def _write_data(path: Path, result: NeighboursResult, particles: ParticleSet) -> None:
    named = result.neighbours[result.weight > 0].ravel()
    in_relion_form(
        particles,
        vtrAffinity=np.round(result.affinity.mean(1).astype(np.float64), 4),
        vtrLogEvidence=np.round(result.log_evidence.astype(np.float64), 3),
        vtrTimesNeighbour=np.bincount(named, minlength=len(result.weight)),
        vtrWeight=result.weight.astype(np.int64),
    ).write(path)


def _write_figures(path: Path, result: NeighboursResult) -> None:
    """What the report draws and no table holds."""
    good = result.affinity[result.weight > 0]
    ranks = np.stack([good.mean(0), *np.percentile(good, [10, 90], axis=0)])
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            frc=result.frc,
            affinity_by_rank=ranks,  # mean, 10th and 90th percentile
            orders=result.orders,
            variances=result.variances,
            noise_power=result.noise_power,
        )


def _halved(values: np.ndarray) -> np.ndarray:
    """Pictures in half precision, which is enough to look at."""
    return values.astype(np.float16) if values.ndim > 2 else values


def _stack(path: Path, count: int) -> np.ndarray:
    return open_stack(path).read(np.arange(count)) if count else np.zeros((0, 0, 0), np.float32)
