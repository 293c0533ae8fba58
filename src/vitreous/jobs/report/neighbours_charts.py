"""Drawings of the report of a ``neighbours`` job."""

import math
from typing import Any

import numpy as np

from vitreous.jobs.report.axes import axis, frequency_axis
from vitreous.jobs.report.charts import Curve, curves, histogram
from vitreous.jobs.report.page import Drawing
from vitreous.jobs.results.neighbours import NeighboursFolder

__all__ = ["class_charts", "convergence", "neighbour_charts", "spectra"]

MOST_BARS = 45
DRAWN_VARIANCES = 1e-4  # of the largest one: smaller ones are not drawn


def neighbour_charts(found: NeighboursFolder) -> list[Drawing]:
    """Affinities, ranks, how often a particle is named, and the correlation of halves."""
    used = found.weight > 0
    return [
        (
            "Mean affinity of a particle's neighbours",
            histogram(
                found.affinity[used],
                horizontal=axis(
                    float(found.affinity[used].min()), max(1.0, float(found.affinity[used].max())), "affinity"
                ),
                title="Affinities",
            ),
        ),
        ("Affinity by rank: mean, 10th and 90th percentile", _ranks(found.figures["affinity_by_rank"])),
        ("Evidence of a particle, over the mean image", _evidence(found.log_evidence[used])),
        ("How often a particle is another's neighbour", _named(found.times_neighbour[used])),
        *([("FRC of the halves of every average, and their mean", _halves(found))] if len(found.averages) else []),
    ]


def class_charts(found: NeighboursFolder) -> list[Drawing]:
    """Sizes of the classes, largest first."""
    size = np.sort(found.class_members)[::-1]
    line = Curve(x=np.arange(1.0, len(size) + 1), y=size, name="particles in a class")
    drawing = curves(
        [line],
        x=axis(1, len(size), "class, by size", whole=True, widen=False),
        y=axis(0, float(size.max()), "particles", count=4),
        title="Class sizes",
        dots=True,
    )
    return [("Class sizes", drawing)]


def convergence(history: list[dict[str, Any]]) -> list[Drawing]:
    """Likelihood and changes of class by pass, a curve for every classification."""
    panels = (
        ("score", "Log-likelihood of a particle, tempered, up to a constant", "nats", 1.0),
        ("changed_fraction", "Particles that changed class", "%", 100.0),
    )
    drawings = []
    for key, heading, unit, scale in panels:
        lines = [
            Curve(x=x, y=scale * y, style=f"c{run % 6}", name=f"classification {run + 1}")
            for run, (x, y) in enumerate(_by_run(history, key))
        ]
        if lines and max(len(line.x) for line in lines) > 1:
            values = np.concatenate([line.y for line in lines])
            last = max(float(line.x[-1]) for line in lines)
            drawing = curves(
                lines,
                x=axis(1, last, "pass", whole=True, widen=False),
                y=axis(float(values.min()), float(values.max()), unit, count=4),
                title=f"{heading} per pass",
                dots=True,
            )
            drawings.append((heading, drawing))
    return drawings


def spectra(found: NeighboursFolder) -> list[Drawing]:
    """Variances of the principal components, and the noise that they stand out from."""
    return [
        ("Variance of principal components: largest, second, ... of every angular order", _variances(found.figures)),
        ("Noise spectrum", _noise(found)),
    ]


def _ranks(rows: np.ndarray) -> str:
    rank = np.arange(1.0, rows.shape[1] + 1)
    names = ("mean", "10th percentile", "90th percentile")
    lines = [
        Curve(x=rank, y=row, style="c0" if name == "mean" else "faint", name=name)
        for name, row in zip(names, rows, strict=True)
    ]
    return curves(
        lines,
        x=axis(1, max(2.0, rank[-1]), "rank", whole=True, widen=False),
        y=axis(float(rows.min()), max(1.0, float(rows.max())), "affinity"),
        title="Affinity by rank",
        dots=True,
    )


def _evidence(values: np.ndarray) -> str:
    horizontal = axis(float(values.min()), float(values.max()), "nats")
    return histogram(values, horizontal=horizontal, title="Evidence of the particles")


def _named(times: np.ndarray) -> str:
    """A bar for every number of times, or for a few numbers together."""
    most = int(times.max(initial=1)) + 1
    step = math.ceil(most / MOST_BARS)
    bins = math.ceil(most / step)
    horizontal = axis(0, bins * step, "times", whole=True, widen=False)
    return histogram(times + 0.5, horizontal=horizontal, title="How often named", bins=bins)


def _halves(found: NeighboursFolder) -> str:
    frc = found.figures["frc"]
    box = found.classes.shape[-1]
    frequency = np.arange(1, frc.shape[1]) / (box * found.pixel_size_A)
    lines = [Curve(x=frequency, y=row[1:], style="faint", name=f"average {i + 1}") for i, row in enumerate(frc)]
    mean = Curve(x=frequency, y=frc.mean(0)[1:], name="mean")
    return curves(
        [*lines, mean],
        x=frequency_axis(float(frequency[-1])),
        y=axis(-0.2, 1, "FRC", count=6, widen=False),
        title="Fourier ring correlation of halves",
        guides=[(0.143, "0.143")],
    )


def _by_run(history: list[dict[str, Any]], key: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """(passes, values) of every classification."""
    runs = sorted({entry["run"] for entry in history if entry.get("run") is not None})
    points = [[(e["pass"], e[key]) for e in history if e.get("run") == r and e.get(key) is not None] for r in runs]
    return [(np.array(p, float)[:, 0], np.array(p, float)[:, 1]) for p in points if p]


def _variances(figures: dict[str, np.ndarray]) -> str:
    drawn = figures["variances"] > DRAWN_VARIANCES * figures["variances"].max()
    orders, levels = figures["orders"][drawn], np.log10(figures["variances"][drawn])
    by_order = {int(q): np.sort(levels[orders == q])[::-1] for q in np.unique(orders)}
    lines = []
    for rank in range(max(len(v) for v in by_order.values())):
        has = [q for q, v in by_order.items() if len(v) > rank]
        style = f"c{rank}" if rank < 4 else "faint"
        y = np.array([by_order[q][rank] for q in has])
        lines.append(Curve(x=np.array(has, float), y=y, style=style, name=f"component {rank + 1} of its order"))
    return curves(
        lines,
        x=axis(0, max(1, *by_order), "angular order", whole=True, widen=False),
        y=axis(float(levels.min()), float(levels.max()), "log₁₀ variance", count=4),
        title="Variance of the principal components",
        dots=True,
    )


def _noise(found: NeighboursFolder) -> str:
    power = found.figures["noise_power"][1:]
    frequency = np.arange(1, len(power) + 1) / (found.classes.shape[-1] * found.pixel_size_A)
    return curves(
        [Curve(x=frequency, y=power)],
        x=frequency_axis(float(frequency[-1])),
        y=axis(0, float(power.max()), "variance per pixel", count=4),
        title="Noise spectrum",
    )
