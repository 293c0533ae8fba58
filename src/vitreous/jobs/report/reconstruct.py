"""The report of a ``reconstruct`` job: the map, its uncertainty, its views, images beside projections."""

from pathlib import Path

import numpy as np

from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.reconstruct_folder import ReconstructFolder, read_reconstruction
from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.images import data_address, show
from vitreous.jobs.report.maps import directions_chart, slices, write_page
from vitreous.jobs.report.surface import surface_panel

__all__ = ["write_reconstruct_report"]

MOST_PAIRS = 60  # on the page; of more images those are shown that agree least


def write_reconstruct_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a finished ``reconstruct`` folder from the files there, and return its path.

    Raises JobFolderError when the folder lacks the results.
    """
    path = Path(folder)
    found = read_reconstruction(path)
    deviation = np.sqrt(found.variance.data.clip(min=0.0))
    return write_page(
        path,
        "reconstruct.html.j2",
        headline=f"A map from {len(found.images)} images with known poses; they correlate with its projections at "
        f"{found.correlation.mean():.3f}.",
        key_figures=_key_figures(path, found, deviation),
        surface=surface_panel(found.mean.data, found.mean.pixel_size_A, title="Surface of the posterior mean"),
        slices=[
            ("Posterior mean", slices(found.mean.data)),
            ("Standard deviation of the posterior", slices(deviation)),
        ],
        pairs=_pairs(found),
        left_out=max(0, len(found.images) - MOST_PAIRS),
        charts=[*_traces(path), ("Viewing directions", directions_chart(found.rotations))],
    )


def _key_figures(path: Path, found: ReconstructFolder, deviation: np.ndarray) -> list[tuple[str, str, str]]:
    """(name, figure, remark)."""
    manifest = read_manifest(path)
    settings = manifest.settings if manifest else {}
    summary = manifest.summary if manifest else {}
    relative = float(np.linalg.norm(deviation) / np.linalg.norm(found.mean.data))
    return [
        ("images", f"{len(found.images):,}", f"symmetry {settings.get('symmetry', 'unknown')}"),
        ("unseen cone", f"{summary.get('unseen_cone_deg', float('nan')):.0f}°", "half angle of the largest, no data"),
        ("correlation", f"{found.correlation.mean():.3f}", "of images and projections, mean"),
        ("uncertainty", f"{relative:.0%}", "standard deviation by mean, root mean square"),
        ("component size", f"{summary.get('component_sigma_A', float('nan')):.1f} Å", "sigma of every Gaussian"),
        ("map", f"{len(found.mean.data)}³", f"{found.mean.pixel_size_A:.2f} Å per pixel"),
    ]


def _pairs(found: ReconstructFolder) -> list[tuple[int, str, str, str]]:
    """(number, image, projection, correlation), in the order of the file."""
    worst = np.sort(np.argsort(found.correlation, kind="stable")[:MOST_PAIRS])
    return [
        (
            i + 1,
            *(data_address(show(v[i], largest=96, fade=False)) for v in (found.images, found.projections)),
            f"{found.correlation[i]:.3f}",
        )
        for i in worst.tolist()
    ]


def _traces(path: Path) -> list[tuple[str, str]]:
    """(heading, drawing) of log posterior and component size over the blocks of steps."""
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
