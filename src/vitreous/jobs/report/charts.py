"""Curves, stacked areas, histograms and scatter plots as inline SVG; colours come from the page's style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from vitreous.jobs.report.axes import GAP, HEIGHT, LEFT, RIGHT, WIDTH, Axis, Frame, axis, drawing

__all__ = ["Curve", "curves", "histogram", "scatter", "stacked"]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line through points. ``style`` is a class of the style sheet: "c0".."c5" coloured, "faint", "guide"."""

    x: np.ndarray
    y: np.ndarray
    style: str = "c0"
    name: str = ""


def curves(
    lines: Sequence[Curve],
    *,
    x: Axis,
    y: Axis,
    title: str,
    guides: Sequence[tuple[float, str]] = (),
    dots: bool = False,
) -> str:
    """Lines over common axes. ``guides`` are horizontal dashed lines with a word; ``dots`` marks every point."""
    frame = Frame(x=x, y=y)
    body = [_guide(frame, value, word) for value, word in guides]
    for line in lines:
        path = frame.path([float(v) for v in line.x], [float(v) for v in line.y])
        name = f"<title>{escape(line.name)}</title>" if line.name else ""
        body.append(f'<path class="line {line.style}" d="{path}">{name}</path>')
        if dots and len(line.x) <= 60:
            body.extend(_dots(frame, line))
    return drawing(frame, "".join(body), title=title)


def _guide(frame: Frame, value: float, word: str) -> str:
    _, y = frame.at(frame.x.low, value)
    right = frame.width - RIGHT
    return (
        f'<line class="guide" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{right}" y="{y - 4:.1f}" text-anchor="end">{escape(word)}</text>'
    )


def _dots(frame: Frame, line: Curve) -> list[str]:
    dots = []
    for x, y in zip(line.x, line.y, strict=True):
        if np.isfinite(x) and np.isfinite(y):
            px, py = frame.at(float(x), float(y))
            dots.append(f'<circle class="dot {line.style}" cx="{px:.1f}" cy="{py:.1f}" r="2.2"/>')
    return dots


def stacked(x: np.ndarray, layers: np.ndarray, *, names: Sequence[str], x_label: str, title: str) -> str:
    """Shares of a whole over x: ``layers`` (K, len(x)) is normalised to 1 at every x; the first layer is at the bottom.

    The drawing spans two panels. Layers pale from the first to the last, so that many stay readable without a legend.
    """
    total = layers.sum(axis=0)
    top = np.cumsum(layers / np.where(total > 0, total, 1), axis=0)
    bottom = np.vstack([np.zeros_like(top[:1]), top[:-1]])
    percent = Axis(low=0, high=1, ticks=tuple((v / 4, f"{25 * v} %") for v in range(5)), label="share of particles")
    frame = Frame(x=axis(float(x[0]), float(x[-1]), x_label, whole=True, widen=False), y=percent, width=2 * WIDTH + GAP)
    body = []
    for k, name in enumerate(names):
        there = frame.path(list(x), list(top[k]))
        back = frame.path(list(x[::-1]), list(bottom[k][::-1]))
        tone = 0.92 - 0.72 * k / max(len(names) - 1, 1)
        shape = f'<path class="layer" fill-opacity="{tone:.2f}" d="{there}L{back[1:]}Z">'
        body.append(f"{shape}<title>{escape(name)}</title></path>")
    return drawing(frame, "".join(body), title=title)


def histogram(values: np.ndarray, *, horizontal: Axis, title: str, bins: int = 36, of: str = "particles") -> str:
    """How many values fall into each of ``bins`` intervals of the axis; values that are not finite are left out.

    of: what is counted.
    """
    values = np.asarray(values, dtype=np.float64)
    counts, edges = np.histogram(values[np.isfinite(values)], bins=bins, range=(horizontal.low, horizontal.high))
    frame = Frame(x=horizontal, y=axis(0, max(int(counts.max()), 1), of, count=4, whole=True))
    body = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            x0, y0 = frame.at(float(left), float(count))
            x1, y1 = frame.at(float(right), 0)
            body.append(
                f'<rect class="bar" x="{x0 + 0.5:.1f}" y="{y0:.1f}" width="{x1 - x0 - 1:.1f}" height="{y1 - y0:.1f}"/>'
            )
    return drawing(frame, "".join(body), title=title)


def scatter(
    x: np.ndarray,
    y: np.ndarray,
    *,
    horizontal: Axis,
    vertical: Axis,
    names: Sequence[str],
    keys: Sequence[int],
    title: str,
) -> str:
    """Points with a name each; ``keys`` become ``data-class`` so that the page can mark the selected ones."""
    frame = Frame(x=horizontal, y=vertical, height=HEIGHT)
    body = []
    for px, py, name, key in zip(x, y, names, keys, strict=True):
        if np.isfinite(px) and np.isfinite(py):
            cx, cy = frame.at(float(px), float(py))
            body.append(
                f'<circle class="point" data-class="{key}" cx="{cx:.1f}" cy="{cy:.1f}" r="4.5">'
                f"<title>{escape(name)}</title></circle>"
            )
    return drawing(frame, "".join(body), title=title)
