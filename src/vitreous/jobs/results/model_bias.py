"""The files of a measurement of model bias, written and read back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.averages.model_bias import ModelBiasResult
from vitreous.jobs.folder import JobFolderError
from vitreous.particles import Table, open_stack, read_star, write_mrc_stack, write_star

__all__ = ["FILES", "ModelBiasFolder", "open_model_bias_folder", "write_model_bias"]

PICTURES, TABLE = "model_bias.mrcs", "model_bias.star"
FILES = (PICTURES, TABLE)


@dataclass(frozen=True, kw_only=True)
class ModelBiasFolder:
    """What the report shows: C averages of box L."""

    reference: np.ndarray  # (L, L)
    unaligned: np.ndarray  # (L, L)
    averages: np.ndarray  # (C, L, L)
    counts: np.ndarray  # (C,)
    correlation: np.ndarray
    theory: np.ndarray
    unaligned_correlation: np.ndarray
    coefficients: float
    mean_peak: float
    theory_peak: float
    common: float


def write_model_bias(folder: Path, result: ModelBiasResult) -> None:
    """``model_bias.mrcs``: reference, average of unaligned noise, averages of aligned noise; ``model_bias.star``."""
    pictures = np.concatenate([result.reference[None], result.unaligned[None], result.averages]).astype(np.float32)
    write_mrc_stack(folder / PICTURES, pictures, result.pixel_size_A)
    noise = result.noise
    general = {
        "vtrCoefficients": [noise.coefficients],
        "vtrCommonShare": [noise.common],
        "vtrMeanPeak": [float(result.peaks.mean())],
        "vtrTheoryPeak": [float(np.sqrt(1 - noise.common) * noise.mean)],
        "vtrResolution": [result.resolution_A],
    }
    curve = {
        "vtrImages": result.counts,
        "vtrCorrelation": result.correlation,
        "vtrTheory": result.theory,
        "vtrUnaligned": result.unaligned_correlation,
    }
    write_star(
        folder / TABLE, {"general": Table.from_arrays(general, loop=False), "averages": Table.from_arrays(curve)}
    )


def open_model_bias_folder(folder: str | Path) -> ModelBiasFolder:
    """Read a finished folder. Raises JobFolderError when a file is missing."""
    path = Path(folder)
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a measurement of model bias")
    tables, stack = read_star(path / TABLE), open_stack(path / PICTURES)
    general, curve = tables["general"], tables["averages"]
    pictures = stack.read(np.arange(len(stack)))
    return ModelBiasFolder(
        reference=pictures[0],
        unaligned=pictures[1],
        averages=pictures[2:],
        counts=curve.numbers("vtrImages").astype(int),
        correlation=curve.numbers("vtrCorrelation"),
        theory=curve.numbers("vtrTheory"),
        unaligned_correlation=curve.numbers("vtrUnaligned"),
        coefficients=float(general.numbers("vtrCoefficients")[0]),
        mean_peak=float(general.numbers("vtrMeanPeak")[0]),
        theory_peak=float(general.numbers("vtrTheoryPeak")[0]),
        common=float(general.numbers("vtrCommonShare")[0]),
    )
