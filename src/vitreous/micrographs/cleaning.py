"""A micrograph without what is no particle: hot pixels, background and gradients; at the pixel size that is needed."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.micrographs._kernels.median import median_of_nine
from vitreous.micrographs.carbon import carbon_area, step_at_edge

__all__ = ["CleanImage", "clean", "flattened", "without_hot_pixels"]

HOT = 6.0  # robust standard deviations of a pixel from the median of its neighbours
BLOCKS = 32  # per side, whose means the background is fitted to
DEEPEST = 0.2  # of its largest value: below, or below the noise, a background is no dose
ROBUST, PASSES = 1.5, 8
ROUNDS = 2  # of the background beside carbon and of the edge of it
POINTS = (np.arange(4) - 1.5) / 4  # of a block, at which its share of carbon is read


@dataclass(frozen=True, kw_only=True, eq=False)
class CleanImage:
    """A micrograph that is ready to be searched. Coordinates in the original are ``index / scale``."""

    data: np.ndarray  # float32 (rows, columns), background 0, particles bright
    pixel_size_A: float
    scale: tuple[float, float]  # pixels of this image per pixel of the original, along x and y
    hot: int  # pixels that were replaced
    hot_px: np.ndarray  # (hot, 2) their rows and columns in the original
    carbon: np.ndarray  # (rows, columns) bool, what looks like carbon; false where it was not asked for


def clean(
    data: np.ndarray, pixel_size_A: float, working_A: float, *, invert: bool, diameter_A: float | None = None
) -> CleanImage:
    """Replace hot pixels, take the background off, and crop in Fourier space to about ``working_A`` per pixel.

    With the diameter of the particle the step at an edge of carbon is taken off, too. A smooth background that is
    fitted to both sides of it bends, and is wrong by as much as the step; so it is fitted again, with the step.
    """
    cool, hot = _cooled(data)
    small = _cropped(flattened(cool), pixel_size_A, working_A)
    rows, columns = small.shape
    carbon = np.zeros(small.shape, dtype=bool)
    if diameter_A is not None:
        diameter_px = diameter_A / working_A
        carbon = carbon_area(small, diameter_px)
        for _ in range(ROUNDS if carbon.any() else 0):
            flat = flattened(cool, carbon)
            step, carbon = step_at_edge(_cropped(flat, pixel_size_A, working_A), carbon, diameter_px)
            small = _cropped(flat - _enlarged(step, flat.shape), pixel_size_A, working_A)
    return CleanImage(
        data=-small if invert else small,
        pixel_size_A=pixel_size_A * data.shape[1] / columns,
        scale=(columns / data.shape[1], rows / data.shape[0]),
        hot=len(hot),
        hot_px=hot,
        carbon=carbon,
    )


def without_hot_pixels(data: np.ndarray) -> tuple[np.ndarray, int]:
    """Pixels far from the median of their 3 x 3 neighbours become that median: (image, how many)."""
    cool, hot = _cooled(data)
    return cool, len(hot)


def _cooled(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(image, (n, 2) rows and columns of what was replaced)."""
    data = np.ascontiguousarray(data, dtype=np.float32)
    local = median_of_nine(data)
    difference = data - local
    sd = 1.4826 * float(np.median(np.abs(difference)))
    hot = np.abs(difference) > HOT * sd if sd > 0 else np.zeros(data.shape, bool)
    return np.where(hot, local, data), np.argwhere(hot)


def flattened(data: np.ndarray, carbon: np.ndarray | None = None) -> np.ndarray:
    """The image less a quadratic surface fitted to means of blocks, robustly; contrast divided by its relative height.

    carbon: bool, of any shape, the part of the picture that may have a level and a slope of its own, which stay.

    Dose and ice change slowly, and contrast follows the dose: ``D (1 + contrast)`` has the contrast of D = 1 after
    division. Where the surface comes near zero it is no dose, and nothing is divided.
    """
    rows, columns = data.shape
    side = max(4, min(rows, columns) // BLOCKS)
    down, across = rows // side, columns // side
    means = data[: down * side, : across * side].reshape(down, side, across, side).mean(axis=(1, 3)).astype(np.float64)
    v, u = ((np.arange(n) + 0.5) * side / whole - 0.5 for n, whole in ((down, rows), (across, columns)))
    basis = _quadratic(v[:, None], u[None, :]).reshape(6, -1).T
    if carbon is not None:  # its step follows the dose, so that it has a slope
        share = _share(carbon, v + 0.5, u + 0.5, (side / rows, side / columns)).ravel()
        basis = np.column_stack([basis, basis[:, :3] * share[:, None]])
    weight, y = np.ones(means.size), means.ravel()
    for _ in range(PASSES):
        fit = np.linalg.lstsq(basis * weight[:, None], y * weight, rcond=None)[0]
        rest = y - basis @ fit
        sd = 1.4826 * np.median(np.abs(rest)) + 1e-12 * np.abs(y).max()
        weight = 1.0 / np.sqrt(1.0 + np.square(rest / (ROBUST * sd + np.finfo(float).tiny)))
    v, u = ((np.arange(n) + 0.5) / n - 0.5 for n in data.shape)
    one, along_u, along_v, uu, vv, uv = fit[:6]
    ground = (along_v * v + vv * v * v)[:, None] + (one + along_u * u + uu * u * u) + uv * np.outer(v, u)
    flat = data - ground
    if ground.min() > max(DEEPEST * ground.max(), flat.std()):
        flat *= ground.mean() / ground
    return (flat - flat.mean()).astype(np.float32)


def _share(carbon: np.ndarray, v: np.ndarray, u: np.ndarray, width: tuple[float, float]) -> np.ndarray:
    """Of blocks with centres at v, u from 0 to 1, how much of each is carbon, (v, u)."""
    row, column = (
        ((at[:, None] + POINTS * side) * n).astype(int).ravel()
        for at, side, n in zip((v, u), width, carbon.shape, strict=True)
    )
    points = carbon[np.ix_(row, column)].reshape(len(v), len(POINTS), len(u), len(POINTS))
    share: np.ndarray = points.mean(axis=(1, 3))
    return share


def _quadratic(v: np.ndarray, u: np.ndarray) -> np.ndarray:
    one = np.ones(np.broadcast_shapes(v.shape, u.shape))
    return np.stack([one, u * one, v * one, u * u * one, v * v * one, u * v])


def _cropped(data: np.ndarray, pixel_size_A: float, working_A: float) -> np.ndarray:
    """Fourier crop; the sides are whole pixels, so that the pixel size is nearly the one asked for."""
    ratio = min(1.0, pixel_size_A / working_A)
    rows, columns = (2 * max(8, round(n * ratio / 2)) for n in data.shape)
    if ratio == 1.0:
        return data
    ft = torch.fft.rfft2(torch.from_numpy(np.ascontiguousarray(data)))
    half = rows // 2
    small = torch.zeros((rows, columns // 2 + 1), dtype=ft.dtype)
    small[:half], small[-half + 1 :] = ft[:half, : columns // 2 + 1], ft[-half + 1 :, : columns // 2 + 1]
    small[:, -1] = 0.0
    return (torch.fft.irfft2(small, s=(rows, columns)) * (rows * columns / data.size)).numpy()


def _enlarged(small: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What was cropped by :func:`_cropped` at the size it had, linearly between pixels, float32."""
    image = small
    for axis, n in enumerate(shape):
        at = np.minimum(np.arange(n) * (small.shape[axis] / n), small.shape[axis] - 1.0)
        first = np.minimum(at.astype(int), max(small.shape[axis] - 2, 0))
        share = np.expand_dims((at - first).astype(np.float32), 1 - axis)
        image = image.take(first, axis) * (1.0 - share) + image.take(first + 1, axis) * share
    return image
