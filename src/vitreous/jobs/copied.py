"""The folder of a finished job at another place, with the names of its own files changed everywhere."""

import os
import shutil
from pathlib import Path

from vitreous.jobs.folder import JobFolderError, clear_job
from vitreous.particles import write_bytes_atomic

__all__ = ["copy_job"]

TEXTS = (".star", ".json", ".jsonl", ".txt", ".log", ".html")


def copy_job(folder: Path, target: Path, *, overwrite: bool = False) -> Path:
    """Copy the folder of a finished job, and return the path of the report there.

    Names of files in it that are absolute lead to the copy; those of files elsewhere stay. overwrite: an earlier job in
    ``target``, and those in folders within, are removed first. Raises JobFolderError where ``target`` holds something
    else.
    """
    ours = overwrite and (target / "job.json").is_file()
    if ours:
        for record in (*target.glob("*/job.json"), target / "job.json"):
            clear_job(record.parent)
    if target.is_file() or (target.is_dir() and any(target.iterdir()) and not ours):
        raise JobFolderError(f"{target} holds something already; choose another folder, or say overwrite=True")
    shutil.copytree(folder, target, dirs_exist_ok=True)
    old, new = (os.fsencode(path.resolve()) for path in (folder, target))
    for path in target.rglob("*"):
        if path.suffix in TEXTS and path.is_file() and old in (content := path.read_bytes()):
            write_bytes_atomic(path, content.replace(old, new))
    return target / "report.html"
