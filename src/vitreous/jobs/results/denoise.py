"""The files of a denoising: the table and the model, written and read back."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.denoise import DenoiseModel
from vitreous.jobs.folder import JobFolderError
from vitreous.particles import ParticleSet, Table, atomic_path, image_name, read_arrays

__all__ = ["CTF_COLUMNS", "FILES", "STACK", "STAR", "denoised_table", "read_model", "write_model"]

STACK, STAR, MODEL = "denoised.mrcs", "denoised.star", "denoised_model.npz"
FILES = (STACK, STAR, MODEL)
CTF_COLUMNS = (
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnPhaseShift",
    "rlnCtfBfactor",
    "rlnCtfScalefactor",
    "rlnCtfImage",
    "rlnCtfMaxResolution",
    "rlnCtfFigureOfMerit",
)


def denoised_table(particles: ParticleSet, *, ctf_corrected: bool, weight: np.ndarray) -> Table:
    """The table of the denoised images: ``denoised.mrcs`` in the place of the raw images, all other columns kept.

    ``vtrSourceImage`` names the raw image, ``vtrWeight`` (n,) is 0 for images that could not be used. Where the CTF
    has been corrected its columns go, so that no program corrects it again; RELION has no word for "corrected".
    """
    table = particles.table.without(CTF_COLUMNS) if ctf_corrected else particles.table
    return table.with_columns(
        {
            "vtrSourceImage": particles.table.text("rlnImageName"),
            "vtrWeight": weight.astype(int),
            "rlnImageName": [image_name(i, STACK) for i in range(len(particles))],
        }
    )


def write_model(
    folder: str | Path, model: DenoiseModel, numbers: np.ndarray, noisy: np.ndarray, denoised: np.ndarray
) -> None:
    """Keep the model, and example particles (numbers from 1, images), in ``denoised_model.npz``."""
    arrays: dict[str, Any] = {f.name: np.asarray(getattr(model, f.name)) for f in fields(DenoiseModel)}
    for name, pictures in {"noisy": noisy, "denoised": denoised}.items():
        # Half precision is enough for pictures, whose scale may be anything.
        arrays[f"example_{name}"] = (pictures / max(float(np.abs(pictures).max()), 1e-30)).astype(np.float16)
    with atomic_path(Path(folder) / MODEL) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, example_number=numbers, **arrays)


def read_model(folder: str | Path) -> dict[str, np.ndarray]:
    """What :func:`write_model` kept, by field. Raises JobFolderError when it is not there."""
    path = Path(folder) / MODEL
    if not path.is_file():
        raise JobFolderError(f"{folder} has no {MODEL}: it is not the folder of a finished denoising")
    return read_arrays(path)
