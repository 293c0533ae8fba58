"""The ``ctf`` job: micrographs in; their list with the CTF of each, and a report, out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.function import function_of
from vitreous.jobs.report.ctf import ctf_page
from vitreous.jobs.results.ctf import FILES, write_ctf, write_spectrum
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.micrographs import (
    CTFState,
    EstimateCTF,
    ListedMicrograph,
    Microscope,
    MicroscopeGiven,
    ctf_algorithm,
    list_micrographs,
    microscopes_of,
)
from vitreous.micrographs.ctf_many import CTF_AT_ONCE, FAILED, FIGURES, FOUND, NO_RINGS
from vitreous.particles import read_star
from vitreous.particles.star import StarFile

__all__ = ["TASK", "Exposures", "run_ctf"]

FAILURES_SAID = 5


@dataclass(frozen=True, kw_only=True)
class Exposures:
    """Micrographs, and the microscope that they are from.

    Parameters
    ----------
    micrographs
        Micrographs (.mrc; .tif, .png and .jpg where Pillow is installed), or a .star list of them. A pattern in quotes
        will do, too.
    voltage_kV
        Acceleration voltage, in kilovolts. None: what the list says.
    cs_mm
        Spherical aberration, in millimetres. None: what the list says.
    amplitude_contrast
        Share of amplitude contrast, from 0 to 1. None: what the list says, or 0.1.
    project
        Directory that the names in a .star list are relative to.
    pixel_size_A
        Pixel size of the micrographs in Angstrom, when neither header nor list say, or when they are wrong.
    """

    micrographs: tuple[Path, ...]
    voltage_kV: float | None = None
    cs_mm: float | None = None
    amplitude_contrast: float | None = None
    project: Path | None = None
    pixel_size_A: float | None = None


def _prepare(source: Exposures, settings: EstimateCTF, resources: Resources) -> Prepared[CTFState, CTFState]:
    given: tuple[Path, ...] = tuple(np.atleast_1d(np.array(source.micrographs, dtype=object)))
    listed = list_micrographs(given, project=source.project, pixel_size_A=source.pixel_size_A)
    lists = [path for path in given if path.suffix.lower() == ".star"]
    said = MicroscopeGiven(
        voltage_kV=source.voltage_kV, cs_mm=source.cs_mm, amplitude_contrast=source.amplitude_contrast
    )
    microscopes = microscopes_of(listed, lists, said)
    if source.project is None:  # names beside a list would not be found beside another one
        listed = tuple(m if Path(m.name).is_file() else replace(m, name=str(m.path)) for m in listed)
    return Prepared(
        settings=settings,
        inputs=tuple(lists),
        algorithm=ctf_algorithm(listed, microscopes, settings, threads=resources.threads),
        state=CTFState,
        steps=-(-len(listed) // CTF_AT_ONCE),
        each=partial(_write_each, listed),
        write=partial(_write, listed, microscopes, read_star(lists[0]) if len(lists) == len(given) == 1 else None),
        screen=_screen(listed, microscopes, settings),
        plan={"micrographs": len(listed)},
        remark=_remark,
    )


def _screen(
    listed: Sequence[ListedMicrograph], microscopes: Sequence[Microscope], settings: EstimateCTF
) -> tuple[str, ...]:
    scopes = list(dict.fromkeys(microscopes))
    first = scopes[0]
    optics = f"{first.voltage_kV:g} kV, Cs {first.cs_mm:g} mm, amplitude contrast {first.amplitude_contrast:g}"
    others = f", and {len(scopes) - 1} more microscopes" if len(scopes) > 1 else ""
    shift = ", phase shift looked for" if settings.phase_shift else ""
    return (
        f"data     {len(listed):,} micrographs, {optics}{others}",
        f"settings defocus from {settings.lowest_defocus_A:g} to {settings.highest_defocus_A:g} Å{shift}",
    )


def _remark(info: Any) -> str | None:
    failures = info["failures"]
    return "\n".join(f"note     {words}" for words in failures) if failures else None


def _write_each(listed: Sequence[ListedMicrograph], folder: Path, state: CTFState) -> None:
    for found in state.latest:
        write_spectrum(folder, listed[found.number], found)


def _write(
    listed: Sequence[ListedMicrograph],
    microscopes: Sequence[Microscope],
    given: StarFile | None,
    folder: Path,
    result: CTFState,
    state: CTFState,
) -> Outcome:
    write_ctf(folder, listed, microscopes, result, given)
    counts = {word: int((result.fate == fate).sum()) for word, fate in _FATES.items()}
    found = result.figures[result.fate == FOUND]
    words = f"CTF of {counts['found']:,} of {len(listed):,} micrographs"
    if counts["no_rings"]:
        words += f"; {counts['no_rings']:,} show no rings"
    if counts["failed"]:
        words += f"; {counts['failed']:,} could not be used, see vtrFailure in micrographs.star"
    summary: dict[str, Any] = {"micrographs": len(listed), **counts}
    if len(found):
        defocus = found[:, [FIGURES.index("defocus_u_A"), FIGURES.index("defocus_v_A")]].mean(axis=1)
        resolution = found[:, FIGURES.index("resolution_A")]
        summary |= {
            "median_defocus_A": round(float(np.median(defocus)), 1),
            "median_resolution_A": round(float(np.median(resolution)), 2),
        }
        words += f"; rings fit to {summary['median_resolution_A']:g} Å (median)"
    return Outcome(
        words=words,
        verdict="done" if len(found) else "nothing was found",
        summary=summary,
        messages=tuple(why for why in result.failure if why)[:FAILURES_SAID],
    )


_FATES = {"found": FOUND, "no_rings": NO_RINGS, "failed": FAILED}

TASK = Task(
    name="ctf",
    title="CTF estimation",
    about="Micrographs are summed and corrected for motion. Voltage and spherical aberration come from the options or "
    "from the list. micrographs_ctf.star is read by pick, by extract and by RELION.",
    source=Exposures,
    methods={"": EstimateCTF},
    prepare=_prepare,
    files=FILES,
    results="micrographs_ctf.star, micrographs.star, ctf/",
    page=ctf_page,
    uses=frozenset({"threads"}),
    useless=lambda summary: summary["failed"] == summary["micrographs"],
    aliases={
        "voltage_kV": ("--voltage", "--kV"),
        "cs_mm": ("--cs",),
        "lowest_defocus_A": ("--dfmin",),
        "highest_defocus_A": ("--dfmax",),
    },
    ignores=frozenset({"device", "memory", "every"}),
)
run_ctf = function_of(TASK)
