"""Axes for small drawings: ticks at round numbers, a frame, and the mapping from values to the page."""

import math
from dataclasses import dataclass
from html import escape

__all__ = ["Axis", "Frame", "axis", "drawing", "frequency_axis", "fsc_axis", "number"]

WIDTH, HEIGHT = 440, 260
GAP = 30  # between panels of the page: a double drawing spans two panels and the gap
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 24, 40


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A range of values with labelled ticks."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    label: str

    def fraction(self, value: float) -> float:
        """Where a value lies between ``low`` (0) and ``high`` (1)."""
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Two axes on a drawing of a given size."""

    x: Axis
    y: Axis
    width: int = WIDTH
    height: int = HEIGHT

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Page coordinates of a point."""
        across = self.width - LEFT - RIGHT
        down = self.height - TOP - BOTTOM
        return LEFT + across * self.x.fraction(x), TOP + down * (1 - self.y.fraction(y))

    def path(self, xs: list[float], ys: list[float]) -> str:
        """The ``d`` of a line through the points; a value that is not finite interrupts it."""
        parts, pen_down = [], False
        for x, y in zip(xs, ys, strict=True):
            if not (math.isfinite(x) and math.isfinite(y)):
                pen_down = False
                continue
            px, py = self.at(x, min(max(y, self.y.low), self.y.high))
            parts.append(f"{'L' if pen_down else 'M'}{px:.1f} {py:.1f}")
            pen_down = True
        return "".join(parts)


def axis(low: float, high: float, label: str, *, count: int = 5, whole: bool = False, widen: bool = True) -> Axis:
    """An axis over [low, high] with about ``count`` ticks at 1, 2 or 5 times a power of ten.

    ``whole`` keeps ticks at integers; ``widen`` extends the range to the outer ticks.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = 0.0, 1.0
    if high - low < 1e-12 * max(abs(high), abs(low), 1e-30):
        margin = abs(high) * 0.1 or 0.5
        low, high = low - margin, high + margin
    step = _round_step((high - low) / count)
    step = max(1.0, round(step)) if whole else step
    if widen:
        low, high = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple((i * step, number(i * step, step)) for i in range(first, last + 1))
    return Axis(low=low, high=high, ticks=ticks, label=label)


def fsc_axis() -> Axis:
    """Fourier shell correlation from -0.2 to 1: what is below is noise of shells with few coefficients, and is cut."""
    return axis(-0.2, 1.0, "FSC", count=6)


def frequency_axis(high: float) -> Axis:
    """Spatial frequency from 0 to ``high`` (1/A), with ticks at round resolutions in A."""
    candidates = (200, 100, 50, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.5, 2.2, 2, 1.8, 1.5, 1.2, 1)
    ticks: list[tuple[float, str]] = []
    for resolution in candidates:
        position = 1 / resolution
        far_enough = not ticks or position - ticks[-1][0] > 0.1 * high
        if 0.08 * high < position <= high and far_enough:
            ticks.append((position, f"{resolution:g}"))
    return Axis(low=0.0, high=high, ticks=tuple(ticks), label="resolution (Å)")


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def number(value: float, step: float | None = None) -> str:
    """A number for a label: decimals as the step needs them, thousands as "12 k", a real minus sign."""
    step = step or abs(value) / 100 or 1
    size = abs(value)
    if size >= 1e4 or step >= 5e3:
        for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if max(size, step) >= unit:
                return number(value / unit, step / unit) + (f" {name}" if value else "")
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    return f"{value:.{decimals}f}".replace("-", "\u2212")


def drawing(frame: Frame, body: str, *, title: str) -> str:
    """A complete inline SVG: grid, tick labels, axis labels and the given body. ``title`` is for screen readers."""
    left, right = LEFT, frame.width - RIGHT
    bottom = frame.height - BOTTOM
    parts = [
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{escape(title)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    ]
    for value, label in frame.y.ticks:
        _, y = frame.at(frame.x.low, value)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 7}" y="{y + 3.5:.1f}" text-anchor="end">{escape(label)}</text>')
    for value, label in frame.x.ticks:
        x, _ = frame.at(value, frame.y.low)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{escape(label)}</text>')
    parts.append(body)
    parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(
        f'<text class="label" x="{right}" y="{frame.height - 6}" text-anchor="end">{escape(frame.x.label)}</text>'
    )
    if frame.y.label:
        parts.append(f'<text class="label" x="0" y="{TOP - 10}">{escape(frame.y.label)}</text>')
    parts.append("</svg>")
    return "".join(parts)
