"""The files of a multivariate analysis, written and read back. Classes stand in them as in those of ``class2d``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.msa import FactorMap, MSAResult
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.results.class2d import NO_RESOLUTION_A, SELECTION_FILES
from vitreous.particles import (
    Given,
    ParticleSet,
    Table,
    image_name,
    open_stack,
    read_arrays,
    read_star,
    write_mrc_stack,
    write_star,
)

__all__ = ["FILES", "MSAFolder", "aligned_file", "open_msa_folder", "write_msa"]

DATA, MODEL, AVERAGES, HALVES = "run_data.star", "run_model.star", "run_classes.mrcs", "run_class_halves.mrcs"
FACTORS, EIGENIMAGES, AVERAGE, PICTURES = "msa_factors.star", "msa_eigenimages.mrcs", "msa_average.mrcs", "msa.npz"
FILES = (DATA, MODEL, AVERAGES, HALVES, FACTORS, EIGENIMAGES, AVERAGE, PICTURES, *SELECTION_FILES)
NEEDED = (FACTORS, DATA, MODEL, AVERAGES, EIGENIMAGES, AVERAGE, PICTURES)
MOST_COLUMNS = 8  # of coordinates in the particle file
ALIGNED = ("aligned.star", "accounted.star", "run_data.star")  # of align, isac, class2d and msa
KEPT = ("branches", "branch_images", "examples", "example_images", "mask", "coordinates", "label")
KEPT_AS_ONE = ("significant", "noise_edge", "noise_limit", "agreement", "total_variance")


@dataclass(frozen=True, kw_only=True, eq=False)
class MSAFolder:
    """What the report shows; arrays as in :class:`vitreous.averages.msa.MSAResult`."""

    average: np.ndarray
    eigenimages: np.ndarray
    eigenvalues: np.ndarray
    signal_variance: np.ndarray
    noise_variance: np.ndarray
    likeness: np.ndarray
    averages: np.ndarray
    population: np.ndarray
    resolution_A: np.ndarray
    maps: tuple[FactorMap, ...]
    spectrum: np.ndarray
    scores: np.ndarray
    kept: dict[str, np.ndarray]  # those of KEPT
    figures: dict[str, float]  # those of KEPT_AS_ONE

    @property
    def significant(self) -> int:
        """Factors above the limit."""
        return int(self.figures["significant"])


def aligned_file(path: Given) -> Given | Path:
    """A file as it is; of the folder of a 2D job its particle file. JobFolderError where there is none."""
    if isinstance(path, ParticleSet) or not path.is_dir():
        return path
    found = next((path / name for name in ALIGNED if (path / name).is_file()), None)
    if found is None:
        raise JobFolderError(
            f"{path} has none of {', '.join(ALIGNED)}: give the folder of a finished `vitreous align`, `class2d` or "
            "`isac`, a particle file with angles and shifts, or a stack that is aligned already"
        )
    return found


def write_msa(folder: Path, result: MSAResult, particles: ParticleSet) -> None:
    """Write the files of a result."""
    pixel, count = result.pixel_size_A, len(result.averages)
    write_mrc_stack(folder / AVERAGES, result.averages, pixel)
    halves = result.halves.transpose(1, 0, 2, 3).reshape(-1, *result.averages.shape[1:])
    write_mrc_stack(folder / HALVES, halves, pixel)
    write_mrc_stack(folder / EIGENIMAGES, result.eigenimages, pixel)
    write_mrc_stack(folder / AVERAGE, result.average[None], pixel)
    resolution = np.where(np.isfinite(result.resolution_A), result.resolution_A, NO_RESOLUTION_A)
    classes: dict[str, Any] = {
        "rlnReferenceImage": [image_name(k, AVERAGES) for k in range(count)],
        "rlnClassDistribution": result.population / max(int(result.population.sum()), 1),
        "rlnEstimatedResolution": np.round(resolution, 4),
        "vtrPopulation": result.population,
    }
    general: dict[str, Any] = {
        "rlnNrClasses": [count],
        "rlnPixelSize": [pixel],
        "rlnOriginalImageSize": [len(result.mask)],
    }
    blocks = {"model_general": Table.from_arrays(general, loop=False), "model_classes": Table.from_arrays(classes)}
    write_star(folder / MODEL, blocks)
    write_star(folder / FACTORS, {"factors": _factor_table(result)})
    particles.with_columns(**_particle_columns(result)).write(folder / DATA)
    np.savez_compressed(folder / PICTURES, **_pictures(result))


def _factor_table(result: MSAResult) -> Table:
    number = np.arange(1, len(result.eigenvalues) + 1)
    return Table.from_arrays(
        {
            "vtrFactor": number,
            "vtrEigenvalue": result.eigenvalues,
            "vtrVarianceShare": result.eigenvalues / max(result.total_variance, 1e-300),
            "vtrSignificant": (number <= result.significant).astype(int),
            "vtrNoiseLimit": np.full(len(number), result.noise_limit if np.isfinite(result.noise_limit) else 0.0),
            "vtrSignalVariance": result.signal_variance,
            "vtrNoiseVariance": result.noise_variance,
            "vtrAlignmentShare": result.likeness[:, 0],
            "vtrContrastShare": result.likeness[:, 1],
            "vtrDefocusShare": result.likeness[:, 2],
        }
    )


def _particle_columns(result: MSAResult) -> dict[str, np.ndarray]:
    """Classes and poses; both classifications; coordinates on the first factors, 0 for particles that are not used."""
    used = result.label >= 0
    shown = min(MOST_COLUMNS, max(2, result.significant), result.coordinates.shape[1])
    coordinates = {f"vtrFactor{k + 1}": np.where(used, result.coordinates[:, k], 0.0) for k in range(shown)}
    return result.alignments.columns() | {
        "vtrKMeansClass": result.kmeans_label + 1,
        "vtrWardClass": result.ward_label + 1,
        **coordinates,
        "vtrWeight": used.astype(int),
    }


def _pictures(result: MSAResult) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(result, name) for name in KEPT}
    found |= {name: np.float64(getattr(result, name)) for name in KEPT_AS_ONE}
    found["coordinates"] = result.coordinates[:, :4].astype(np.float32)
    found["spectrum"], found["scores"] = result.spectrum, result.scores
    for i, shown in enumerate(result.maps):
        found |= {f"map{i}_{name}": np.asarray(value) for name, value in vars(shown).items()}
    return found


def open_msa_folder(folder: str | Path) -> MSAFolder:
    """Read a finished folder. Raises JobFolderError when a file is missing."""
    path = Path(folder)
    missing = [name for name in NEEDED if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished multivariate analysis")
    factors, classes = read_star(path / FACTORS)["factors"], read_star(path / MODEL)["model_classes"]
    arrays = read_arrays(path / PICTURES)
    resolution = classes.numbers("rlnEstimatedResolution")
    likeness = [factors.numbers(f"vtr{name}Share") for name in ("Alignment", "Contrast", "Defocus")]
    return MSAFolder(
        average=_stack(path / AVERAGE)[0],
        eigenimages=_stack(path / EIGENIMAGES),
        eigenvalues=factors.numbers("vtrEigenvalue"),
        signal_variance=factors.numbers("vtrSignalVariance"),
        noise_variance=factors.numbers("vtrNoiseVariance"),
        likeness=np.stack(likeness, axis=1),
        averages=_stack(path / AVERAGES),
        population=classes.numbers("vtrPopulation").astype(int),
        resolution_A=np.where(resolution >= NO_RESOLUTION_A, np.inf, resolution),
        maps=tuple(_map(arrays, i) for i in range(2) if f"map{i}_first" in arrays),
        spectrum=arrays["spectrum"],
        scores=arrays["scores"],
        kept={name: arrays[name] for name in KEPT},
        figures={name: float(arrays[name]) for name in KEPT_AS_ONE},
    )


def _map(arrays: Any, i: int) -> FactorMap:
    return FactorMap(
        first=int(arrays[f"map{i}_first"]),
        second=int(arrays[f"map{i}_second"]),
        centre=arrays[f"map{i}_centre"],
        images=arrays[f"map{i}_images"],
        count=arrays[f"map{i}_count"],
    )


def _stack(path: Path) -> np.ndarray:
    stack = open_stack(path)
    return stack.read(np.arange(len(stack)))
