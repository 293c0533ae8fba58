"""Masks around what an average shows: threshold, largest components, soft edge."""

import math

import numpy as np
from scipy import ndimage

__all__ = ["automatic_mask"]

SMOOTHING_A = 10.0
BACKGROUND_SIGMAS = 4.0
PART = 0.1  # of the heaviest component's sum: from here a component can be a part of the particle


def automatic_mask(
    image: np.ndarray, pixel_size_A: float, radius_px: float, *, threshold: float = 0.1, edge_px: float = 3.0
) -> np.ndarray:
    """Soft mask (L, L) float32, 0 to 1, around what a non-negative image (L, L) shows.

    That is what exceeds ``threshold`` times the peak of the image smoothed to 10 A (at least a pixel), and what
    exceeds the background beyond ``radius_px`` from the centre by four standard deviations. Of its connected
    components the one with the largest sum is kept, and those within the circle that have a tenth of it (domains);
    holes are filled. The mask is 1 there and falls as a raised cosine over ``edge_px``. An image without anything
    above the threshold gives a mask of zeros.
    """
    smooth = ndimage.gaussian_filter(image.astype(np.float64), max(1.0, SMOOTHING_A / pixel_size_A / 2))
    level = max(threshold * smooth.max(), _background_level(smooth, radius_px))
    components, count = ndimage.label(smooth > level)
    if count == 0:
        return np.zeros(image.shape, np.float32)
    radius, numbers = _radius(len(image)), np.arange(1, count + 1)
    weight = ndimage.sum_labels(smooth, components, numbers)
    within = ndimage.maximum(radius, components, numbers) <= radius_px
    kept = (weight == weight.max()) | (within & (weight >= PART * weight.max()))
    solid = ndimage.binary_fill_holes(np.isin(components, numbers[kept]))
    distance = ndimage.distance_transform_edt(~solid)
    return (0.5 + 0.5 * np.cos(math.pi * np.clip(distance / edge_px, 0, 1))).astype(np.float32)


def _background_level(smooth: np.ndarray, radius_px: float) -> float:
    """What noise beyond the particle's circle does not exceed."""
    outside = smooth[_radius(len(smooth)) > radius_px]
    return float(outside.mean() + BACKGROUND_SIGMAS * outside.std()) if outside.size else 0.0


def _radius(n: int) -> np.ndarray:
    """Distance from the centre, (n, n)."""
    axis = np.arange(n) - n // 2
    return np.hypot(axis[:, None], axis)
