"""Where the matter of an image is: its bright part, its centre of mass."""

import numpy as np

from vitreous.conventions import centre_index

__all__ = ["border_of", "bright_part", "centres_of_mass"]

_SDS_ABOVE_BORDER = 2.0


def centres_of_mass(images: np.ndarray, pixel_size_A: float) -> np.ndarray:
    """x and y of the centres of mass, in Angstrom from the image centre: (n, 2)."""
    grid = (np.arange(images.shape[1]) - centre_index(images.shape[1])) * pixel_size_A
    total = images.sum(axis=(1, 2))
    return np.stack([images.sum(axis=1) @ grid, images.sum(axis=2) @ grid], axis=1) / total[:, None]


def bright_part(images: np.ndarray) -> np.ndarray:
    """What rises above the noise of the border, nowhere negative; the whole positive part where nothing does."""
    border = images[:, border_of(images.shape[1])]
    level = border.mean(axis=1) + _SDS_ABOVE_BORDER * border.std(axis=1)
    above = (images - level[:, None, None]).clip(min=0.0)
    nothing = ~(above.sum(axis=(1, 2)) > 0)
    above[nothing] = images[nothing] - images[nothing].min(axis=(1, 2), keepdims=True)
    return above


def border_of(box_px: int) -> np.ndarray:
    """The outermost pixels, a sixteenth of the box on every side: bool (L, L)."""
    depth = max(1, box_px // 16)
    border = np.ones((box_px, box_px), bool)
    border[depth:-depth, depth:-depth] = False
    return border
