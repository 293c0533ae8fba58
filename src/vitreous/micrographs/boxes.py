"""Boxes out of a micrograph: where they are, cut, cropped in Fourier space, brought to one scale."""

from collections.abc import Iterator

import numpy as np
import torch

from vitreous.fourier import resize_images
from vitreous.optics import normalise_images

__all__ = ["box_places", "cut_boxes", "finished_boxes", "within"]

AT_ONCE_BYTES = 1 << 26  # of boxes that are cut together
FAR_OUT_PX = -(1 << 30)  # in place of a coordinate that is no number


def box_places(
    coordinate_px: np.ndarray, origin_A: np.ndarray, pixel_size_A: float, *, recenter: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels where boxes have their centre, int64 (n, 2), and the shifts of the particles there in Angstrom, (n, 2).

    ``coordinate_px`` (n, 2) are x and y from the centre of the first pixel. A box of n pixels has its pixel ``n // 2``
    at the nearest whole pixel ``c``, as RELION cuts. A particle of shift ``o`` lies at ``c - o`` (see
    :mod:`vitreous.conventions`); with ``recenter`` its box has the centre ``c' = round(c - o)`` and it has the shift
    ``o' = c' - (c - o)`` that is left, of half a pixel at most. Without it shifts stay as they are.
    """
    known = np.isfinite(coordinate_px).all(axis=1) & (np.isfinite(origin_A).all(axis=1) | (not recenter))
    whole = _rounded(np.where(known[:, None], coordinate_px, FAR_OUT_PX))
    if not recenter:
        return whole, origin_A
    there = np.where(known[:, None], whole - origin_A / pixel_size_A, FAR_OUT_PX)
    moved = _rounded(there)
    return moved, (moved - there) * pixel_size_A


def within(place_px: np.ndarray, box_px: int, shape: tuple[int, int]) -> np.ndarray:
    """Which boxes lie within a micrograph of ``shape`` (rows, columns): bool (n,)."""
    low = place_px - box_px // 2
    inside = ((low >= 0) & (low + box_px <= np.array([shape[1], shape[0]]))).all(axis=1)
    return np.asarray(inside)


def cut_boxes(data: np.ndarray, place_px: np.ndarray, box_px: int) -> Iterator[np.ndarray]:
    """Boxes around places that are :func:`within` the image: blocks (m, L, L) in their order, some at a time."""
    at_once = max(1, AT_ONCE_BYTES // (4 * box_px * box_px))
    for start in range(0, len(place_px), at_once):
        corners = place_px[start : start + at_once] - box_px // 2
        yield np.stack([data[y : y + box_px, x : x + box_px] for x, y in corners])


def finished_boxes(
    boxes: np.ndarray, side_px: int, radius_px: float, *, invert: bool, normalise: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Cropped to ``side_px`` in Fourier space, inverted, normalised: float32 (m, side, side), and which can be used.

    ``radius_px`` is that of the particle, in pixels of the result (:func:`vitreous.optics.normalise_images`). A box
    with a constant background cannot be normalised, and is not to be used.
    """
    images = torch.from_numpy(np.ascontiguousarray(boxes, dtype=np.float32))
    if side_px != boxes.shape[-1]:
        # The mean is many times the noise, and would cost digits.
        level = images.mean(dim=(1, 2), keepdim=True)
        images = resize_images(images - level, side_px) + level
    images = -images if invert else images
    if not normalise:
        return images.numpy(), np.ones(len(boxes), dtype=bool)
    scaled, bad = normalise_images(images, radius_px, remove_ramp=True)
    return scaled.numpy(), ~bad.numpy()


def _rounded(value: np.ndarray) -> np.ndarray:
    return np.floor(value + 0.5).astype(np.int64)
