"""Class averages made ready: checked, centred at their centre of mass, and on coarser grids."""

from dataclasses import dataclass

import numpy as np

from vitreous.conventions import centre_index
from vitreous.mixtures.counts import non_negative
from vitreous.quality import background_levels

__all__ = ["Reduced", "checked_averages", "checked_stack", "pixel_shares", "reduce_images"]

_FEWEST_VIEWS = 2
_GREY = 0.2  # of the highest value, at the border: a background that has not been taken off


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduced:
    """Images (n, box, box) that are nowhere negative, and their pixel size."""

    images: np.ndarray
    pixel_size_A: float


def checked_averages(images: np.ndarray, pixel_size_A: float) -> np.ndarray:
    """The averages (n, L, L) as float64, or a ValueError that says what is wrong and what to do."""
    images = checked_stack(images, pixel_size_A)
    positive = np.stack([non_negative(image, f"average {i}") for i, image in enumerate(images, start=1)])
    level, highest = background_levels(images), images.max(axis=(1, 2))
    if (grey := np.flatnonzero((level > _GREY * highest) & (level < highest))).size:
        i = int(grey[0])
        raise ValueError(
            f"average {i + 1} has a background of {level[i]:.3g} (its highest value is {highest[i]:.3g}), and a "
            "mixture of counts would fill the whole box; subtract the background, and set what is below it to zero"
        )
    return positive


def checked_stack(images: np.ndarray, pixel_size_A: float) -> np.ndarray:
    """The averages (n, L, L) as float64, whatever their values; a ValueError for wrong shapes and a single view."""
    try:
        images = np.asarray(images, dtype=np.float64)
    except ValueError as error:
        raise ValueError("averages: all must have the same box; resize or crop them first.") from error
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"averages: expected square images (n, L, L) of one box, found shape {images.shape}.")
    if not (np.isfinite(pixel_size_A) and pixel_size_A > 0):
        raise ValueError(f"pixel_size_A: expected a positive number, found {pixel_size_A}")
    if len(images) < _FEWEST_VIEWS:
        raise ValueError(
            f"{len(images)} average(s): one direction of view does not determine a structure in three dimensions; give "
            "averages of several views (ten or more, as different as possible)."
        )
    return images


def reduce_images(images: np.ndarray, pixel_size_A: float, centres_A: np.ndarray, box_px: int) -> Reduced:
    """Images on ``box_px`` pixels over the same field, with ``centres_A`` (n, 2) moved to the image centre.

    Every pixel is shared out among the new pixels that it overlaps: nothing becomes negative, and all sums stay but for
    what leaves the field. Images that have no more than ``box_px`` pixels keep their pixel size.
    """
    old = images.shape[1]
    new = min(box_px, old)
    pixel = pixel_size_A * old / new
    out = np.empty((len(images), new, new))
    for image, centre, row in zip(images, centres_A, out, strict=True):
        along_x, along_y = (pixel_shares(old, pixel_size_A, new, pixel, c) for c in centre)
        row[:] = along_y @ image @ along_x.T
    return Reduced(images=out, pixel_size_A=pixel)


def pixel_shares(old: int, pixel_old: float, new: int, pixel_new: float, centre: float) -> np.ndarray:
    """Share of every old pixel in every new one along an axis: (new, old)."""
    middle_old = (np.arange(old) - centre_index(old)) * pixel_old - centre
    middle_new = ((np.arange(new) - centre_index(new)) * pixel_new)[:, None]
    low = np.maximum(middle_old - pixel_old / 2, middle_new - pixel_new / 2)
    high = np.minimum(middle_old + pixel_old / 2, middle_new + pixel_new / 2)
    return (high - low).clip(min=0.0) / pixel_old
