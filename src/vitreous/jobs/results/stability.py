"""The files of a test of stability, written and read back; and where the particles of a folder are."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.averages.stability import StabilityResult
from vitreous.jobs.folder import JobFolderError
from vitreous.particles import Given, ParticleSet, Table, open_stack, read_star, write_mrc_stack, write_star

__all__ = ["FILES", "StabilityFolder", "classes_in", "open_stability_folder", "passthrough_in", "write_stability"]

CLASSES, DATA, AVERAGES = "stability.star", "stability_data.star", "stability_averages.mrcs"
FILES = (CLASSES, DATA, AVERAGES)
CANDIDATES = (
    "run_data.star", "isac_data.star", "run_ct*_it[0-9][0-9][0-9]_data.star", "run_it[0-9][0-9][0-9]_data.star",
    "*_particles.cs", "*particles*.cs", "*.cs",
)  # fmt: skip
OTHER_CS = ("passthrough", "class_averages", "excluded", "templates")  # in names of files that hold no classes
NOT_TESTED = -1.0


@dataclass(frozen=True, kw_only=True)
class StabilityFolder:
    """K classes of box L. error_A: (K,), inf where a class was not tested."""

    averages: np.ndarray  # (K, L, L)
    population: np.ndarray  # (K,)
    error_A: np.ndarray  # (K,)
    mirror_share: np.ndarray  # (K,)
    stable: np.ndarray  # (K,) bool
    tested: np.ndarray  # (K,)


def classes_in(path: Given) -> Given | Path:
    """The particle file of a 2D classification: of ours, RELION's (the last iteration) or cryoSPARC's folder.

    A file is taken as it is. Raises JobFolderError for a folder without one.
    """
    if isinstance(path, ParticleSet) or not path.is_dir():
        return path
    for pattern in CANDIDATES:
        found = sorted(p for p in path.glob(pattern) if p.suffix != ".cs" or not any(w in p.name for w in OTHER_CS))
        if found:
            return found[-1]
    raise JobFolderError(
        f"{path} has none of run_data.star, isac_data.star, run_it###_data.star, *.cs: it is not the folder of a 2D "
        "classification; give the particle file itself"
    )


def passthrough_in(path: Path, data: Path) -> tuple[Path, ...]:
    """Passthrough files that cryoSPARC has put beside the particle file ``data`` of a folder.

    A file that was named itself comes with those that are given for it.
    """
    if not path.is_dir() or data.suffix != ".cs":
        return ()
    group = data.stem.rsplit("_particles", 1)[-1]  # "" or "_selected", of a selection
    return tuple(sorted(path.glob(f"*passthrough_particles{group}.cs")))


def write_stability(folder: Path, result: StabilityResult, particles: ParticleSet) -> None:
    """Write the files of a result."""
    write_mrc_stack(folder / AVERAGES, result.averages, result.pixel_size_A)
    error = np.where(np.isfinite(result.error_A), result.error_A, NOT_TESTED)
    table = {
        "rlnClassNumber": np.arange(1, len(error) + 1),
        "vtrPopulation": result.population,
        "vtrTested": result.tested,
        "vtrPixelErrorAngst": error,
        "vtrMirrorStableShare": result.mirror_share,
        "vtrStable": result.stable.astype(int),
    }
    write_star(folder / CLASSES, {"classes": Table.from_arrays(table)})
    particles.with_columns(
        vtrPixelErrorAngst=np.nan_to_num(result.particle_error_A, nan=NOT_TESTED),
        vtrMirrorStable=result.mirror_stable.astype(int),
    ).write(folder / DATA)


def open_stability_folder(folder: str | Path) -> StabilityFolder:
    """Read a finished folder. Raises JobFolderError when a file is missing."""
    path = Path(folder)
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished test of stability")
    table, stack = read_star(path / CLASSES)["classes"], open_stack(path / AVERAGES)
    error = table.numbers("vtrPixelErrorAngst")
    return StabilityFolder(
        averages=stack.read(np.arange(len(stack))),
        population=table.numbers("vtrPopulation").astype(int),
        error_A=np.where(error < 0, np.inf, error),
        mirror_share=table.numbers("vtrMirrorStableShare"),
        stable=table.numbers("vtrStable") > 0,
        tested=table.numbers("vtrTested").astype(int),
    )
