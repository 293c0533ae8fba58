"""The report of a ``denoise`` job: examples before and after, and what the filter is made of."""

from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.report.axes import axis, frequency_axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.page import Charts, Drawing, Gallery, KeyFigure, Page, Section, Tile, picture
from vitreous.jobs.results.denoise import read_model

__all__ = ["denoise_page"]

DECADES = 4  # of variance below the largest that are drawn
SHOWN_ORDERS = 12  # curves of eigenvalues are drawn for so many angular orders


def denoise_page(folder: Path) -> Page:
    """The page of a finished ``denoise`` folder. Raises JobFolderError when the folder lacks the results."""
    kept = read_model(folder)
    return Page(
        kind="denoising",
        headline=f"{len(kept['bad']):,} particle images, each as it probably looks without noise and CTF."
        if len(kept["orders"])
        else "Nothing was found: no component rises above the noise, and every image is the mean image.",
        key_figures=tuple(_key_figures(kept)),
        sections=(
            Section(
                name="examples",
                title="Examples",
                hint="Particles from all over the file, as they are and denoised. A denoised image shows what the "
                "particle has in common with the others; what is rare in the data, or too weak, is not in it.",
                panels=(_examples(kept),),
            ),
            Section(
                name="components",
                title="Mean and components",
                hint="The mean over all rotations, then the components of largest variance. Angular order 0 changes "
                "the rings, order q has q-fold symmetry; every component above order 0 comes in all rotations.",
                panels=(_components(kept),),
            ),
            Section(name="quality", title="Signal and noise", panels=(Charts(drawings=tuple(_charts(kept))),)),
        ),
    )


def _key_figures(kept: dict[str, np.ndarray]) -> list[KeyFigure]:
    bad, groups = int(kept["bad"].sum()), int(kept["defocus_groups"])
    phase = float(kept["phase_error_rad"])
    return [
        ("particles", f"{len(kept['bad']):,}", f"{bad:,} not usable" if bad else "all usable"),
        ("components", f"{len(kept['orders']):,}", "rise above the noise"),
        ("finest detail", f"{float(kept['cutoff_A']):.1f} Å", "that the filter lets through")
        if len(kept["orders"])
        else ("finest detail", "none", "nothing rises above the noise"),
        ("defocus groups", f"{groups}" if groups else "none", f"phase error at most {phase:.2f} rad" if groups else ""),
    ]


def _examples(kept: dict[str, np.ndarray]) -> Gallery:
    rows = zip(kept["example_number"], kept["example_noisy"], kept["example_denoised"], strict=True)
    return Gallery(
        tiles=tuple(
            Tile(
                pictures=(
                    picture(noisy.astype(np.float32), f"Particle {number} as it is"),
                    picture(denoised.astype(np.float32), f"Particle {number} denoised"),
                ),
                name=f"particle {number:,}",
            )
            for number, noisy, denoised in rows
        )
    )


def _components(kept: dict[str, np.ndarray]) -> Gallery:
    """The mean, and the components with the largest variance."""
    largest = np.argsort(-kept["variances"], kind="stable")[: len(kept["eigenimages"])]
    mean = Tile(pictures=(picture(kept["mean_image"], "Mean image"),), name="mean")
    components = [
        Tile(pictures=(picture(image, f"Component of order {kept['orders'][c]}"),), name=f"order {kept['orders'][c]}")
        for image, c in zip(kept["eigenimages"], largest, strict=True)
    ]
    return Gallery(tiles=(mean, *components), small=True)


def _charts(kept: dict[str, np.ndarray]) -> list[Drawing]:
    pixel = float(kept["pixel_size_A"])
    drawings = [("Variance of components, by angular order", _spectrum(kept))] if len(kept["orders"]) else []
    return [
        *drawings,
        ("Power in the particle's area beyond that of the noise", _excess(kept, pixel)),
        ("Noise beside the particles, and as used", _noise(kept, pixel)),
    ]


def _spectrum(kept: dict[str, np.ndarray]) -> str:
    orders, levels = kept["orders"], np.log10(kept["variances"])
    lines: list[Any] = []
    for q in np.unique(orders)[:SHOWN_ORDERS]:
        mine = np.sort(levels[orders == q])[::-1]
        style = f"c{q}" if q < 6 else "faint"
        lines.append(Curve(x=np.arange(1, len(mine) + 1), y=mine, style=style, name=f"order {q}"))
    most, highest = max(len(line.x) for line in lines), float(levels.max())
    return curves(
        lines,
        x=axis(1, max(most, 2), "component of its order", whole=True, widen=False),
        y=axis(max(float(levels.min()), highest - DECADES), highest, "log₁₀ variance", count=4),
        title="Variance of the principal components",
    )


def _excess(kept: dict[str, np.ndarray], pixel_A: float) -> str:
    value = np.log10(np.clip(kept["excess"], 1e-4, None))
    line = Curve(x=kept["excess_frequency"] / pixel_A, y=np.where(kept["excess"] > 1e-4, value, np.nan), name="excess")
    return curves(
        [line],
        x=frequency_axis(0.5 / pixel_A),
        y=axis(-4, max(0.0, float(np.nanmax(value))), "log₁₀ of the share", count=4),
        title="Signal-to-noise ratio by resolution",
        dots=True,
    )


def _noise(kept: dict[str, np.ndarray], pixel_A: float) -> str:
    used, measured = kept["noise_power"][1:], kept["background_power"][1:]
    frequency = np.arange(1, len(used) + 1) / (len(kept["mean_image"]) * pixel_A)
    highest = float(max(used.max(), measured.max()))
    return curves(
        [Curve(x=frequency, y=measured, style="c1", name="measured"), Curve(x=frequency, y=used, name="as used")],
        x=frequency_axis(0.5 / pixel_A),
        y=axis(0, highest, "variance per pixel", count=4),
        title="Noise spectrum",
    )
