"""What a report shows, read from the files of a job folder alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import Manifest, read_manifest
from vitreous.particles import Table, read_star

__all__ = ["Examples", "ReportContent", "read_content", "read_examples", "write_examples"]

EXAMPLES = "examples.npz"


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Some particles, rotated and shifted onto their class average. m images of box L."""

    images: np.ndarray  # (m, L, L)
    class_number: np.ndarray  # (m,) from 1
    particle: np.ndarray  # (m,) row in run_data.star, from 1

    def of(self, number: int) -> list[tuple[np.ndarray, int]]:
        """Image and particle number of the examples of one class."""
        mine = np.flatnonzero(self.class_number == number)
        return [(self.images[i], int(self.particle[i])) for i in mine]


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """K classes of box L with F shells; n particles; what is None or empty was not in the folder."""

    folder: Path
    manifest: Manifest | None
    pixel_size_A: float
    averages: np.ndarray  # (K, L, L)
    halves: np.ndarray | None  # (K, 2, L, L)
    population: np.ndarray  # (K,)
    distribution: np.ndarray  # (K,)
    effective_number: np.ndarray  # (K,), nan where unknown
    resolution_A: np.ndarray  # (K,), inf where nothing was found
    frequency: np.ndarray  # (F,) 1/A
    frc: np.ndarray  # (K, F)
    noise_power: np.ndarray  # (groups, F)
    particles: Mapping[str, np.ndarray]  # histogram name -> (n,) values of the particles in use
    particle_count: int
    refused_count: int
    found_signal: bool
    history: list[dict[str, Any]]
    examples: Examples | None

    @property
    def box(self) -> int:
        """Box in pixels."""
        return self.averages.shape[-1]


def write_examples(folder: str | Path, examples: Examples) -> None:
    """Keep example particles for the report (``examples.npz``, half precision)."""
    np.savez_compressed(
        Path(folder) / EXAMPLES,
        images=examples.images.astype(np.float16),
        class_number=examples.class_number,
        particle=examples.particle,
    )


def read_examples(folder: str | Path) -> Examples | None:
    """The example particles of a job folder, or None."""
    path = Path(folder) / EXAMPLES
    if not path.is_file():
        return None
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return Examples(**{name: arrays[name] for name in ("images", "class_number", "particle")})


def read_content(folder: str | Path) -> ReportContent:
    """Read a finished ``class2d`` folder. Optional files (halves, examples, history, job.json) may be missing.

    Raises
    ------
    JobFolderError
        When ``run_classes.mrcs``, ``run_model.star`` or ``run_data.star`` is missing.
    """
    path = Path(folder)
    for name in ("run_classes.mrcs", "run_model.star", "run_data.star"):
        if not (path / name).is_file():
            raise JobFolderError(f"{path} has no {name}: it is not the folder of a finished class2d job")
    model = read_star(path / "run_model.star")
    classes, general = model["model_classes"].columns, model["model_general"].columns
    averages = _read_stack(path / "run_classes.mrcs")
    count, box = averages.shape[:2]
    data = read_star(path / "run_data.star")["particles"].columns
    class_number = data["rlnClassNumber"].astype(int)
    halves = path / "run_class_halves.mrcs"
    pixel_size = float(general["rlnPixelSize"][0])
    return ReportContent(
        folder=path,
        manifest=read_manifest(path),
        pixel_size_A=pixel_size,
        averages=averages,
        halves=_read_stack(halves).reshape(count, 2, box, box) if halves.is_file() else None,
        population=np.bincount(class_number, minlength=count + 1)[1 : count + 1],
        distribution=classes["rlnClassDistribution"].astype(float),
        effective_number=_effective_number(classes, count),
        resolution_A=_resolutions(classes["rlnEstimatedResolution"]),
        frequency=np.arange(box // 2 + 1) / (box * pixel_size),
        frc=_spectra(model, "model_class_{}", "rlnGoldStandardFsc", box // 2 + 1),
        noise_power=_spectra(model, "model_group_{}", "rlnSigma2Noise", box // 2 + 1),
        particles=_distributions(data, class_number > 0),
        particle_count=len(class_number),
        refused_count=int((class_number == 0).sum()),
        found_signal=bool(int(general["vtrFoundSignal"][0])) if "vtrFoundSignal" in general else True,
        history=read_history(path),
        examples=read_examples(path),
    )


def _read_stack(path: Path) -> np.ndarray:
    with mrcfile.open(path, permissive=True) as file:
        images = np.array(file.data, dtype=np.float32)
    return images[None] if images.ndim == 2 else images


def _effective_number(classes: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    column = classes.get("vtrEffectiveNumber")
    return np.full(count, np.nan) if column is None else column.astype(float)


def _resolutions(column: np.ndarray) -> np.ndarray:
    """RELION writes 999 A for "none"."""
    values = column.astype(float)
    return np.where(values >= 999, np.inf, values)


def _spectra(model: Mapping[str, Table], block: str, column: str, shells: int) -> np.ndarray:
    """The columns of blocks number 1, 2, ... as rows; a short one is filled with nan."""
    rows = []
    while block.format(len(rows) + 1) in model:
        values = model[block.format(len(rows) + 1)].columns[column].astype(float)[:shells]
        rows.append(np.pad(values, (0, shells - len(values)), constant_values=np.nan))
    return np.array(rows).reshape(-1, shells)


def _distributions(data: Mapping[str, np.ndarray], used: np.ndarray) -> dict[str, np.ndarray]:
    """What there is to draw as histograms: defocus (um), shift (A), in-plane angle (deg), probability."""

    def column(name: str) -> np.ndarray:
        return data[name].astype(float)[used]

    found: dict[str, np.ndarray] = {}
    if {"rlnDefocusU", "rlnDefocusV"} <= set(data):
        found["defocus_um"] = (column("rlnDefocusU") + column("rlnDefocusV")) / 2e4
    if {"rlnOriginXAngst", "rlnOriginYAngst"} <= set(data):
        found["shift_A"] = np.hypot(column("rlnOriginXAngst"), column("rlnOriginYAngst"))
    if "rlnAnglePsi" in data:
        found["psi_deg"] = column("rlnAnglePsi") % 360
    if "rlnMaxValueProbDistribution" in data:
        found["max_probability"] = column("rlnMaxValueProbDistribution")
    return found
