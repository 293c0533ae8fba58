"""The content of a ``class2d`` folder as what its page shows: sentences, pictures and drawings."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitreous.jobs.progress import describe_duration
from vitreous.jobs.report.axes import Axis, axis, frequency_axis
from vitreous.jobs.report.charts import Curve, curves, histogram, scatter, stacked
from vitreous.jobs.report.class2d_content import ReportContent
from vitreous.jobs.report.page import Drawing, KeyFigure, Picture, picture
from vitreous.pictures import low_pass

__all__ = [
    "ClassView",
    "class_views",
    "convergence",
    "distributions",
    "example_resolution",
    "headline",
    "key_figures",
    "noise",
    "overview",
    "populations",
]

THRESHOLD = 0.143
EXAMPLE_CYCLES = 10  # per box: single particles are shown without the frequencies that carry noise only


@dataclass(frozen=True, kw_only=True)
class ClassView:
    """One class as the page shows it."""

    number: int
    population: int
    percent: str
    resolution: str
    resolution_A: float | None
    effective: str
    average: Picture
    halves: tuple[Picture, ...]
    examples: tuple[tuple[Picture, int], ...]  # with the number of the particle
    frc: str


def class_views(content: ReportContent) -> list[ClassView]:
    """Every class with its pictures and its FRC curve, in the order of the files."""
    used = max(int(content.population.sum()), 1)
    views = []
    for k, average in enumerate(content.averages):
        resolution = float(content.resolution_A[k]) if content.population[k] else math.inf
        effective = float(content.effective_number[k])
        examples = content.examples.of(k + 1) if content.examples else []
        views.append(
            ClassView(
                number=k + 1,
                population=int(content.population[k]),
                percent=f"{100 * content.population[k] / used:.1f} %",
                resolution=_resolution(resolution, empty=not content.population[k]),
                resolution_A=round(resolution, 2) if math.isfinite(resolution) else None,
                effective=f"{effective:,.0f}" if math.isfinite(effective) else "",
                average=picture(average, f"Average of class {k + 1}", fade=True),
                halves=tuple(
                    picture(half, f"Average of half {i} of class {k + 1}", fade=True)
                    for i, half in enumerate(content.halves[k] if content.halves is not None else (), start=1)
                ),
                examples=tuple((_example(image, number), number) for image, number in examples),
                frc=_frc_curve(content, k) if k < len(content.frc) else "",
            )
        )
    return views


def _example(image: np.ndarray, number: int) -> Picture:
    smooth = low_pass(image.astype(np.float64), EXAMPLE_CYCLES)
    return picture(smooth, f"Particle {number}", largest=128, fade=True)


def _resolution(resolution: float, *, empty: bool) -> str:
    if empty:
        return "empty"
    return f"{resolution:.1f} Å" if math.isfinite(resolution) else "no signal"


def _frc_curve(content: ReportContent, k: int) -> str:
    lines = [Curve(x=content.frequency, y=content.frc[k], name=f"class {k + 1}")]
    return _frc_axes(content, lines, f"Fourier ring correlation of the half-set averages of class {k + 1}")


def _frc_axes(content: ReportContent, lines: list[Curve], title: str) -> str:
    vertical = axis(-0.2, 1, "FRC", count=6, widen=False)
    guides = [(THRESHOLD, "0.143"), (0.5, "0.5")]
    return curves(lines, x=frequency_axis(float(content.frequency[-1])), y=vertical, title=title, guides=guides)


def example_resolution(content: ReportContent) -> str:
    """The detail to which single particles are shown."""
    return f"{content.box * content.pixel_size_A / EXAMPLE_CYCLES:.0f} Å"


def headline(content: ReportContent) -> str:
    """The result in one sentence."""
    used = content.particle_count - content.refused_count
    good = np.isfinite(content.resolution_A) & (content.population > 0)
    if not content.found_signal or not good.any():
        return f"{used:,} particles, and no common signal among them."
    filled = int((content.population > 0).sum())
    best = content.resolution_A[good].min()
    classes = "class" if filled == 1 else "classes"
    return f"{used:,} particles in {filled} {classes}; the sharpest average reaches {best:.1f} Å."


def key_figures(content: ReportContent) -> list[KeyFigure]:
    """(name, figure, remark) for the head of the page."""
    good = np.isfinite(content.resolution_A) & (content.population > 0)
    share = content.population[good].sum() / max(content.population.sum(), 1)
    figures = [("particles", f"{content.particle_count - content.refused_count:,}", _refused(content))]
    figures.append(("classes", f"{int((content.population > 0).sum())}", f"of {len(content.population)} asked for"))
    if content.found_signal and good.any():
        median = _weighted_median(content.resolution_A[good], content.population[good])
        figures.append(("best resolution", f"{content.resolution_A[good].min():.1f} Å", "FRC 0.143"))
        figures.append(("typical resolution", f"{median:.1f} Å", "median over particles"))
        figures.append(("in resolved classes", f"{100 * share:.0f} %", "of the particles"))
    figures.append(("box", f"{content.box} px", f"{content.pixel_size_A:g} Å per pixel"))
    seconds = sum(entry.get("seconds") or 0 for entry in content.history)
    if seconds:
        figures.append(("time", describe_duration(seconds), f"{len(content.history)} iterations"))
    return figures


def _refused(content: ReportContent) -> str:
    return f"{content.refused_count:,} more refused" if content.refused_count else "none refused"


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def overview(content: ReportContent) -> list[Drawing]:
    """(heading, drawing): FRC curves together, particles against resolution, size against resolution."""
    drawings = []
    known = content.frc[np.isfinite(content.frc).all(axis=1)] if len(content.frc) else content.frc
    if len(known):
        lines = [
            Curve(x=content.frequency, y=row, style="faint", name=f"class {k + 1}") for k, row in enumerate(content.frc)
        ]
        weights = content.population / max(content.population.sum(), 1)
        mean = Curve(x=content.frequency, y=weights @ np.nan_to_num(content.frc), name="mean over particles")
        drawings.append(
            (
                "FRC of every class, and the mean over particles",
                _frc_axes(content, [*lines, mean], "FRC of all classes"),
            )
        )
    good = np.isfinite(content.resolution_A) & (content.population > 0)
    if good.any():
        numbers = np.flatnonzero(good) + 1
        resolution, population = content.resolution_A[good], content.population[good].astype(float)
        drawing = scatter(
            population,
            resolution,
            horizontal=axis(0, float(population.max()), "particles in the class"),
            vertical=axis(float(resolution.min()), float(resolution.max()), "resolution (Å)"),
            names=[
                f"class {n}: {int(p):,} particles, {r:.1f} Å"
                for n, p, r in zip(numbers, population, resolution, strict=True)
            ],
            keys=[int(n) for n in numbers],
            title="Resolution against class size",
        )
        drawings.append(("Particles in classes at least this well resolved", _cumulative(resolution, population)))
        drawings.append(("Class size and resolution (selected: filled)", drawing))
    return drawings


def _cumulative(resolution_A: np.ndarray, population: np.ndarray) -> str:
    """Steps of the number of particles whose class reaches a resolution."""
    order = np.argsort(resolution_A)
    total = np.concatenate([[0.0], np.cumsum(population[order])])
    edges = resolution_A[order]
    x = np.concatenate([np.repeat(edges, 2), [edges[-1]]])
    y = np.concatenate([[0.0], np.repeat(total[1:], 2)])
    horizontal = axis(float(edges[0]), float(edges[-1]), "resolution (Å)")
    vertical = axis(0, float(total[-1]), "particles")
    return curves([Curve(x=x, y=y)], x=horizontal, y=vertical, title="Particles against resolution")


def convergence(content: ReportContent) -> list[Drawing]:
    """(heading, drawing) for every figure that the iterations recorded, and the populations (the last, wide)."""
    panels = (
        ("log_likelihood", "Log-likelihood", "", 1.0, None),
        ("resolution_A", "Resolution", "Å", 1.0, None),
        ("changed_fraction", "Particles that changed class", "%", 100.0, (0.0, None)),
        ("mean_max_probability", "Certainty of the pose", "mean highest probability", 1.0, (0.0, 1.0)),
        ("effective_classes", "Effective number of classes", "", 1.0, (0.0, None)),
        ("sigma_offset_A", "Spread of the shifts", "Å", 1.0, (0.0, None)),
        ("working_box_px", "Working box", "px", 1.0, (0.0, None)),
    )
    drawings = []
    for key, heading, unit, scale, limits in panels:
        points = [
            (e["iteration"], scale * e[key]) for e in content.history if _is_number(e.get(key)) and "iteration" in e
        ]
        if len(points) > 1:
            drawings.append((heading, _trace(points, heading, unit, limits)))
    return drawings


def _trace(
    points: list[tuple[float, float]], heading: str, unit: str, limits: tuple[float | None, float | None] | None
) -> str:
    x, y = np.array(points, dtype=float).T
    low, high = limits or (None, None)
    vertical = axis(float(y.min()) if low is None else low, float(y.max()) if high is None else high, unit, count=4)
    horizontal = axis(float(x[0]), float(x[-1]), "iteration", whole=True, widen=False)
    return curves([Curve(x=x, y=y)], x=horizontal, y=vertical, title=f"{heading} per iteration", dots=True)


def populations(content: ReportContent) -> str:
    """Shares of the classes per iteration; empty when they were not recorded."""
    rows = [(e["iteration"], e["populations"]) for e in content.history if e.get("populations") and "iteration" in e]
    rows = [row for row in rows if len(row[1]) == len(rows[-1][1])] if rows else []
    if len(rows) < 2:
        return ""
    layers = np.array([row[1] for row in rows], dtype=float).T
    names = [f"class {k + 1}" for k in range(len(layers))]
    x = np.array([row[0] for row in rows], dtype=float)
    return stacked(x, layers, names=names, x_label="iteration", title="Class populations per iteration")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def distributions(content: ReportContent) -> list[Drawing]:
    """(heading, drawing) of the histograms over particles."""
    turn = Axis(low=0, high=360, ticks=tuple((90.0 * i, f"{90 * i}°") for i in range(5)), label="angle")
    kinds: tuple[tuple[str, str, Axis | str], ...] = (
        ("defocus_um", "Defocus", "defocus (µm)"),
        ("shift_A", "Shift", "distance from the box centre (Å)"),
        ("psi_deg", "In-plane angle", turn),
        ("max_probability", "Certainty of the pose", axis(0, 1, "highest probability")),
    )
    drawings = []
    for key, heading, scale in kinds:
        values = content.particles.get(key, np.empty(0))
        finite = values[np.isfinite(values)]
        if len(finite):
            spread = (float(finite.min()), float(finite.max()))
            horizontal = axis(*spread, scale) if isinstance(scale, str) else scale
            drawings.append((heading, histogram(finite, horizontal=horizontal, title=f"{heading} of the particles")))
    return drawings


def noise(content: ReportContent) -> str:
    """Noise spectra on a logarithmic scale, relative to the mean of all; empty when there are none."""
    spectra = content.noise_power[:, 1:]
    if not spectra.size or not (spectra > 0).any():
        return ""
    levels = np.log10(np.where(spectra > 0, spectra, np.nan) / np.nanmean(spectra[spectra > 0]))
    many = len(levels) > 6
    lines = [
        Curve(x=content.frequency[1:], y=row, style="faint" if many else f"c{g}", name=f"group {g + 1}")
        for g, row in enumerate(levels)
    ]
    if many:
        lines.append(Curve(x=content.frequency[1:], y=np.nanmedian(levels, axis=0), name="median"))
    vertical = axis(float(np.nanmin(levels)), float(np.nanmax(levels)), "log₁₀ relative power", count=4)
    return curves(lines, x=frequency_axis(float(content.frequency[-1])), y=vertical, title="Noise spectra")
