"""The report of a ``ctf`` job: spectra beside their fits, the distribution of defocus, micrographs one by one."""

from pathlib import Path

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.page import Page, Rows, Section
from vitreous.jobs.results.ctf import REASON, WARNINGS, CTFFolder, read_ctf

__all__ = ["ctf_page"]

NOTHING = (
    "No micrograph shows rings.",
    "Are pixel size, voltage and spherical aberration right, and is the defocus within the range that was looked at?",
)


def ctf_page(folder: Path) -> Page:
    """The page of a finished ``ctf`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = read_ctf(folder), read_manifest(folder)
    summary = manifest.summary if manifest else {}
    good = int((found.micrographs.text(REASON) == "none").sum())
    return Page(
        kind="CTF estimation",
        headline=f"The CTF of {good:,} of {len(found.micrographs):,} micrographs.",
        key_figures=(("defocus", f"{summary.get('median_defocus_A', 0):,.0f} Å", "median"),),
        sections=(_table(found),),
        nothing_found=() if good else NOTHING,
    )


def _table(found: CTFFolder) -> Section:
    names = ("rlnMicrographName", "rlnDefocusU", "rlnDefocusV", "rlnCtfMaxResolution", WARNINGS, REASON)
    rows = tuple(
        tuple(str(v) for v in row) for row in zip(*(found.micrographs.text(name) for name in names), strict=True)
    )
    return Section(
        name="table", title="One by one", panels=(Rows(head=("micrograph", "U", "V", "Å", "", ""), rows=rows),)
    )
