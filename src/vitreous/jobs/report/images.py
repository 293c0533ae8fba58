"""Pictures for a page: contrast, a soft circular edge, PNG as a data address. No imaging library needed."""

import base64
import struct
import zlib

import numpy as np

__all__ = ["data_address", "fourier_crop", "low_pass", "png", "show"]

GROUND = 0.27  # grey level on which every picture lies, 0..1; the page uses the same


def show(image: np.ndarray, *, largest: int = 192, fade: bool = True) -> np.ndarray:
    """Grey levels (uint8) of one image (L, L) for display.

    The background (median outside the inscribed circle) goes to a fixed dark grey, and the 0.3 and 99.7 percentiles
    inside the circle stay within black and white, so that pictures side by side share one ground. Boxes above
    ``largest`` pixels are cropped in Fourier space. ``fade`` blends the corners into the ground. Values that are not
    finite count as background.
    """
    image = np.asarray(image, dtype=np.float64)
    radius = _radius(len(image))
    inside = radius <= 1
    finite = np.isfinite(image)
    ground = float(np.median(image[finite & ~inside])) if (finite & ~inside).any() else 0.0
    image = np.where(finite, image, ground)
    if len(image) > largest:
        image = fourier_crop(image, largest)
        radius = _radius(largest)
        inside = radius <= 1
    low, high = np.percentile(image[inside], [0.3, 99.7])
    reach = max((high - ground) / (1 - GROUND), (ground - low) / GROUND, 1e-12 + 1e-6 * abs(ground))
    grey = (image - ground) / reach
    if fade:
        grey *= 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - 0.94) / 0.12, 0, 1))
    levels: np.ndarray = np.round(255 * np.clip(GROUND + grey, 0, 1)).astype(np.uint8)
    return levels


def _radius(size: int) -> np.ndarray:
    """Distance from the centre in units of the inscribed circle's radius, (size, size)."""
    axis = (np.arange(size) - size // 2) / (size / 2)
    return np.hypot(axis[:, None], axis[None, :])


def fourier_crop(image: np.ndarray, size: int) -> np.ndarray:
    """An image (L, L) on a smaller grid (size, size) of the same extent, centre kept at index size // 2."""
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image)))
    start = len(image) // 2 - size // 2
    cut = spectrum[start : start + size, start : start + size]
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(cut))).real * (size / len(image)) ** 2


def low_pass(image: np.ndarray, cycles: float) -> np.ndarray:
    """An image (L, L) without its fine detail: a Gaussian that halves the amplitude at ``cycles`` per box."""
    axis = np.fft.fftfreq(len(image)) * len(image)
    squared = axis[:, None] ** 2 + axis[None, :] ** 2
    return np.fft.ifft2(np.fft.fft2(image) * np.exp(-np.log(2) * squared / cycles**2)).real


def png(grey: np.ndarray) -> bytes:
    """An 8-bit grey PNG of a uint8 array (rows, columns), first row on top."""
    rows, columns = grey.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), grey], axis=1)  # filter 0 on every line
    body = zlib.compress(lines.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def data_address(grey: np.ndarray) -> str:
    """A uint8 picture as the ``data:`` address of a PNG."""
    return "data:image/png;base64," + base64.b64encode(png(grey)).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
