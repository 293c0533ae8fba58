"""Masks around what an average shows: threshold, largest component, soft edge."""

import math

import numpy as np
from scipy import ndimage

__all__ = ["automatic_mask"]

SMOOTHING_A = 10.0
BACKGROUND_SIGMAS = 4.0


def automatic_mask(
    image: np.ndarray, pixel_size_A: float, radius_px: float, *, threshold: float = 0.1, edge_px: float = 3.0
) -> np.ndarray:
    """Soft mask (L, L) float32, 0 to 1, around the heaviest connected object of a non-negative image (L, L).

    The object is what exceeds ``threshold`` times the peak of the image smoothed to 10 A (at least a pixel), and
    what exceeds the background beyond ``radius_px`` from the centre by four standard deviations. Of its components
    the one with the largest sum is kept and its holes are filled; the mask is 1 on it and falls as a raised cosine
    over ``edge_px``. An image without anything above the threshold gives a mask of zeros.
    """
    smooth = ndimage.gaussian_filter(image.astype(np.float64), max(1.0, SMOOTHING_A / pixel_size_A / 2))
    level = max(threshold * smooth.max(), _background_level(smooth, radius_px))
    components, count = ndimage.label(smooth > level)
    if count == 0:
        return np.zeros(image.shape, np.float32)
    weight = ndimage.sum_labels(smooth, components, np.arange(1, count + 1))
    solid = ndimage.binary_fill_holes(components == 1 + int(np.argmax(weight)))
    distance = ndimage.distance_transform_edt(~solid)
    return (0.5 + 0.5 * np.cos(math.pi * np.clip(distance / edge_px, 0, 1))).astype(np.float32)


def _background_level(smooth: np.ndarray, radius_px: float) -> float:
    """What noise beyond the particle's circle does not exceed."""
    axis = np.arange(len(smooth)) - len(smooth) // 2
    outside = smooth[np.hypot(axis[:, None], axis) > radius_px]
    return float(outside.mean() + BACKGROUND_SIGMAS * outside.std()) if outside.size else 0.0
