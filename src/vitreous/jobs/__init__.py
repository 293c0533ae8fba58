"""A run: folder, checkpoints, resume, outputs, report."""

from vitreous.jobs.checkpoints import load_newest, save_checkpoint
from vitreous.jobs.folder import Job, JobFinished, JobFolderError, job_status, open_job
from vitreous.jobs.history import read_history
from vitreous.jobs.lock import FolderInUseError
from vitreous.jobs.manifest import Manifest, Run, new_manifest, read_manifest
from vitreous.jobs.progress import Reporter, describe_duration, reporting
from vitreous.jobs.relion_output import SearchSettings, write_final, write_iteration
from vitreous.jobs.report import Examples, write_examples
from vitreous.jobs.report import write_class2d_report as write_report
from vitreous.jobs.select import SelectionError, SelectResult, select_particles

__all__ = [
    "Examples",
    "FolderInUseError",
    "Job",
    "JobFinished",
    "JobFolderError",
    "Manifest",
    "Reporter",
    "Run",
    "SearchSettings",
    "SelectResult",
    "SelectionError",
    "describe_duration",
    "job_status",
    "load_newest",
    "new_manifest",
    "open_job",
    "read_history",
    "read_manifest",
    "reporting",
    "save_checkpoint",
    "select_particles",
    "write_examples",
    "write_final",
    "write_iteration",
    "write_report",
]
