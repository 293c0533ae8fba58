"""What the report of a ``class2d`` job shows, read from the files of its folder alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import Manifest, read_manifest
from vitreous.jobs.results.class2d import Examples, open_class2d_folder, read_examples
from vitreous.particles import StarFile, Table

__all__ = ["ReportContent", "read_content"]


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
        return int(self.averages.shape[-1])


def read_content(folder: str | Path) -> ReportContent:
    """Read a finished ``class2d`` folder. Optional files (halves, examples, history, job.json) may be missing.

    Raises
    ------
    JobFolderError
        When ``run_classes.mrcs``, ``run_model.star`` or ``run_data.star`` is missing.
    """
    found = open_class2d_folder(folder)
    count, box = found.averages.shape[:2]
    pixel_size = float(found.general.numbers("rlnPixelSize")[0])
    return ReportContent(
        folder=found.path,
        manifest=read_manifest(found.path),
        pixel_size_A=pixel_size,
        averages=found.averages,
        halves=found.halves,
        population=found.population,
        distribution=found.classes.numbers("rlnClassDistribution"),
        effective_number=_effective_number(found.classes, count),
        resolution_A=found.resolution_A,
        frequency=np.arange(box // 2 + 1) / (box * pixel_size),
        frc=_spectra(found.model, "model_class_{}", "rlnGoldStandardFsc", box // 2 + 1),
        noise_power=_spectra(found.model, "model_group_{}", "rlnSigma2Noise", box // 2 + 1),
        particles=_distributions(found.data["particles"], found.class_number > 0),
        particle_count=len(found.class_number),
        refused_count=int((found.class_number == 0).sum()),
        found_signal="vtrFoundSignal" not in found.general or bool(found.general.numbers("vtrFoundSignal")[0]),
        history=read_history(found.path),
        examples=read_examples(found.path),
    )


def _effective_number(classes: Table, count: int) -> np.ndarray:
    name = "vtrEffectiveNumber"
    return classes.numbers(name) if name in classes else np.full(count, np.nan)


def _spectra(model: StarFile, block: str, column: str, shells: int) -> np.ndarray:
    """The columns of blocks number 1, 2, ... as rows; a short one is filled with nan."""
    rows: list[np.ndarray] = []
    while block.format(len(rows) + 1) in model:
        values = model[block.format(len(rows) + 1)].numbers(column)[:shells]
        rows.append(np.pad(values, (0, shells - len(values)), constant_values=np.nan))
    return np.array(rows).reshape(-1, shells)


def _distributions(data: Table, used: np.ndarray) -> dict[str, np.ndarray]:
    """What there is to draw as histograms: defocus (um), shift (A), in-plane angle (deg), probability."""

    def column(name: str) -> np.ndarray:
        values: np.ndarray = data.numbers(name)[used]
        return values

    found: dict[str, np.ndarray] = {}
    if {"rlnDefocusU", "rlnDefocusV"} <= set(data.names):
        found["defocus_um"] = (column("rlnDefocusU") + column("rlnDefocusV")) / 2e4
    if {"rlnOriginXAngst", "rlnOriginYAngst"} <= set(data.names):
        found["shift_A"] = np.hypot(column("rlnOriginXAngst"), column("rlnOriginYAngst"))
    if "rlnAnglePsi" in data:
        found["psi_deg"] = column("rlnAnglePsi") % 360
    if "rlnMaxValueProbDistribution" in data:
        found["max_probability"] = column("rlnMaxValueProbDistribution")
    return found
