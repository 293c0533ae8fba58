"""What the reports of maps share: slices, pairs of image and projection, the sphere of viewing directions."""

import numpy as np

from vitreous.conventions import centre_index
from vitreous.jobs.report.page import Columns, Gallery, Picture, Slices, Tile, picture
from vitreous.jobs.report.surface import surface
from vitreous.particles import Volume

__all__ = ["CHAIN_HINT", "MOST_PAIRS", "TURN_HINT", "MapSlices", "directions_chart", "map_panel", "pairs", "slices"]

TURN_HINT = (
    "Drag the surface, or use the arrow keys, to turn it. Slices are through the centre; each picture has its own grey "
    "scale."
)
CHAIN_HINT = (
    "Successive samples are alike. Effective samples: how many independent ones they are worth; one in: how many steps "
    "give one of those. R-hat compares the two halves of the chain; above 1.1 it still drifts."
)
MOST_PAIRS = 60  # on a page; of more images those are shown that agree least


MapSlices = tuple[str, tuple[tuple[str, Picture], ...]]


def map_panel(
    volume: Volume,
    *views: MapSlices,
    title: str = "Surface of the posterior mean",
    what: str = "Posterior mean",
) -> Columns:
    """The surface of a map beside slices: those of the map, and more of the same kind."""
    mean = slices(what, volume.data)
    return Columns(left=(surface(volume.data, volume.pixel_size_A, title=title),), right=(Slices(maps=(mean, *views)),))


def slices(what: str, volume: np.ndarray, *, span: tuple[float, float] | None = None) -> MapSlices:
    """The heading ``what``, and (name, picture) of the three slices of a map [z, y, x] through its centre.

    ``span``: the values that are black and white; without it each picture has its own.
    """
    z, y, x = (centre_index(length) for length in volume.shape)
    planes = {"xy": volume[z], "xz": volume[:, y], "yz": volume[:, :, x]}
    return what, tuple((name, picture(plane, f"{what}, {name} slice", span=span)) for name, plane in planes.items())


def pairs(images: np.ndarray, projections: np.ndarray, correlation: np.ndarray, *, what: str) -> Gallery:
    """Images (n, L, L) beside projections with their correlation (n,), in the order of the file; of many the worst."""
    worst = np.sort(np.argsort(correlation, kind="stable")[:MOST_PAIRS])
    return Gallery(
        tiles=tuple(
            Tile(
                pictures=(
                    picture(images[i], f"{what} {i + 1}", largest=96),
                    picture(projections[i], f"Projection {i + 1}", largest=96),
                ),
                name=f"{i + 1}",
                figure=f"{correlation[i]:.3f}",
            )
            for i in worst.tolist()
        )
    )


def directions_chart(rotations: np.ndarray) -> str:
    """Viewing directions (n, 3, 3) on a disc of equal areas: a hemisphere seen along z, opposite views as open dots.

    Opposite views show mirror images of the same projection, so that one hemisphere says which views there are.
    """
    radius, middle = 118.0, 130.0
    parts = [
        '<svg class="chart globe" viewBox="0 0 440 260" role="img" aria-label="Viewing directions" '
        'xmlns="http://www.w3.org/2000/svg">'
    ]
    for tilt in (30, 60, 90):
        r = radius * np.sqrt(2) * np.sin(np.deg2rad(tilt) / 2)
        kind = "rim" if tilt == 90 else "ring"
        parts.append(f'<circle class="{kind}" cx="{middle}" cy="{middle}" r="{r:.1f}"/>')
        parts.append(f'<text class="tick" x="{middle + 2}" y="{middle - r + 12:.1f}">{tilt}°</text>')
    for number, direction in enumerate(rotations[:, :, 2], start=1):
        sign = 1.0 if direction[2] >= 0 else -1.0
        x, y, z = sign * direction
        r = radius * np.sqrt(max(1.0 - z, 0.0)) / max(np.hypot(x, y), 1e-9)
        parts.append(
            f'<circle class="point{" on" if sign > 0 else ""}" cx="{middle + r * x:.1f}" cy="{middle - r * y:.1f}" '
            f'r="4"><title>average {number}</title></circle>'
        )
    parts.append('<text class="label" x="270" y="30">filled: seen from above,</text>')
    parts.append('<text class="label" x="270" y="48">open: from below (the opposite</text>')
    parts.append('<text class="label" x="270" y="66">point is drawn)</text></svg>')
    return "".join(parts)
