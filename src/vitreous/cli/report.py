"""``vitreous report``."""

from pathlib import Path

from vitreous.jobs.tasks.table import write_report

__all__ = ["report"]


def report(job: Path) -> None:
    """Write the report of a finished job again, from the files in its folder.

    Parameters
    ----------
    job
        Folder of a finished job; every kind of job has a report, except simulate.
    """
    print(write_report(job))
