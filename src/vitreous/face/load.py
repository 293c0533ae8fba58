"""Folders of finished jobs back to what their methods returned."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import read_manifest

__all__ = ["DATA_FILES", "Loaded", "load_value"]

DATA_FILES = {  # the table of particles, or images, that a job leaves
    "abinitio": "abinitio_data.star",
    "align": "aligned.star",
    "class2d": "run_data.star",
    "class3d": "run_data.star",
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
READERS = {  # job -> module, function, and whether it gets job.json, too
    "abinitio": ("face.read_3d", "read_structures", True),
    "align": ("face.read_2d", "read_aligned", True),
    "class2d": ("face.read_2d", "read_classes", True),
    "class3d": ("jobs.results.class3d", "read_class3d", False),
    "ctf": ("jobs.results.ctf", "read_ctf", False),
    "deconvolve": ("face.read_2d", "read_deconvolved", True),
    "denoise": ("face.read_2d", "read_denoised", True),
    "extract": ("jobs.results.extract", "read_extract", False),
    "initial": ("face.read_3d", "read_model", True),
    "isac": ("face.read_2d", "read_isac", True),
    "mixture": ("jobs.results.mixture", "read_mixture", False),
    "model-bias": ("jobs.results.model_bias", "open_model_bias_folder", False),
    "mra": ("face.read_2d", "read_classes", True),
    "msa": ("jobs.results.msa", "open_msa_folder", False),
    "neighbours": ("face.read_2d", "read_neighbours", True),
    "pick": ("jobs.results.pick", "read_picks", False),
    "postprocess": ("jobs.results.postprocess", "read_postprocessed", False),
    "project": ("face.read_2d", "read_projected", False),
    "reconstruct": ("face.read_3d", "read_map_with_poses", True),
    "refine": ("face.read_3d", "read_refinement", True),
    "run": ("face.read_run", "read_run", False),
    "stability": ("face.read_2d", "read_stability", True),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """What is in a folder: the name of its job, its settings, and the value that its method returned."""

    folder: Path
    task: str
    settings: Mapping[str, Any]
    value: Any


def load_value(folder: Path) -> Loaded:
    """Read the folder of a finished job. Raises JobFolderError for what is none, and for damaged files.

    Where a file does not have all that a method returned, the value is what the report is made from, under the same
    names.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        what = "has no job.json" if folder.is_dir() else "does not exist"
        raise JobFolderError(f"{folder} {what}; expected the folder of a finished job")
    if manifest.task not in READERS:
        raise JobFolderError(f"{folder} is the folder of a {manifest.task} job, which is not read back")
    if manifest.status != "finished":
        raise JobFolderError(f"{folder} is the folder of a job that has not finished ({manifest.status})")
    module, name, whole = READERS[manifest.task]
    read = getattr(import_module(f"vitreous.{module}"), name)
    try:
        value = read(folder, manifest) if whole else read(folder)
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise JobFolderError(
            f"{folder}: its files do not fit together ({type(error).__name__}: {error}); they are damaged or of "
            "another version"
        ) from error
    return Loaded(folder=folder, task=manifest.task, settings=manifest.settings, value=value)
