"""How much of a class could be noise that was aligned to its average: one sentence and one chart of the report.

If the n particles of a class were pure noise, aligned to its average over all turns and the shifts in reach, at the
frequencies that were searched, its halves would correlate as :class:`vitreous.quality.AlignedNoise` says. That is set
beside the FRC which the halves in the folder have, before anything is taken off it. It comes from the files of the
folder alone, in some milliseconds per class, for the true size of every class; the test with noise at the end of a run
measures the same for 40 images per class.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch

from vitreous.jobs.report.axes import axis, frequency_axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.class2d_content import ReportContent
from vitreous.jobs.report.page import Drawing
from vitreous.pictures import fourier_crop
from vitreous.quality import aligned_noise, ring_correlation, soft_disc

__all__ = ["NoiseAlone", "noise_alone", "noise_alone_chart", "noise_alone_words"]

FEWEST = 4  # particles of a class
EDGE = 0.15  # of the radius: width of the mask's edge, as where the averages are made
MARGIN_PX = 8  # of the box that classes are cropped to, beyond the frequencies in use


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseAlone:
    """K classes with particles, F shells. Figures are means over the coefficients up to the finest searched detail.

    frc: (K, F) that noise would have; of_halves: (K, F) that the halves have; noise, halves: (K,) their means;
    resolution_A: finest detail that was searched; weight: (K,) particles.
    """

    frc: np.ndarray
    of_halves: np.ndarray
    noise: np.ndarray
    halves: np.ndarray
    resolution_A: float
    weight: np.ndarray


def noise_alone(content: ReportContent) -> NoiseAlone | None:
    """Of a folder that says how particles were aligned; None for other folders and without halves."""
    summary = {} if content.manifest is None else content.manifest.summary
    diameter, offset = (summary.get(name) for name in ("particle_diameter_used_A", "offset_range_used_A"))
    finest = (content.history[-1] if content.history else {}).get("search_resolution_A")
    used = np.flatnonzero(content.population >= FEWEST)
    if not diameter or not offset or not finest or content.halves is None or len(used) == 0:
        return None
    measured = _frc(content, diameter)
    shells, box = measured.shape[1], content.box
    size = min(box, 2 * ceil(box * content.pixel_size_A / finest) + MARGIN_PX)
    pixel = content.pixel_size_A * box / size
    frc, noise, halves, kept = [], [], [], []
    for k in used:
        image = fourier_crop(content.averages[k], size) if size < box else content.averages[k]
        try:
            found = aligned_noise(
                image, radius_px=diameter / pixel / 2, offset_px=offset / pixel, highest_per_px=min(0.5, pixel / finest)
            )
        except ValueError:  # an average without contrast
            continue
        weight = found.shell_coefficients / found.shell_coefficients.sum()
        curve = found.frc(float(content.population[k]))
        frc.append(np.pad(curve, (0, max(0, shells - len(curve))))[:shells])
        noise.append(float(weight @ curve))
        halves.append(float(weight[:shells] @ measured[k, : len(weight)]))
        kept.append(k)
    if not kept:
        return None
    return NoiseAlone(
        frc=np.array(frc), of_halves=measured[kept], noise=np.array(noise), halves=np.array(halves),
        resolution_A=float(finest), weight=content.population[kept].astype(float),
    )  # fmt: skip


def _frc(content: ReportContent, diameter_A: float) -> np.ndarray:
    """Of the masked halves (K, F), 0 where a filter has left nothing; filters do not change it elsewhere."""
    assert content.halves is not None
    radius = diameter_A / content.pixel_size_A / 2
    masked = torch.from_numpy(np.ascontiguousarray(content.halves)).float() * soft_disc(
        content.box, radius, EDGE * radius
    )
    return np.asarray(ring_correlation(masked[:, 0], masked[:, 1]).nan_to_num(0.0).numpy(), np.float64)


def noise_alone_words(found: NoiseAlone) -> str:
    """One or two sentences."""
    noise, halves = (float(np.average(values, weights=found.weight)) for values in (found.noise, found.halves))
    below = int((found.halves <= found.noise).sum())
    rest = (
        f" {below} of {len(found.noise)} classes are no better than that."
        if below
        else " All classes are better than that."
    )
    return (
        f"Model bias: halves of classes of this size would correlate {noise:.2f} if all particles were noise, aligned "
        f"to their average (mean over particles and all frequencies to {found.resolution_A:.0f} Å); they correlate "
        f"{halves:.2f}.{rest}"
    )


def noise_alone_chart(found: NoiseAlone, content: ReportContent) -> Drawing:
    """The FRC of the halves as they are, mean over particles, and what noise alone would have."""
    kinds = ((found.of_halves, "c0", "halves"), (found.frc, "c1", "noise alone"))
    lines = [
        Curve(x=content.frequency[1:], y=np.average(frc, axis=0, weights=found.weight)[1:], style=style, name=name)
        for frc, style, name in kinds
    ]
    drawing = curves(
        lines,
        x=frequency_axis(float(content.frequency[-1])),
        y=axis(-0.2, 1.0, "FRC", count=6, widen=False),
        guides=[(0.143, "0.143")],
        title="FRC of the halves, and of aligned noise",
    )
    return "FRC of the halves (green), and what aligned noise alone would have (orange)", drawing
