"""Pictures for a page or a notebook: contrast, a soft circular edge, PNG as a data address. No imaging library."""

import base64
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

__all__ = ["Shown", "data_address", "fourier_crop", "low_pass", "map_pictures", "png", "show", "shown"]

LARGEST = 128  # pixels of a picture in a notebook

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
    reach = max((high - ground) / (1 - GROUND), (ground - low) / GROUND, 1e-30 + 1e-6 * abs(ground))
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """Pictures with captions under one heading: what a notebook shows.

    pictures: grey levels (uint8), a tuple of them for each tile; captions: one for each tile; heading: plain text.
    """

    heading: str
    pictures: tuple[tuple[np.ndarray, ...], ...]
    captions: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{self.heading}\n({len(self.pictures)} pictures; a notebook shows them, and .save(name) writes a .png)"

    def _repr_html_(self) -> str:
        tiles = zip(self.pictures, self.captions, strict=True)
        heading = escape(self.heading).replace("\n", "<br>")
        return (
            f'<div style="font:13px/1.35 system-ui,sans-serif"><div style="margin:2px 0 6px">{heading}'
            '</div><div style="display:flex;flex-wrap:wrap;gap:8px">'
            + "".join(_figure(pictures, caption) for pictures, caption in tiles)
            + "</div></div>"
        )

    def save(self, path: str | Path, *, columns: int = 10) -> None:
        """Write the pictures, without captions, as a PNG file with so many tiles in a row."""
        tiles = [np.concatenate(pictures, axis=1) for pictures in self.pictures]
        if not tiles:
            raise ValueError(f"{path}: there are no pictures to be written")
        height, width = (max(tile.shape[axis] for tile in tiles) + 2 for axis in (0, 1))
        columns = min(columns, len(tiles))
        sheet = np.full((-(-len(tiles) // columns) * height, columns * width), round(255 * GROUND), np.uint8)
        for number, tile in enumerate(tiles):
            top, left = number // columns * height + 1, number % columns * width + 1
            sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        Path(path).write_bytes(png(sheet))


def shown(heading: str, images: Iterable[np.ndarray], captions: Iterable[str] = (), *, fade: bool = True) -> Shown:
    """Images (L, L), or rows of images (m, L, L) that belong together, as a notebook shows them."""
    groups = [np.asarray(image) for image in images]
    pictures = tuple(
        tuple(show(one, largest=LARGEST, fade=fade) for one in (group if group.ndim == 3 else group[None]))
        for group in groups
    )
    return Shown(heading=heading, pictures=pictures, captions=tuple(captions) or ("",) * len(pictures))


def map_pictures(volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slices xy, xz, yz through the centre of a map [z, y, x], and its projections on the same planes, (3, L, L).

    A map that is no cube is padded with zeros.
    """
    side = max(volume.shape)
    cube = np.zeros((side,) * 3, np.float32)
    z, y, x = (side // 2 - length // 2 for length in volume.shape)
    scale = float(np.abs(volume).max()) or 1.0  # of densities per cubic Angstrom, a variance may be 1e-15
    cube[z : z + volume.shape[0], y : y + volume.shape[1], x : x + volume.shape[2]] = volume / scale
    middle = side // 2
    slices = np.stack([cube[middle], cube[:, middle], cube[:, :, middle]])
    return slices, np.stack([cube.sum(axis=axis) for axis in range(3)])


def _figure(pictures: tuple[np.ndarray, ...], caption: str) -> str:
    side = min(max(pictures[0].shape[1], 96), LARGEST)
    drawn = "".join(
        f'<img src="{data_address(grey)}" width="{side}" height="{side}" alt="{escape(caption)}" style="margin:0">'
        for grey in pictures
    )
    return (
        f'<figure style="margin:0;width:{side * len(pictures)}px"><div style="display:flex">{drawn}</div>'
        f'<figcaption style="font-size:11px">{escape(caption)}</figcaption></figure>'
    )
