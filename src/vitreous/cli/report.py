"""``vitreous report``."""

from pathlib import Path

from vitreous.jobs.report_of import write_report_of

__all__ = ["report"]


def report(job: Path) -> None:
    """Write the report of a finished job again, from the files in its folder.

    Parameters
    ----------
    job
        Folder of a finished job: class2d, deconvolve or denoise.
    """
    print(write_report_of(job))
