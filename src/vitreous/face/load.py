"""Folders of finished jobs back to what their methods returned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import read_manifest

__all__ = ["DATA_FILES", "Loaded", "load_value"]

DATA_FILES = {  # the table of particles, or images, that a job leaves
    "abinitio": "abinitio_data.star",
    "align": "aligned.star",
    "class2d": "run_data.star",
    "deconvolve": "deconvolved.star",
    "denoise": "denoised.star",
    "extract": "particles.star",
    "initial": "initial_data.star",
    "isac": "isac_data.star",
    "mra": "run_data.star",
    "msa": "run_data.star",
    "neighbours": "data.star",
    "project": "projections.star",
    "refine": "refined_data.star",
    "stability": "stability_data.star",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """What is in a folder: the name of its job, its settings, and the value that its method returned."""

    folder: Path
    task: str
    settings: Mapping[str, Any]
    value: Any


def load_value(folder: Path) -> Loaded:
    """Read the folder of a finished job. Raises JobFolderError for what is none, and for damaged files."""
    manifest = read_manifest(folder)
    if manifest is None:
        what = "has no job.json" if folder.is_dir() else "does not exist"
        raise JobFolderError(f"{folder} {what}; expected the folder of a finished job")
    readers: dict[str, Callable[[Path], Any]] = {}
    if manifest.task not in readers:
        raise JobFolderError(f"{folder} is the folder of a {manifest.task} job, which is not read back")
    value = readers[manifest.task](folder)
    return Loaded(folder=folder, task=manifest.task, settings=manifest.settings, value=value)
