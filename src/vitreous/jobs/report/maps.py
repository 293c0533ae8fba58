"""What the reports of maps share: slices, the sphere of viewing directions, the page around them."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import vitreous
from vitreous.conventions import centre_index
from vitreous.jobs.manifest import now, read_manifest
from vitreous.jobs.report.images import data_address, show
from vitreous.jobs.report.surface import surface_script
from vitreous.jobs.report.writer import clock, provenance
from vitreous.particles import write_text_atomic

__all__ = ["directions_chart", "slices", "write_page"]


def write_page(folder: Path, template: str, **content: Any) -> Path:
    """Render a template of the page folder with ``content`` and what every report says; returns the path."""
    page = files("vitreous.jobs.report") / "page"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    manifest = read_manifest(folder)
    text = environment.from_string((page / template).read_text(encoding="utf-8")).render(
        style="".join((page / name).read_text(encoding="utf-8") for name in ("style.css", "maps.css")),
        script=surface_script(),
        title=str(folder),
        messages=manifest.messages if manifest else (),
        commands=[run.command for run in manifest.runs] if manifest else [],
        tables=provenance(manifest),
        version=vitreous.__version__,
        written=clock(now()),
        **content,
    )
    write_text_atomic(folder / "report.html", text)
    return folder / "report.html"


def slices(volume: np.ndarray) -> list[tuple[str, str]]:
    """(name, picture) of the three slices of a map [z, y, x] through its centre."""
    z, y, x = (centre_index(length) for length in volume.shape)
    pictures = {"xy": volume[z], "xz": volume[:, y], "yz": volume[:, :, x]}
    return [(name, data_address(show(picture, fade=False))) for name, picture in pictures.items()]


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
