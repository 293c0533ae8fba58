"""Folders of finished jobs back to what their methods returned."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.tasks.table import TASKS

__all__ = ["Loaded", "load_value"]


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
    if manifest.task not in TASKS or not TASKS[manifest.task].reader:
        raise JobFolderError(f"{folder} is the folder of a {manifest.task} job, which is not read back")
    if manifest.status != "finished":
        raise JobFolderError(f"{folder} is the folder of a job that has not finished ({manifest.status})")
    module, name = TASKS[manifest.task].reader.split(":")
    read = getattr(import_module(module), name)
    try:
        value = read(folder, manifest) if len(signature(read).parameters) == 2 else read(folder)
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise JobFolderError(
            f"{folder}: its files do not fit together ({type(error).__name__}: {error}); they are damaged or of "
            "another version"
        ) from error
    return Loaded(folder=folder, task=manifest.task, settings=manifest.settings, value=value)
