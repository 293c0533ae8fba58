"""One value for all particles of a set, from those of each: box and pixel size."""

import numpy as np

from vitreous.particles.errors import ParticleFileError
from vitreous.particles.table import Table

__all__ = ["common_value", "mean_size"]

MOST_STRETCH, MOST_STRETCH_PX = 0.01, 0.5  # by which one pixel size for all may change an image, and move its edge


def mean_size(sizes: np.ndarray, box_px: int) -> float | None:
    """The mean of pixel sizes (n,), where it is as good as each of them."""
    mean = float(f"{sizes.mean():.6g}")
    if not (np.isfinite(mean) and mean > 0):
        return None
    stretch = float(np.abs(sizes / mean - 1).max())
    return mean if stretch <= MOST_STRETCH and stretch * box_px / 2 <= MOST_STRETCH_PX else None


def common_value(values: np.ndarray, what: str, table: Table, *, tolerance: float) -> float:
    """The value (n,) that all particles of a table share; ParticleFileError names the first that has another one."""
    different = ~np.isclose(values, values[0], rtol=tolerance, atol=0.0, equal_nan=True)
    if different.any():
        row = int(np.argmax(different))
        raise ParticleFileError(
            f"{table.where(row)}: mixed {what}: {values[row]:g} here, {values[0]:g} at {table.where(0)}; bring all "
            "images to one scale, process the groups one by one, or give the size that holds for all (--angpix)"
        )
    return float(values[0])
