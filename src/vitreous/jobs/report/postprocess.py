"""The report of two half maps: map and mask, FSC and Guinier plot, resolution by direction and place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis, frequency_axis, fsc_axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.maps import TURN_HINT, map_panel, slices
from vitreous.jobs.report.page import Charts, Drawing, KeyFigure, Page, Section, Slices
from vitreous.jobs.report.sphere import sphere_chart
from vitreous.jobs.results.postprocess import CURVES, PostProcessFolder, read_postprocessed

__all__ = ["half_map_key_figures", "half_map_sections", "postprocess_page"]

WORDS = {
    "corrected": ("c0", "corrected"),
    "masked": ("c1", "masked"),
    "unmasked": ("c2", "unmasked"),
    "randomised": ("c5", "masked, phases randomised"),
}
NOTHING = (
    "The half maps do not agree beyond chance at any resolution. No resolution is claimed.",
    "The map shown is the mean of the half maps, neither sharpened nor filtered. Were the halves refined against "
    "something that shows this particle, and are they maps of the same particle in the same frame?",
)


def postprocess_page(folder: Path) -> Page:
    """The page of a finished ``postprocess`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = read_postprocessed(folder), read_manifest(folder)
    resolved = bool(np.isfinite(found.resolution_A))
    headline = f"{found.resolution_A:.2f} Å where the FSC of the half maps is 0.143." if resolved else "No resolution."
    return Page(
        kind="half maps",
        headline=headline,
        key_figures=half_map_key_figures(found, manifest.summary if manifest else {}),
        sections=half_map_sections(found),
        nothing_found=() if resolved else NOTHING,
    )


def half_map_key_figures(found: PostProcessFolder, summary: Mapping[str, Any]) -> tuple[KeyFigure, ...]:
    """Resolution, its spread over directions and places, B-factor, mask; ``summary``: of postprocess_figures."""
    cones = found.cones.numbers("vtrConeResolution")
    by_direction = "none" if not np.isfinite(cones).all() else f"{cones.min():.1f} to {cones.max():.1f} Å"
    figures: list[KeyFigure] = [
        ("resolution", _angstrom(found.resolution_A), "FSC 0.143, masked, corrected for the mask"),
        ("by direction", by_direction, "in cones of 20° about 100 axes"),
    ]
    median = summary.get("local_resolution_median_A")
    if median is not None:
        best, worst = (summary.get(f"local_resolution_{name}_A", np.nan) for name in ("best_tenth", "worst_tenth"))
        figures.append(("local", f"{median:.1f} Å", f"median in the mask; tenths {best:.1f} and {worst:.1f} Å"))
    of_map = summary.get("b_factor_of_map_A2")
    remark = "no line in the Guinier plot" if of_map is None else f"the map has {of_map:.0f} Å²"
    figures += [
        ("B-factor", f"{found.b_factor_A2:.0f} Å²", f"applied; {remark}"),
        ("mask", f"{(found.mask.data > 0.5).mean():.1%}", "of the box"),
        ("map", f"{found.sharpened.box_px}³", f"{found.sharpened.pixel_size_A:.3f} Å per voxel"),
    ]
    return tuple(figures)


def half_map_sections(found: PostProcessFolder) -> tuple[Section, ...]:
    """The sections about half maps, for any job that has them."""
    charts: list[Drawing] = [("Fourier shell correlation", _fsc_chart(found)), ("By direction", _cone_chart(found))]
    if np.isfinite(found.resolution_A):
        charts.append(("Resolution along directions", _sphere(found)))
    charts.append(("Guinier plot", _guinier_chart(found)))
    views = (slices("Mask", found.mask.data, span=(0.0, 1.0)),)
    sections = [
        Section(
            name="map",
            title="Map",
            hint=f"{TURN_HINT} In the mask black is 0 and white is 1.",
            panels=(map_panel(found.masked, *views, title="Surface of the masked map", what="Map"),),
        ),
        Section(
            name="resolution",
            title="Resolution",
            hint="FSC corrected (teal), masked (orange), unmasked (blue), masked with random phases (grey). What the "
            "mask adds by itself, known from random phases, is taken off in the corrected curve. Second chart: lowest "
            "and highest of all cones (olive). Along a direction that few images hold, the curve falls early.",
            panels=(Charts(drawings=tuple(charts)),),
        ),
    ]
    return (*sections, *_local_section(found))


def _local_section(found: PostProcessFolder) -> tuple[Section, ...]:
    if found.local is None or found.locally_filtered is None:
        return ()
    worst = np.quantile(found.local.data[found.mask.data > 0.5], 0.98)
    fineness = np.clip(worst - found.local.data, 0.0, None)  # the grey scale is for what is inside
    return (
        Section(
            name="local",
            title="Local resolution",
            hint="Bright is fine. The filtered map is cut everywhere at its own resolution.",
            panels=(
                Charts(drawings=(("How much of the particle", _local_chart(found)),)),
                Slices(
                    maps=(
                        slices("Local resolution", fineness),
                        slices("Locally filtered map", found.locally_filtered.data * found.mask.data),
                    )
                ),
            ),
        ),
    )


def _fsc_chart(found: PostProcessFolder) -> str:
    k = found.fsc.numbers("rlnResolution")
    lines = []
    for name, (style, word) in WORDS.items():
        y = found.fsc.numbers(CURVES[name])
        if name == "randomised":
            y = np.where(k >= 1.0 / found.randomised_from_A, y, np.nan)
        lines.append(Curve(x=k, y=y, style=style, name=word))
    return curves(
        lines,
        x=frequency_axis(float(k[-1])),
        y=fsc_axis(),
        title="Fourier shell correlation: corrected, masked, unmasked, randomised",
        guides=((0.143, "0.143"),),
    )


def _cone_chart(found: PostProcessFolder) -> str:
    k = found.fsc.numbers("rlnResolution")
    lines = [
        Curve(x=k, y=found.fsc.numbers("vtrConeLowest"), style="c3", name="lowest of all cones"),
        Curve(x=k, y=found.fsc.numbers("vtrConeHighest"), style="c3", name="highest of all cones"),
        Curve(x=k, y=found.fsc.numbers(CURVES["corrected"]), style="c0", name="all directions"),
    ]
    return curves(
        lines,
        x=frequency_axis(float(k[-1])),
        y=fsc_axis(),
        title="Fourier shell correlation in cones: lowest, all, highest",
        guides=((0.143, "0.143"),),
    )


def _sphere(found: PostProcessFolder) -> str:
    directions = np.stack([found.cones.numbers(f"vtrDirection{axis}") for axis in "XYZ"], axis=1)
    resolution = found.cones.numbers("vtrConeResolution")
    fineness = 1.0 / resolution
    spread = max(float(np.ptp(fineness)), 1e-12)
    return sphere_chart(
        directions,
        (fineness - fineness.min()) / spread,
        [f"{value:.2f} Å" for value in resolution],
        title="Resolution along directions",
        legend=(f"dark: {resolution.min():.1f} Å", f"pale: {resolution.max():.1f} Å", "seen along z"),
    )


def _guinier_chart(found: PostProcessFolder) -> str:
    squared = found.guinier.numbers("rlnResolutionSquared")
    raw, weighted = (found.guinier.numbers(f"rlnLogAmplitudes{name}") for name in ("Original", "Weighted"))
    weighted = np.where(weighted > -90.0, weighted, np.nan)  # beyond the resolution there is nothing
    lines = [
        Curve(x=squared, y=raw, style="c2", name="amplitudes"),
        Curve(x=squared, y=weighted, style="c0", name="weighted by the FSC"),
    ]
    in_line = found.guinier.numbers("vtrInLine") > 0
    if in_line.any():
        slope, intercept = np.polyfit(squared[in_line], weighted[in_line], 1)
        lines.append(Curve(x=squared[in_line], y=slope * squared[in_line] + intercept, style="c1", name="line"))
    low = float(np.nanmin([np.nanmin(raw), np.nanmin(np.where(np.isfinite(weighted), weighted, np.inf))]))
    return curves(
        lines,
        x=axis(0.0, float(squared[-1]), "1 / resolution² (Å⁻²)", widen=False),
        y=axis(low, float(np.nanmax(raw)), "ln amplitude"),
        title="Guinier plot: amplitudes, weighted, line",
    )


def _local_chart(found: PostProcessFolder) -> str:
    assert found.local is not None  # asked for by _local_section only
    values = np.sort(found.local.data[found.mask.data > 0.5])
    share = np.linspace(0.0, 1.0, len(values))
    horizontal = axis(float(values[0]), float(np.quantile(values, 0.99)), "resolution (Å)")
    within = int(np.searchsorted(values, horizontal.high, side="right"))
    some = np.unique(np.linspace(0, within - 1, 200).astype(int))
    return curves(
        [Curve(x=values[some], y=share[some])],
        x=horizontal,
        y=axis(0.0, 1.0, "share at least as fine"),
        title="Share of the voxels in the mask by local resolution",
    )


def _angstrom(value: float) -> str:
    return f"{value:.2f} Å" if np.isfinite(value) else "none"
