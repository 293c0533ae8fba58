"""What stands behind the particle in a class average: its grey value, and whether the particle is lighter or darker.

Programs leave averages on scales of their own: zero outside a mask, mean 0 and standard deviation 1 at the border, or
stretched to 8 bits so that the background is grey. Nothing is known of them but the pixels.
"""

from dataclasses import dataclass

import numpy as np

from vitreous.conventions import centre_index
from vitreous.quality.mass import border_of

__all__ = ["AverageContrast", "average_contrast", "background_levels"]

_CORE = 0.2  # of the box: radius in which a particle fills its average
_DECIDED = 0.5  # of all averages: so many must show a contrast
_CLEAR = 0.75  # of those that show one must agree
_SHOWS = 0.1  # of the standard deviation: the least distance of the core from the background that is a contrast


@dataclass(frozen=True, kw_only=True)
class AverageContrast:
    """How many averages show a particle that is lighter, darker, or neither."""

    lighter: int
    darker: int
    neither: int

    @property
    def verdict(self) -> str:
        """Either "white", "dark", "mixed" (both in number) or "unclear" (most averages do not say)."""
        decided = self.lighter + self.darker
        if decided == 0 or decided < _DECIDED * (decided + self.neither):
            return "unclear"
        if self.lighter >= _CLEAR * decided:
            return "white"
        return "dark" if self.darker >= _CLEAR * decided else "mixed"


def background_levels(images: np.ndarray) -> np.ndarray:
    """Grey value of the background of every average (n, L, L): the median of its border, (n,) float64.

    A median, because neighbours of the particle reach into the border, and masks leave it at one value.
    """
    return np.median(images[:, border_of(images.shape[1])], axis=1).astype(np.float64)


def average_contrast(images: np.ndarray) -> AverageContrast:
    """Whether the particles of averages (n, L, L) of any scale are lighter or darker than their background.

    An average shows a contrast where two figures agree, of its values less their background: the mean over the core of
    the box (it is blind to rings and shells seen from the top), and the skewness (few pixels of a particle rise far
    above, or fall far below, what is around it). Noise, junk and empty averages show none or both.
    """
    above = images.astype(np.float64) - background_levels(images)[:, None, None]
    size = np.sqrt((above**2).mean(axis=(1, 2)))
    shown = size > 0
    above = above[shown] / size[shown][:, None, None]
    axis = (np.arange(images.shape[1]) - centre_index(images.shape[1])) / images.shape[1]
    core = above[:, np.hypot(axis[:, None], axis) < _CORE].mean(axis=1)
    skewness = (above**3).mean(axis=(1, 2))
    lighter = int(np.count_nonzero((core > _SHOWS) & (skewness > 0)))
    darker = int(np.count_nonzero((core < -_SHOWS) & (skewness < 0)))
    return AverageContrast(lighter=lighter, darker=darker, neither=len(images) - lighter - darker)
