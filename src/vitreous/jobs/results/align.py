"""The files of an alignment, written and read back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.averages.align import AlignResult
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.results.class2d import SELECTION_FILES
from vitreous.matching import ImagePreparation, aligned_images
from vitreous.particles import MrcStackWriter, ParticleSet, Table, open_stack, read_star, write_mrc_stack, write_star

__all__ = ["FILES", "AlignFolder", "open_align_folder", "write_aligned", "write_aligned_stack"]

DATA, AVERAGE, HALVES, STARTS, FIGURES = (
    "aligned.star", "average.mrcs", "average_halves.mrcs", "starts.mrcs", "average.star",
)  # fmt: skip
STACK = "aligned.mrcs"
FILES = (DATA, AVERAGE, HALVES, STARTS, FIGURES, STACK, *SELECTION_FILES)


@dataclass(frozen=True, kw_only=True)
class AlignFolder:
    """What the report shows. S starts, F shells, n particles; error_A and the like as in :class:`AlignResult`."""

    average: np.ndarray  # (L, L)
    halves: np.ndarray  # (2, L, L)
    starts: np.ndarray  # (S, L, L)
    start_evidence: np.ndarray  # (S,)
    start_error_A: np.ndarray  # (S,)
    frequency: np.ndarray  # (F,) 1/A
    frc: np.ndarray  # (F,)
    error_A: np.ndarray  # (n,)


def write_aligned(folder: Path, result: AlignResult, particles: ParticleSet) -> None:
    """Write the files of a result, but for the stack of aligned images."""
    pixel, box = result.pixel_size_A, len(result.average)
    write_mrc_stack(folder / AVERAGE, result.average[None], pixel)
    write_mrc_stack(folder / HALVES, result.halves, pixel)
    write_mrc_stack(folder / STARTS, result.start_averages, pixel)
    frequency = np.arange(box // 2 + 1) / (box * pixel)
    starts = {
        "vtrStart": np.arange(1, len(result.start_evidence) + 1),
        "vtrLogEvidence": result.start_evidence,
        "vtrPixelErrorAngst": np.nan_to_num(result.start_error_A, nan=-1.0),
    }
    curve = {"rlnResolution": frequency, "rlnFourierShellCorrelation": result.frc}
    write_star(folder / FIGURES, {"starts": Table.from_arrays(starts), "frc": Table.from_arrays(curve)})
    columns = result.alignments.columns() | {
        "vtrPixelErrorAngst": np.nan_to_num(result.pixel_error_A, nan=-1.0),
        "vtrMirrorStable": result.mirror_stable.astype(int),
        "vtrWeight": result.alignments.known.astype(int),
    }
    particles.with_columns(**columns).write(folder / DATA)


def write_aligned_stack(
    folder: Path,
    result: AlignResult,
    read: Callable[[np.ndarray], np.ndarray],
    preparation: ImagePreparation,
    threads: int,
) -> None:
    """``aligned.mrcs``: all images as they lie on the average, without CTF correction, in the order of the input."""
    shown = result.alignments
    with MrcStackWriter(folder / STACK, box_px=len(result.average), pixel_size_A=result.pixel_size_A) as stack:
        for _, images, _ in aligned_images(read, preparation, None, shown, threads=threads):
            stack.append(images.numpy())


def open_align_folder(folder: str | Path) -> AlignFolder:
    """Read a finished folder. Raises JobFolderError when a file is missing."""
    path = Path(folder)
    missing = [name for name in (DATA, AVERAGE, HALVES, STARTS, FIGURES) if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished alignment")
    figures, data = read_star(path / FIGURES), read_star(path / DATA)
    table = next(t for t in data.values() if "vtrPixelErrorAngst" in t)
    error = table.numbers("vtrPixelErrorAngst")
    return AlignFolder(
        average=_stack(path / AVERAGE)[0],
        halves=_stack(path / HALVES),
        starts=_stack(path / STARTS),
        start_evidence=figures["starts"].numbers("vtrLogEvidence"),
        start_error_A=figures["starts"].numbers("vtrPixelErrorAngst"),
        frequency=figures["frc"].numbers("rlnResolution"),
        frc=figures["frc"].numbers("rlnFourierShellCorrelation"),
        error_A=error[error >= 0],
    )


def _stack(path: Path) -> np.ndarray:
    stack = open_stack(path)
    return stack.read(np.arange(len(stack)))
