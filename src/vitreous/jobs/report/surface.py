"""An isosurface that a page draws itself: the density goes into the page, a small script does the rest."""

import base64

import numpy as np

from vitreous.conventions import centre_index
from vitreous.jobs.report.page import Surface

__all__ = ["content_reach", "surface"]

LARGEST = 56  # grid points per axis that the script gets
FAINT = 0.02  # of the peak: what is below does not count as content
ENCLOSED = 0.8  # share of the density within the surface that is shown first


def surface(density: np.ndarray, pixel_size_A: float, *, title: str, reach_px: int | None = None) -> Surface:
    """A surface that can be turned and whose threshold can be moved; density [z, y, x].

    Shown is the cube within ``reach_px`` of the centre, by default what :func:`content_reach` finds.
    """
    positive = np.asarray(density, dtype=np.float64).clip(min=0.0)
    reach = content_reach(positive) if reach_px is None else reach_px
    grid, pixel = _shrunk(_cropped(positive, reach), pixel_size_A)
    peak = float(grid.max()) or 1.0
    values = np.round(grid / peak * 65535).astype("<u2")
    data = {"size": len(grid), "pixel_A": round(pixel, 4), "values": base64.b64encode(values.tobytes()).decode()}
    return Surface(title=title, data=data, level=_level(grid / peak))


def content_reach(density: np.ndarray) -> int:
    """How far from the centre, along any axis, there is something that is not faint: pixels."""
    found = np.argwhere(density > FAINT * density.max())
    return int(np.abs(found - centre_index(len(density))).max()) + 1 if len(found) else 1


def _cropped(density: np.ndarray, reach: int) -> np.ndarray:
    """The cube about the centre, with a border of zeros."""
    centre = centre_index(len(density))
    low, high = max(0, centre - reach), min(len(density), centre + reach + 1)
    return np.pad(density[low:high, low:high, low:high], 1)


def _shrunk(density: np.ndarray, pixel_size_A: float) -> tuple[np.ndarray, float]:
    """Means over blocks, so that no axis is longer than the script should handle."""
    factor = -(-len(density) // LARGEST)
    short = -(-len(density) // factor)
    padded = np.pad(density, (0, short * factor - len(density)))
    blocks = padded.reshape(short, factor, short, factor, short, factor).mean(axis=(1, 3, 5))
    return np.pad(blocks, 1), pixel_size_A * factor


def _level(relative: np.ndarray) -> float:
    """The threshold above which a given share of all density lies."""
    ordered = np.sort(relative.ravel())[::-1]
    sums = np.cumsum(ordered)
    return float(np.clip(ordered[int(np.searchsorted(sums, ENCLOSED * sums[-1]))], 0.02, 0.9))
