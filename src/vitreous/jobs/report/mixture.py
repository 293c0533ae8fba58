"""The report of a ``mixture`` job: the map and the mixture side by side."""

from pathlib import Path

import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis, frequency_axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.maps import slices, write_page
from vitreous.jobs.report.surface import content_reach, surface_panel
from vitreous.mixtures import evaluate, read_pseudo_atoms
from vitreous.particles import read_star, read_volume

__all__ = ["write_mixture_report"]

NEEDED = ("mixture.cif", "mixture_target.mrc", "mixture_correlation.star")


def write_mixture_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a finished ``mixture`` folder from the files there, and return its path.

    Raises JobFolderError when the folder lacks the results.
    """
    path = Path(folder)
    missing = [name for name in NEEDED if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished fit of a mixture")
    target, mixture = read_volume(path / "mixture_target.mrc"), read_pseudo_atoms(path / "mixture.cif")
    pixel = target.pixel_size_A
    total = float(target.data.sum(dtype=np.float64)) * pixel**3
    fitted = evaluate(mixture, len(target.data), pixel) * total
    reach = max(content_reach(target.data), content_reach(fitted))
    manifest = read_manifest(path)
    summary = manifest.summary if manifest else {}
    correlation = summary.get("correlation_with_map", float("nan"))
    return write_page(
        path,
        "mixture.html.j2",
        headline=f"{len(mixture):,} Gaussians of {mixture.sigma_A:.2f} Å; correlation with the map {correlation:.4f}.",
        surfaces=[
            surface_panel(target.data, pixel, title="The map, as it was fitted", reach_px=reach),
            surface_panel(fitted, pixel, title="The mixture", reach_px=reach),
        ],
        slices=[
            ("The map, as it was fitted", slices(target.data)),
            ("The mixture", slices(fitted)),
            ("Map less mixture", slices(target.data - fitted)),
        ],
        charts=[*_trace(path), ("Fourier shell correlation of map and mixture", _fsc(path))],
    )


def _trace(path: Path) -> list[tuple[str, str]]:
    history = read_history(path)
    if len(history) < 3:
        return []
    x, y, sigma = (np.array([e[key] for e in history], float) for key in ("iteration", "log_posterior", "sigma_A"))
    horizontal = axis(float(x[0]), float(x[-1]), "step", whole=True, widen=False)
    # The first steps gain so much that nothing could be seen of the others.
    low = float(np.quantile(y, 0.05))
    log_p = curves([Curve(x=x, y=y)], x=horizontal, y=axis(low, float(y.max()), "", count=4), title="Log posterior")
    vertical = axis(float(sigma.min()), float(sigma.max()), "", count=4)
    size = curves([Curve(x=x, y=sigma)], x=horizontal, y=vertical, title="Component size")
    return [("Log posterior", log_p), ("Component size (Å)", size)]


def _fsc(path: Path) -> str:
    table = next(iter(read_star(path / "mixture_correlation.star").values()))
    frequency = table.numbers("rlnResolution")
    return curves(
        [Curve(x=frequency, y=table.numbers("rlnFourierShellCorrelationUncorrected"))],
        x=frequency_axis(float(frequency[-1])),
        y=axis(-0.2, 1, "FSC", count=6, widen=False),
        title="Fourier shell correlation of map and mixture",
        guides=[(0.5, "0.5")],
    )
