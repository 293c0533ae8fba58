"""Images and maps as counts: how often each pixel was hit by points of the mixture.

A non-negative image of any scale is multiplied so that its sum is a chosen number of counts, and rounded. The number of
counts says how much the image is trusted: it is the number of independent points that it is worth.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vitreous.conventions import centre_index

__all__ = ["Counts", "count_images", "count_map"]

_TINY_SHARE = 1e-3  # of the sum of an image that may be negative (rounding of a file format) and is set to zero


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """``counts`` int32 (n, Ly, Lx): images [image, y, x], or the sections of one map [z, y, x]."""

    counts: np.ndarray
    pixel_size_A: float

    def __post_init__(self) -> None:
        counts = np.asarray(self.counts)
        if counts.ndim != 3 or counts.size == 0 or counts.dtype.kind not in "iu" or counts.min() < 0:
            raise ValueError(f"Counts.counts: expected whole numbers >= 0 on three axes, found shape {counts.shape}")
        if not (np.isfinite(self.pixel_size_A) and self.pixel_size_A > 0):
            raise ValueError(f"Counts.pixel_size_A: expected a positive number, found {self.pixel_size_A}")
        object.__setattr__(self, "counts", np.ascontiguousarray(counts, dtype=np.int32))

    @cached_property
    def totals(self) -> np.ndarray:
        """Counts of every plane: float64 (n,)."""
        return self.counts.sum(axis=(1, 2), dtype=np.int64).astype(np.float64)

    @cached_property
    def squares_A2(self) -> np.ndarray:
        """Sum over the counts of a plane of x^2 + y^2: float64 (n,)."""
        x, y = self.axis_A(2) ** 2, self.axis_A(1) ** 2
        return (self.counts @ x).sum(axis=1) + self.counts.sum(axis=2) @ y

    def axis_A(self, axis: int) -> np.ndarray:
        """Coordinates of the pixels along an axis, from the centre."""
        length = self.counts.shape[axis]
        return (np.arange(length) - centre_index(length)) * self.pixel_size_A


def count_images(images: np.ndarray, pixel_size_A: float, counts_per_image: int) -> Counts:
    """Images (n, L, L), none negative, as about ``counts_per_image`` counts each.

    Raises ValueError that names the image (from 1) for NaN, for negative values and for an image without any signal.
    """
    images = np.asarray(images, dtype=np.float64)
    if images.ndim != 3 or images.shape[1] != images.shape[2] or len(images) == 0:
        raise ValueError(f"images: expected (n, L, L), found shape {images.shape}; all averages must have one box.")
    _require_counts(counts_per_image)
    out = np.empty(images.shape, np.int32)
    for number, (image, row) in enumerate(zip(images, out, strict=True), start=1):
        row[:] = _rounded(image, counts_per_image, f"image {number}")
    return Counts(counts=out, pixel_size_A=pixel_size_A)


def count_map(volume: np.ndarray, pixel_size_A: float, counts: int) -> Counts:
    """A map [z, y, x], nowhere negative, as about ``counts`` counts in all; errors as :func:`count_images`."""
    volume = np.asarray(volume, dtype=np.float64)
    if volume.ndim != 3 or volume.size == 0:
        raise ValueError(f"map: expected three axes, found shape {volume.shape}")
    _require_counts(counts)
    return Counts(counts=_rounded(volume, counts, "the map"), pixel_size_A=pixel_size_A)


def non_negative(values: np.ndarray, name: str) -> np.ndarray:
    """Values that can be densities, or a ValueError that says what to do; rounding errors below zero become zero."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds {np.count_nonzero(~np.isfinite(values))} value(s) that are NaN or infinite.")
    positive, negative = values.clip(min=0.0), -values.clip(max=0.0)
    if negative.sum() > _TINY_SHARE * positive.sum():
        raise ValueError(
            f"{name} has negative values (lowest {values.min():.3g}, highest {values.max():.3g}); a mixture of counts "
            "needs densities. Deconvolve averages first (`vitreous deconvolve --single`), or take the model for "
            "negative pixels (`vitreous initial --method gmm-gaussian`), or subtract the background level and set what "
            "is below it to zero."
        )
    if not positive.sum() > 0:
        raise ValueError(f"{name} is zero everywhere; leave it out.")
    return positive


def _rounded(values: np.ndarray, counts: int, name: str) -> np.ndarray:
    positive = non_negative(values, name)
    rounded = np.rint(positive * (counts / positive.sum())).astype(np.int32)
    if not rounded.any():
        raise ValueError(f"{name}: {counts} counts are fewer than one for any pixel; use more counts or a smaller box.")
    return rounded


def _require_counts(counts: int) -> None:
    if not counts >= 1:
        raise ValueError(f"the number of counts must be at least 1, found {counts}")
