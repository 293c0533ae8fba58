"""The report of ``reconstruct --method gmm``: the map, its uncertainty, its views, images beside projections."""

from pathlib import Path

import numpy as np

from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.maps import MOST_PAIRS, TURN_HINT, directions_chart, map_panel, pairs, slices
from vitreous.jobs.report.page import Charts, Drawing, KeyFigure, Page, Section
from vitreous.jobs.results.known_poses import KnownPosesFolder, read_known_poses

__all__ = ["known_poses_page"]


def known_poses_page(folder: Path) -> Page:
    """The page of a finished ``reconstruct`` folder. Raises JobFolderError when the folder lacks the results."""
    found = read_known_poses(folder)
    deviation = np.sqrt(found.variance.data.clip(min=0.0))
    uncertain = slices("Standard deviation of the posterior", deviation)
    return Page(
        kind="reconstruction",
        headline=f"A map from {len(found.images)} images with known poses; they correlate with its projections at "
        f"{found.correlation.mean():.3f}.",
        key_figures=tuple(_key_figures(folder, found, deviation)),
        sections=(
            Section(name="map", title="Map", hint=TURN_HINT, panels=(map_panel(found.mean, uncertain),)),
            _image_section(found),
            Section(
                name="convergence",
                title="Convergence and views",
                hint="The log posterior should have come to rest before the samples; the first blocks are burn-in.",
                panels=(
                    Charts(drawings=(*_traces(folder), ("Viewing directions", directions_chart(found.rotations)))),
                ),
            ),
        ),
    )


def _image_section(found: KnownPosesFolder) -> Section:
    left_out = max(0, len(found.images) - MOST_PAIRS)
    hint = "Left the image, right the projection of the last sample in the pose that was given; correlation of the two."
    return Section(
        name="images",
        title="Images and the map in the same views",
        hint=f"{hint} The {left_out} images that agree best are not shown." if left_out else hint,
        panels=(pairs(found.images, found.projections, found.correlation, what="Image"),),
    )


def _key_figures(path: Path, found: KnownPosesFolder, deviation: np.ndarray) -> list[KeyFigure]:
    manifest = read_manifest(path)
    settings = manifest.settings if manifest else {}
    summary = manifest.summary if manifest else {}
    relative = float(np.linalg.norm(deviation) / np.linalg.norm(found.mean.data))
    return [
        ("images", f"{len(found.images):,}", f"symmetry {settings.get('symmetry', 'unknown')}"),
        ("unseen cone", f"{summary.get('unseen_cone_deg', float('nan')):.0f}°", "half angle of the largest, no data"),
        ("correlation", f"{found.correlation.mean():.3f}", "of images and projections, mean"),
        ("uncertainty", f"{relative:.0%}", "standard deviation over mean, root mean square"),
        ("component size", f"{summary.get('component_sigma_A', float('nan')):.1f} Å", "sigma of every Gaussian"),
        ("map", f"{len(found.mean.data)}³", f"{found.mean.pixel_size_A:.2f} Å per pixel"),
    ]


def _traces(path: Path) -> list[Drawing]:
    """Log posterior and component size over the blocks of steps."""
    history = read_history(path)
    if len(history) < 2:
        return []
    blocks = np.array([entry["iteration"] for entry in history], dtype=float)
    drawings = []
    for key, heading in (("log_posterior", "Log posterior"), ("sigma_A", "Component size (Å)")):
        y = np.array([entry[key] for entry in history], dtype=float)
        # The first blocks are far below the others, and would flatten everything that matters.
        low = float(np.quantile(y, 0.05)) if key == "log_posterior" else float(y.min())
        drawing = curves(
            [Curve(x=blocks, y=y)],
            x=axis(float(blocks[0]), float(blocks[-1]), "block of steps", whole=True, widen=False),
            y=axis(low, float(y.max()), "", count=4),
            title=heading,
        )
        drawings.append((heading, drawing))
    return drawings
