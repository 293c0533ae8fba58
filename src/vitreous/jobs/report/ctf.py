"""The report of a ``ctf`` job: spectra beside their fits, the distribution of defocus, micrographs one by one."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import Axis, axis, frequency_axis
from vitreous.jobs.report.charts import Curve, curves, histogram, scatter
from vitreous.jobs.report.page import Charts, KeyFigure, Page, Rows, Section
from vitreous.jobs.results.ctf import REASON, WARNINGS, CTFFolder, ShownSpectrum, read_ctf
from vitreous.particles import Table

__all__ = ["Spectra", "SpectrumCard", "ctf_page"]

MOST_ROWS = 500
SHOWN = 24  # of a folder whose settings are not known
HEAD = ("micrograph", "U (Å)", "V (Å)", "angle", "± (Å)", "fit to (Å)", "correlation", "what is said")
HIGHEST, LOWEST = 2.5, -0.5  # of the drawing of a spectrum over its background
NOTHING = (
    "No micrograph shows rings.",
    "Are pixel size, voltage and spherical aberration right, and is the defocus within the range that was looked at?",
)


@dataclass(frozen=True, kw_only=True)
class SpectrumCard:
    """The fit to one micrograph: its picture, its curves, and what is said about it."""

    name: str
    address: str
    alt: str
    drawing: str
    figures: str
    words: tuple[str, ...]
    doubtful: bool


@dataclass(frozen=True, kw_only=True)
class Spectra:
    """Cards that a click makes large."""

    template: ClassVar[str] = "spectra.html.j2"
    assets: ClassVar[tuple[str, ...]] = ("spectra.css", "spectra.js")
    cards: tuple[SpectrumCard, ...]


def ctf_page(folder: Path) -> Page:
    """The page of a finished ``ctf`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = read_ctf(folder), read_manifest(folder)
    table = found.micrographs
    good = table.text(REASON) == "none"
    order = np.argsort(_rank(table), kind="stable")
    pictures = manifest.settings.get("pictures", SHOWN) if manifest else SHOWN
    return Page(
        kind="CTF estimation",
        headline=f"The CTF of {int(good.sum()):,} of {len(table):,} micrographs.",
        key_figures=_key_figures(table, good),
        sections=(_spectra(found, order, pictures), _distributions(table.take(good)), _table(table, order)),
        nothing_found=() if good.any() else NOTHING,
    )


def _rank(table: Table) -> np.ndarray:
    """By which micrographs are sorted: those without a CTF first, then from the coarsest resolution of the fit."""
    without = table.text(REASON) != "none"
    rank: np.ndarray = np.where(without, -np.inf, -table.numbers("rlnCtfMaxResolution"))
    return rank


def _key_figures(table: Table, good: np.ndarray) -> tuple[KeyFigure, ...]:
    missing = int((~good).sum())
    used = (("micrographs", f"{len(table):,}", f"{missing:,} without a CTF" if missing else "all with a CTF"),)
    if not good.any():
        return used
    u, v = (table.numbers(f"rlnDefocus{end}")[good] for end in "UV")
    mean, split = 0.5 * (u + v), u - v
    fit, sd = (table.numbers(name)[good] for name in ("rlnCtfMaxResolution", "vtrDefocusSd"))
    return (
        *used,
        ("defocus", f"{np.median(mean):,.0f} Å", f"median; {mean.min():,.0f} to {mean.max():,.0f} Å"),
        ("astigmatism", f"{np.median(split):,.0f} Å", "median of U less V"),
        (
            "rings fit to",
            f"{np.median(fit):.1f} Å",
            f"median; {fit.max():.1f} to {fit.min():.1f} Å",
        ),
        ("uncertainty", f"{np.median(sd):.0f} Å", "median standard deviation of the defocus"),
    )


def _spectra(found: CTFFolder, order: np.ndarray, most: int) -> Section:
    table = found.micrographs
    names = table.text("rlnMicrographName").tolist()
    there = [int(i) for i in order if found.has_spectrum(names[i])]
    chosen = np.unique(np.linspace(0, len(there) - 1, min(most, len(there))).astype(int))
    cards = tuple(_card(found.shown(names[there[i]]), table, there[i]) for i in chosen)
    few = f" {len(cards)} of {len(table):,} are shown, all are in ctf/." if len(cards) < len(table) else ""
    return Section(
        name="spectra",
        title="Spectra and fits",
        hint="Left half of a picture: the measured spectrum over its background; right half: the fitted CTF squared. "
        "Curves are averages along lines of equal phase, measured and fitted. The pale line is their local likeness; "
        "rings fit as far as it stays above 0.5. Coarsest fits come first; a click makes one large."
        f"{few}",
        panels=(Spectra(cards=cards),) if cards else (),
    )


def _card(shown: ShownSpectrum, table: Table, row: int) -> SpectrumCard:
    without = table.text(REASON)[row] != "none"
    u, v, angle, resolution = (
        float(table.numbers(name)[row])
        for name in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnCtfMaxResolution")
    )
    figures = "no CTF" if without else f"{u:,.0f} / {v:,.0f} Å at {angle:.0f}°, to {resolution:.1f} Å"
    warnings = str(table.text(WARNINGS)[row])
    words = () if warnings == "none" else tuple(warnings.split("; "))
    name = Path(shown.name).name
    return SpectrumCard(
        name=name,
        address="data:image/png;base64," + base64.b64encode(shown.png).decode(),
        alt=f"Spectrum of {name}" if without else f"Spectrum of {name} on the left, its fit on the right",
        drawing=_curves(shown.profile, name, fit=not without),
        figures=figures,
        words=words,
        doubtful=bool(words),
    )


def _curves(profile: Table, name: str, *, fit: bool) -> str:
    k = profile.numbers("vtrFrequency")
    lines = [
        Curve(x=k, y=profile.numbers(column), style=style, name=word)
        for column, style, word in (
            ("vtrLocalCorrelation", "faint", "local correlation"),
            ("vtrSpectrum", "c0", "measured"),
            ("vtrFit", "c1", "fitted"),
        )
        if fit or column == "vtrSpectrum"
    ]
    top = float(np.clip(np.max(profile.numbers("vtrSpectrum")), 1.5, HIGHEST))
    vertical = axis(LOWEST, top, "spectrum / background")
    return curves(lines, x=frequency_axis(float(k[-1])), y=vertical, title=f"Spectrum and fit of {name}")


def _distributions(good: Table) -> Section:
    if len(good) == 0:
        return Section(name="distributions", title="Distributions", panels=())
    u, v, resolution = (good.numbers(name) for name in ("rlnDefocusU", "rlnDefocusV", "rlnCtfMaxResolution"))
    mean = 0.5 * (u + v) / 1e4
    drawings = [
        (title, histogram(values, horizontal=_wide(values, label), title=title, of="micrographs", bins=24))
        for title, values, label in (
            ("Defocus", mean, "mean defocus (µm)"),
            ("Astigmatism", u - v, "U less V (Å)"),
            ("Resolution of the fit", resolution, "rings fit to (Å)"),
        )
    ]
    names = [Path(str(name)).name for name in good.text("rlnMicrographName")]
    cloud = scatter(
        mean,
        resolution,
        horizontal=_wide(mean, "mean defocus (µm)"),
        vertical=_wide(resolution, "rings fit to (Å)"),
        names=names,
        keys=range(len(names)),
        title="Resolution of the fit by defocus",
    )
    return Section(
        name="distributions",
        title="Distributions",
        panels=(Charts(drawings=(*drawings, ("Resolution of the fit by defocus", cloud))),),
    )


def _wide(values: np.ndarray, label: str) -> Axis:
    low, high = float(values.min()), float(values.max())
    return axis(low, max(high, low + 1e-3 * max(abs(low), 1.0)), label)


def _table(table: Table, order: np.ndarray) -> Section:
    shown = order[:MOST_ROWS]
    few = "" if len(shown) == len(order) else f" {len(shown)} of {len(order):,} are shown, all are in micrographs.star."
    return Section(
        name="table",
        title="One by one",
        hint=f"Those without a CTF come first, then the coarsest fits.{few}",
        panels=(Rows(head=HEAD, rows=tuple(_row(table, int(i)) for i in shown)),),
    )


def _row(table: Table, i: int) -> tuple[str, ...]:
    name, why, warnings = (str(table.text(column)[i]) for column in ("rlnMicrographName", REASON, WARNINGS))
    said = "; ".join(words for words in (why, warnings) if words != "none")
    numbers = [
        f"{table.numbers(column)[i]:{form}}"
        for column, form in (
            ("rlnDefocusU", ",.0f"),
            ("rlnDefocusV", ",.0f"),
            ("rlnDefocusAngle", ".1f"),
            ("vtrDefocusSd", ".0f"),
            ("rlnCtfMaxResolution", ".2f"),
            ("rlnCtfFigureOfMerit", ".3f"),
        )
    ]
    return (name, *(numbers if why == "none" else [""] * len(numbers)), said)
