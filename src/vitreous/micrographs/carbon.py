"""Where a micrograph shows carbon: an area that is louder in fine detail than the ice beside it."""

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

__all__ = ["carbon_area"]

FINE_PX = 1.5  # sigma, below which detail is fine: of the images that are searched, far below the particle
WIDTH = 0.5  # diameters: sigma of the window that loudness is measured in
QUIET = 0.1  # quantile of the loudness that stands for ice
LOUDER = 1.35  # times that of ice; carbon of twice the variance of ice has 1.7, particles and aggregates in ice 1.25
LEAST_RADIUS = 1.0  # diameters: aggregates and ice blobs are narrower


def carbon_area(image: np.ndarray, diameter_px: float) -> np.ndarray:
    """Which pixels of a clean image (rows, columns) lie on carbon: bool, nowhere true where there is none.

    Carbon is a rough film: it has more power at frequencies where particles, ice and contamination have little. What is
    louder counts where a circle of ``LEAST_RADIUS`` fits into it. A micrograph that is all carbon has none beside it to
    be louder than, and is not marked.
    """
    fine = image - gaussian_filter(image, FINE_PX)
    loudness = np.sqrt(gaussian_filter(np.square(fine), WIDTH * diameter_px))
    loud = loudness > LOUDER * np.quantile(loudness, QUIET)
    radius = LEAST_RADIUS * diameter_px
    reach = int(radius) + 1
    core = distance_transform_edt(np.pad(loud, reach, mode="edge")) > radius
    grown = distance_transform_edt(~core) <= radius if core.any() else core
    inside: np.ndarray = grown[reach:-reach, reach:-reach] & loud
    return inside
