"""The report of a ``reconstruct`` job: the map, a half map, the correlation of the halves, the views."""

from pathlib import Path

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import frequency_axis, fsc_axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.maps import TURN_HINT, directions_chart, slices
from vitreous.jobs.report.page import Charts, Columns, KeyFigure, Page, Section, Slices
from vitreous.jobs.report.surface import surface
from vitreous.jobs.results.reconstruct import ReconstructFolder, read_reconstruction

__all__ = ["reconstruct_page"]

NOISE_SD = 2.0
MOST_VIEWS = 600  # dots on the chart of directions


def reconstruct_page(folder: Path) -> Page:
    """The page of a finished folder of gridding, wbp, art or cg. Raises JobFolderError when it lacks the results."""
    found = read_reconstruction(folder)
    manifest = read_manifest(folder)
    settings, summary = (manifest.settings, manifest.summary) if manifest else ({}, {})
    resolution = summary.get("fsc_0.143_A")
    words = f"its halves correlate at 0.143 to {resolution:.1f} Å" if resolution else "its halves do not correlate"
    views = found.rotations[:: max(1, -(-len(found.rotations) // MOST_VIEWS))]
    return Page(
        kind="reconstruction",
        headline=f"A map from {len(found.rotations):,} images with known poses; {words}.",
        key_figures=tuple(_key_figures(found, settings, summary)),
        sections=(
            Section(
                name="map",
                title="Map",
                hint=TURN_HINT,
                panels=(_map_panel(found),),
            ),
            Section(
                name="quality",
                title="Resolution and views",
                hint="Correlation of the unfiltered half maps within the particle's sphere. The poses are taken "
                "as they are: "
                "where they were found with one common reference, the halves agree better than they should.",
                panels=(
                    Charts(
                        drawings=(
                            ("Fourier shell correlation", _fsc_chart(found)),
                            (_views_title(len(found.rotations), len(views)), directions_chart(views)),
                        )
                    ),
                ),
            ),
        ),
    )


def _map_panel(found: ReconstructFolder) -> Columns:
    """Surface and slices. Noise, twice the root mean square of what is negative, is not in the surface."""
    data = found.full.data
    negative = data[data < 0]
    noise = NOISE_SD * float(np.sqrt(np.mean(negative.astype(np.float64) ** 2))) if len(negative) else 0.0
    seen = surface(np.where(data > noise, data, 0.0), found.full.pixel_size_A, title="Surface of the map")
    maps = (slices("Map, filtered", data), slices("Half map 1, unfiltered", found.halves[0].data))
    return Columns(left=(seen,), right=(Slices(maps=maps),))


def _views_title(every: int, shown: int) -> str:
    return "Viewing directions" if shown == every else f"Viewing directions ({shown:,} of {every:,})"


def _fsc_chart(found: ReconstructFolder) -> str:
    field_A = len(found.full.data) * found.full.pixel_size_A
    frequency = np.arange(len(found.fsc)) / field_A
    return curves(
        [Curve(x=frequency[1:], y=found.fsc[1:], name="half maps")],
        x=frequency_axis(float(frequency[-1])),
        y=fsc_axis(),
        title="Fourier shell correlation of the half maps",
        guides=((0.5, "0.5"), (0.143, "0.143")),
    )


def _key_figures(found: ReconstructFolder, settings: dict[str, object], summary: dict[str, object]) -> list[KeyFigure]:
    def angstrom(name: str) -> str:
        return f"{summary[name]:.1f} Å" if summary.get(name) else "none"

    halves = f"{summary.get('half_1', 0):,} and {summary.get('half_2', 0):,} in the halves"
    left_out = f"{summary.get('bad_images', 0)} bad, {summary.get('without_pose', 0)} without a pose"
    return [
        ("method", str(settings.get("method", "unknown")), f"symmetry {settings.get('symmetry', 'unknown')}"),
        ("images", f"{len(found.rotations):,}", halves),
        ("left out", f"{summary.get('bad_images', 0) or 0}", left_out),
        ("FSC 0.143", angstrom("fsc_0.143_A"), "of the halves, within the sphere"),
        ("FSC 0.5", angstrom("fsc_0.5_A"), "of the halves, within the sphere"),
        ("unseen cone", f"{summary.get('unseen_cone_deg', float('nan')):.0f}°", "half angle of the largest, no data"),
        ("map", f"{len(found.full.data)}³", f"{found.full.pixel_size_A:.2f} Å per pixel"),
    ]
