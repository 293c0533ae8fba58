"""Figures that belong to directions, on a disc: a hemisphere seen along z, equal areas, darker for more."""

from html import escape

import numpy as np

from vitreous.volumes import AngularDistribution

__all__ = ["sphere_chart", "views_chart"]

RADIUS, MIDDLE = 118.0, 130.0


def sphere_chart(
    directions: np.ndarray, shade: np.ndarray, names: list[str], *, title: str, legend: tuple[str, ...]
) -> str:
    """Directions (m, 3), about evenly spread, as dots of ``shade`` (m,) from 0 (pale) to 1, each with a name.

    Opposite directions are the same dot: those of the lower hemisphere are turned over. ``legend`` are lines beside it.
    """
    parts = [
        f'<svg class="chart globe" viewBox="0 0 440 260" role="img" aria-label="{escape(title)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    ]
    upper = directions * np.where(directions[:, 2:] < 0, -1.0, 1.0)
    dot = RADIUS * np.sqrt(2.0 / max(len(directions), 1)) * 0.62
    for (x, y, z), dark, name in zip(upper, np.clip(shade, 0.0, 1.0), names, strict=True):
        r = RADIUS * np.sqrt(max(1.0 - z, 0.0)) / max(float(np.hypot(x, y)), 1e-9)
        parts.append(
            f'<circle class="point on" style="stroke:none;fill-opacity:{0.06 + 0.94 * dark:.2f}" '
            f'cx="{MIDDLE + r * x:.1f}" cy="{MIDDLE - r * y:.1f}" r="{dot:.1f}"><title>{escape(name)}</title></circle>'
        )
    for tilt in (30, 60, 90):
        r = RADIUS * np.sqrt(2) * np.sin(np.deg2rad(tilt) / 2)
        parts.append(f'<circle class="{"rim" if tilt == 90 else "ring"}" cx="{MIDDLE}" cy="{MIDDLE}" r="{r:.1f}"/>')
        parts.append(f'<text class="tick" x="{MIDDLE + 2}" y="{MIDDLE - r + 12:.1f}">{tilt}°</text>')
    for line, text in enumerate(legend):
        parts.append(f'<text class="label" x="270" y="{30 + 18 * line}">{escape(text)}</text>')
    parts.append("</svg>")
    return "".join(parts)


def views_chart(found: AngularDistribution) -> str:
    """How many particles look along each direction; a view and its opposite show mirror images, and are one dot."""
    upper = found.directions[:, 2] > 1e-6
    equator = np.abs(found.directions[:, 2]) <= 1e-6
    opposite = (found.directions[upper] @ -found.directions.T).argmax(axis=1)  # HEALPix has the opposite of each
    counts = np.concatenate([found.counts[upper] + found.counts[opposite], found.counts[equator]])
    most = max(float(counts.max()), 1e-12)
    return sphere_chart(
        np.concatenate([found.directions[upper], found.directions[equator]]),
        counts / most,
        [f"{count:,.0f}" for count in counts],
        title="Viewing directions",
        legend=(
            f"dark: {most:,.0f} particles",
            f"mean: {counts.mean():,.1f}",
            "seen along z; a view and",
            "its opposite together",
        ),
    )
