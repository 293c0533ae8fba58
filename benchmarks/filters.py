"""Filters that particles have been through, and whether the program notices them.

Unfiltered sets first: the real ones that lie beside the project, in `../shared/data` (left out where they are absent),
and simulated ones. Then the same sets filtered, in real numbers and in 8 bits, each image stretched on its own. What is
said of an unfiltered set is a false alarm; where nothing is said of a filtered one, it was not seen. Images have
standard deviation 1, so that the widths of filters in grey values are in units of it. What cannot be seen, and why:
`src/vitreous/particles/finest_detail.py`.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.record import REPOSITORY
from benchmarks.tables import markdown_table

__all__ = ["FILTERS", "add_options", "measure", "table"]

DEFAULT = Path(os.path.relpath(REPOSITORY.parent / "shared" / "data", REPOSITORY))
REAL = {
    "80S": "ribosome80S_empiar10028/ribo80S_80_5.36A.star",
    "apoferritin": "apoferritin_empiar10146/apo_particles_64_3.0A.star",
}
IMAGES, BOX, PIXEL_A = 64, 64, 4.0
Images = np.ndarray


def _bilateral(images: Images, width_px: float, grey: float) -> Images:
    n, reach = images.shape[-1], int(np.ceil(2 * width_px))
    around = np.pad(images, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    total, weights = np.zeros_like(images), np.zeros_like(images)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            other = around[:, reach + dy : reach + dy + n, reach + dx : reach + dx + n]
            weight = np.exp(-(dy**2 + dx**2) / (2 * width_px**2) - np.square(other - images) / (2 * grey**2))
            total, weights = total + weight * other, weights + weight
    return total / weights


def _total_variation(images: Images, weight: float, steps: int = 40) -> Images:
    """Chambolle 2004."""
    y, x = np.zeros_like(images), np.zeros_like(images)
    for _ in range(steps):
        divergence = -(y + x)
        divergence[:, 1:] += y[:, :-1]
        divergence[:, :, 1:] += x[:, :, :-1]
        u = images + divergence
        dy, dx = np.zeros_like(u), np.zeros_like(u)
        dy[:, :-1], dx[:, :, :-1] = np.diff(u, axis=1), np.diff(u, axis=2)
        size = 1 + np.hypot(dy, dx) * 0.25 / weight
        y, x = (y - 0.25 * dy) / size, (x - 0.25 * dx) / size
    return u


def _cropped(images: Images) -> Images:
    """Three quarters of the box in Fourier space."""
    n = images.shape[-1]
    low, m = n // 8, 3 * n // 4
    ft = np.fft.fftshift(np.fft.fft2(images), axes=(1, 2))[:, low : low + m, low : low + m]
    return np.fft.ifft2(np.fft.ifftshift(ft, axes=(1, 2))).real


def _binned(images: Images) -> Images:
    m = images.shape[-1] // 2
    return images[:, : 2 * m, : 2 * m].reshape(-1, m, 2, m, 2).mean(axis=(2, 4))


def _masked(images: Images) -> Images:
    n = images.shape[-1]
    axis = np.arange(n) - n // 2
    return np.where(np.hypot(axis[:, None], axis) < 0.47 * n, images, 0)


def eight_bits(images: Images) -> Images:
    """Each image from 0 to 255."""
    low, high = images.min(axis=(1, 2), keepdims=True), images.max(axis=(1, 2), keepdims=True)
    return np.round(255 * (images - low) / (high - low))


NONE: dict[str, Callable[[Images], Images]] = {  # nothing is to be said of these
    "as it is": lambda x: x,
    "Fourier crop to 3/4": _cropped,
    "binned by 2": _binned,
    "masked by a disc": _masked,
    "steps of 0.7 sd": lambda x: np.round(x / 0.7),
}
FILTERS: dict[str, Callable[[Images], Images]] = {
    "Gaussian, sd 0.5 px": lambda x: ndimage.gaussian_filter(x, (0, 0.5, 0.5)),
    "Gaussian, sd 0.7 px": lambda x: ndimage.gaussian_filter(x, (0, 0.7, 0.7)),
    "Gaussian, sd 1 px": lambda x: ndimage.gaussian_filter(x, (0, 1, 1)),
    "mean of 3 x 3": lambda x: ndimage.uniform_filter(x, (0, 3, 3)),
    "median of 3 x 3": lambda x: ndimage.median_filter(x, (1, 3, 3)),
    "median of 5 x 5": lambda x: ndimage.median_filter(x, (1, 5, 5)),
    "bilateral, 1 px, 1 sd": lambda x: _bilateral(x, 1, 1),
    "bilateral, 1 px, 2 sd": lambda x: _bilateral(x, 1, 2),
    "bilateral, 2 px, 1.5 sd": lambda x: _bilateral(x, 2, 1.5),
    "total variation, 0.3 sd": lambda x: _total_variation(x, 0.3),
    "total variation, 0.7 sd": lambda x: _total_variation(x, 0.7),
    "total variation, 1.5 sd": lambda x: _total_variation(x, 1.5),
}


def _sets(data: Path) -> Iterator[tuple[str, Images, float]]:
    """Name, images of standard deviation 1, pixel size in Angstrom."""
    from vitreous.particles import read_particles

    for name, path in REAL.items():
        if (data / path).is_file():
            particles = read_particles(data / path)
            images = particles.read(np.linspace(0, len(particles) - 1, IMAGES).astype(int))
            yield name, images / images.std(axis=(1, 2), keepdims=True), particles.pixel_size_A
    white = np.random.default_rng(0).normal(size=(IMAGES, BOX, BOX))
    k = np.hypot(np.fft.fftfreq(BOX)[:, None], np.fft.rfftfreq(BOX)) / 0.5
    for name, last in (("white noise", 1.0), ("falling to 1/30", 1 / 30)):
        images = np.fft.irfft2(np.fft.rfft2(white) * np.sqrt(np.maximum(1 - (1 - last) * k, last)), s=(BOX, BOX))
        yield name, images / images.std(axis=(1, 2), keepdims=True), PIXEL_A


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m benchmarks filters``."""
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of the real sets")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The finest detail that is said of every set under every filter, in pixels of the images; None: nothing is."""
    from vitreous.particles.finest_detail import finest_detail

    found: dict[str, dict[str, list[float | None]]] = {"none": {}, "filters": {}}
    names = []
    for name, images, _ in _sets(REPOSITORY / options.data):
        names.append(name)
        for kind, filters in (("none", NONE), ("filters", FILTERS)):
            for label, made in filters.items():
                for last, suffix in ((lambda x: x, ""), (eight_bits, ", 8 bits")):
                    said = finest_detail(last(made(images)).astype(np.float32), 1.0)
                    found[kind].setdefault(label + suffix, []).append(None if said is None else round(said.finest_A, 1))
    return {"sets": names, **found}


def table(figures: dict[str, Any]) -> str:
    """Markdown."""

    def cell(pixels: float | None) -> str:
        return "-" if pixels is None else f"{pixels:g} px"

    rows = [[f"({n})" if k == "none" else n, *map(cell, v)] for k in ("none", "filters") for n, v in figures[k].items()]
    false = sum(pixels is not None for row in figures["none"].values() for pixels in row)
    judged = sum(len(row) for row in figures["none"].values())
    head = f"Nothing finer than so many pixels is held; -: nothing is said. {false} false alarms of {judged}.\n\n"
    return head + markdown_table(["filter", *figures["sets"]], rows) + "\n"
