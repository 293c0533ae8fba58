"""The report of a ``mixture`` job: what was given and the mixture side by side, and how the fit converged."""

from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import Manifest, read_manifest
from vitreous.jobs.report.axes import axis, frequency_axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.maps import CHAIN_HINT, MapSlices, slices
from vitreous.jobs.report.page import (
    Charts,
    Columns,
    Drawing,
    KeyFigure,
    Page,
    Panel,
    Rows,
    Section,
    Slices,
    Text,
    picture,
)
from vitreous.jobs.report.surface import content_reach, surface
from vitreous.jobs.results.chains import CHAIN_HEAD, chain_rows, mixture_chain
from vitreous.jobs.results.mixture import CURVE, MixtureFolder, in_equal_sides, read_mixture
from vitreous.particles import read_star

__all__ = ["mixture_page"]

NAMES = {"map": "The map, as it was fitted", "image": "The image, as it was fitted", "points": "The points, blurred"}
FEWEST_STEPS = 3  # of a curve


def mixture_page(folder: Path) -> Page:
    """The page of a finished ``mixture`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = read_mixture(folder), read_manifest(folder)
    summary = manifest.summary if manifest else {}
    kind, mixture = summary.get("input", "map"), found.mixture
    return Page(
        kind="mixture of Gaussians",
        headline=f"{len(mixture):,} Gaussians of {mixture.sigma_A:.2f} Å; correlation with the {kind} "
        f"{summary.get('correlation', float('nan')):.4f}.",
        key_figures=tuple(_key_figures(found, manifest)),
        sections=(_density_section(found, kind), _convergence_section(folder, kind)),
    )


def _density_section(found: MixtureFolder, kind: str) -> Section:
    pictures = _pictures(found, kind)
    surfaces = _surfaces(pictures, found.target.pixel_size_A)
    turn = "Drag a surface, or use the arrow keys, to turn it. Slices are through the centre; each picture has its own"
    return Section(
        name="model",
        title=f"{kind.capitalize()} and mixture",
        hint=f"{turn} grey scale." if surfaces else "Each picture has its own grey scale.",
        panels=(*surfaces, Slices(maps=tuple(_slices(name, values) for name, values in pictures))),
    )


def _convergence_section(folder: Path, kind: str) -> Section:
    chain = chain_rows(mixture_chain(folder))
    samples: tuple[Panel, ...] = (Text(text=CHAIN_HINT), Rows(head=CHAIN_HEAD, rows=tuple(chain)))
    correlation = (f"Fourier correlation of {kind} and mixture", _fourier_correlation(folder))
    return Section(
        name="convergence",
        title="Convergence and agreement",
        panels=(*(samples if chain else ()), Charts(drawings=(*_traces(folder), correlation))),
    )


def _pictures(found: MixtureFolder, kind: str) -> list[tuple[str, np.ndarray]]:
    """(what it is, density [z, y, x] on the grid of the fit)."""
    alike = ", blurred alike" if kind == "points" else ""
    pictures = [(NAMES[kind], found.target.data)]
    if found.variance is None:
        pictures.append((f"The mixture{alike}", found.compared.data))
    else:
        pictures.append((f"Posterior mean{alike}", found.compared.data))
        pictures.append(("Standard deviation of the posterior", np.sqrt(found.variance.data.clip(min=0.0))))
    return [*pictures, ("Difference: the first minus the second", found.target.data - found.compared.data)]


def _surfaces(pictures: list[tuple[str, np.ndarray]], pixel_size_A: float) -> tuple[Columns, ...]:
    """The first two as surfaces of one extent, side by side; nothing for an image."""
    if len(pictures[0][1]) == 1:
        return ()
    shown = [(name, in_equal_sides(values)) for name, values in pictures[:2]]
    reach = max(content_reach(values) for _, values in shown)
    left, right = (surface(values, pixel_size_A, title=name, reach_px=reach) for name, values in shown)
    return (Columns(left=(left,), right=(right,)),)


def _slices(what: str, values: np.ndarray) -> MapSlices:
    if len(values) == 1:
        return what, (("xy", picture(in_equal_sides(values[0]), what)),)
    return slices(what, in_equal_sides(values))


def _key_figures(found: MixtureFolder, manifest: Manifest | None) -> list[KeyFigure]:
    summary = manifest.summary if manifest else {}
    sides = found.target.data.shape[-found.mixture.dimension :]
    resolution = summary.get("resolution_of_agreement_A")
    figures = [
        ("Gaussians", f"{len(found.mixture):,}", f"of {found.mixture.sigma_A:.2f} Å"),
        ("correlation", f"{summary.get('correlation', float('nan')):.4f}", "over all grid points"),
        ("agreement", f"{resolution:.1f} Å" if resolution else "none", "where the Fourier correlation is 0.5"),
        ("grid", " × ".join(map(str, reversed(sides))), f"{found.target.pixel_size_A:.2f} Å"),
    ]
    if "gain_per_count" in summary:
        remark = f"log posterior per count in the last of {summary['steps']} steps"
        return [*figures, (summary.get("convergence", ""), f"{summary['gain_per_count']:.1g}", remark)]
    samples = summary.get("effective_samples_log_posterior")
    shown = "unknown" if samples is None else f"{samples:,.0f}"
    return [*figures, ("independent samples", shown, f"of the log posterior; {summary.get('convergence', 'unknown')}")]


def _traces(path: Path) -> list[Drawing]:
    """Figures over all EM and Gibbs steps."""
    history = read_history(path)
    if not history:
        return []
    log_p, sigma = _every_step(history, "log_posterior"), _every_step(history, "sigma_A")
    if len(log_p) < FEWEST_STEPS:
        return []
    drawings = [("Log posterior at every step", _trace(log_p, "Log posterior"))]
    drawings.append(("Component size (Å)", _trace(sigma, "Component size")))
    sampling = [entry for entry in history if entry.get("stage") == "sampling"]
    if sampling:
        drawings.append(("Log density at eight places, while sampling", _places(sampling)))
    return drawings


def _every_step(history: list[dict[str, Any]], key: str) -> np.ndarray:
    """One value per step: a block of Gibbs steps has a list of them under the plural."""
    plural = {"log_posterior": "log_posteriors", "sigma_A": "sigmas_A"}[key]
    return np.concatenate([np.atleast_1d(entry.get(plural, entry[key])) for entry in history]).astype(float)


def _trace(values: np.ndarray, title: str) -> str:
    steps = np.arange(1, len(values) + 1, dtype=float)
    later = values[len(values) // 10 :]  # the first steps move so far that nothing could be seen of the others
    vertical = axis(float(later.min()), float(later.max()), "", count=4)
    horizontal = axis(1.0, float(len(values)), "step", whole=True, widen=False)
    return curves([Curve(x=steps, y=values)], x=horizontal, y=vertical, title=title)


def _places(sampling: list[dict[str, Any]]) -> str:
    traces = np.concatenate([entry["log_densities"] for entry in sampling]).T
    steps = np.arange(1, traces.shape[1] + 1, dtype=float)
    return curves(
        [Curve(x=steps, y=trace, style="faint", name=f"place {i}") for i, trace in enumerate(traces, start=1)],
        x=axis(1.0, float(len(steps)), "step of the sampling", whole=True, widen=False),
        y=axis(float(traces.min()), float(traces.max()), "", count=4),
        title="Log density at eight places",
    )


def _fourier_correlation(path: Path) -> str:
    table = next(iter(read_star(path / CURVE).values()))
    frequency = table.numbers("rlnResolution")
    return curves(
        [Curve(x=frequency, y=table.numbers("rlnFourierShellCorrelationUncorrected"))],
        x=frequency_axis(float(frequency[-1])),
        y=axis(-0.2, 1, "correlation", count=6, widen=False),
        title="Fourier correlation of what was fitted and the mixture",
        guides=[(0.5, "0.5")],
    )
