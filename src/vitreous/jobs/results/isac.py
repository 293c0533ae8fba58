"""The files of an ISAC job, written and read back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.averages.isac import ISACResult
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.results.class2d import NO_RESOLUTION_A, SELECTION_FILES
from vitreous.particles import ParticleSet, Table, image_name, open_stack, read_star, write_mrc_stack, write_star

__all__ = ["FILES", "ISACFolder", "open_isac_folder", "write_isac"]

DATA, ACCOUNTED, CLASSES, AVERAGES, HALVES = (
    "isac_data.star", "accounted.star", "isac_classes.star", "isac_classes.mrcs", "isac_class_halves.mrcs",
)  # fmt: skip
FILES = (DATA, ACCOUNTED, CLASSES, AVERAGES, HALVES, *SELECTION_FILES)


@dataclass(frozen=True, kw_only=True)
class ISACFolder:
    """A classes of box L; what the report shows."""

    averages: np.ndarray  # (A, L, L)
    population: np.ndarray  # (A,)
    generation: np.ndarray  # (A,)
    error_A: np.ndarray  # (A,)
    resolution_A: np.ndarray  # (A,)
    particles: int


def write_isac(folder: Path, result: ISACResult, particles: ParticleSet) -> None:
    """Write the files of a result. Where nothing was accepted there are no averages."""
    count = len(result.population)
    for name in (AVERAGES, HALVES, ACCOUNTED):
        (folder / name).unlink(missing_ok=True)
    table = {
        "rlnReferenceImage": np.array([image_name(k, AVERAGES) for k in range(count)], dtype=str),
        "rlnClassNumber": np.arange(1, count + 1),
        "rlnEstimatedResolution": np.where(np.isfinite(result.resolution_A), result.resolution_A, NO_RESOLUTION_A),
        "vtrPopulation": result.population,
        "vtrGeneration": result.generation,
        "vtrCommonMembers": result.common,
        "vtrPixelErrorAngst": result.error_A,
        "vtrMirrorStableShare": result.mirror_share,
    }
    shells = result.frc.shape[1] if count else 0
    curves = {
        "rlnClassNumber": np.repeat(np.arange(1, count + 1), shells),
        "rlnSpectralIndex": np.tile(np.arange(shells), count),
        "rlnFourierShellCorrelation": result.frc.ravel().astype(np.float64),
    }
    write_star(folder / CLASSES, {"classes": Table.from_arrays(table), "frc": Table.from_arrays(curves)})
    columns = result.alignments.columns() | {
        "vtrPixelErrorAngst": result.particle_error_A,
        "vtrOutlier": result.outlier.astype(int),
        "vtrWeight": result.accounted.astype(int),
    }
    every = particles.with_columns(**columns)
    every.write(folder / DATA)
    if count:
        write_mrc_stack(folder / AVERAGES, result.averages, result.pixel_size_A)
        halves = result.halves.transpose(1, 0, 2, 3).reshape(-1, *result.averages.shape[1:])
        write_mrc_stack(folder / HALVES, halves, result.pixel_size_A)
        every.subset(result.accounted).write(folder / ACCOUNTED)


def open_isac_folder(folder: str | Path) -> ISACFolder:
    """Read a finished folder. Raises JobFolderError when a file is missing."""
    path = Path(folder)
    missing = [name for name in (CLASSES, DATA) if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished ISAC job")
    table, data = read_star(path / CLASSES)["classes"], read_star(path / DATA)
    averages = np.zeros((0, 1, 1), np.float32)
    if len(table):
        stack = open_stack(path / AVERAGES)
        averages = stack.read(np.arange(len(stack)))
    resolution = table.numbers("rlnEstimatedResolution")
    return ISACFolder(
        averages=averages,
        population=table.numbers("vtrPopulation").astype(int),
        generation=table.numbers("vtrGeneration").astype(int),
        error_A=table.numbers("vtrPixelErrorAngst"),
        resolution_A=np.where(resolution >= NO_RESOLUTION_A, np.inf, resolution),
        particles=len(next(t for t in data.values() if "vtrPixelErrorAngst" in t)),
    )
