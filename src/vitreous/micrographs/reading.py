"""One micrograph from a file: MRC of all modes, or a grey picture (TIFF, PNG, JPEG) where Pillow is installed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.particles import ParticleFileError
from vitreous.particles.errors import require_file
from vitreous.particles.mrc_header import read_header

__all__ = ["PICTURES", "Micrograph", "read_micrograph"]

PICTURES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
GREY = ("1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's names for pictures of one channel
MOST_BROKEN, MOST_SATURATED = 0.1, 0.5  # of the pixels
SIDES_PX = (32, 1 << 15)
LARGEST = 1e15  # no camera counts so far, and squares of it are still numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Micrograph:
    """A micrograph: one image, already summed and corrected for motion."""

    data: np.ndarray  # float32 (rows, columns); y is the row index of the file
    pixel_size_A: float
    broken: int = 0  # pixels that were NaN, infinite or as good as that, and are the median now


def read_micrograph(path: str | Path, *, pixel_size_A: float | None = None) -> Micrograph:
    """Read a micrograph; ``pixel_size_A`` overrules the header of an MRC file, and is needed for a picture.

    Raises FileNotFoundError, and ParticleFileError that says what is wrong: a movie, a picture in colours, no pixel
    size, constant or saturated pixels, more than a tenth of them NaN.
    """
    path = require_file(path, "a micrograph")
    data, stated_A = _picture(path) if path.suffix.lower() in PICTURES else _mrc(path)
    size_A = stated_A if pixel_size_A is None else pixel_size_A
    if not size_A > 0:
        raise ParticleFileError(f"{path}: the file has no pixel size; give pixel_size_A (--angpix)")
    low, high = SIDES_PX
    if min(data.shape) < low or max(data.shape) > high:
        rows, columns = data.shape
        raise ParticleFileError(f"{path}: {columns} x {rows} pixels; expected a micrograph of {low} to {high} a side")
    finite = np.abs(data) < LARGEST  # not for NaN either
    broken = int(data.size - finite.sum())
    if broken > MOST_BROKEN * data.size:
        raise ParticleFileError(f"{path}: {broken:,} of {data.size:,} pixels are NaN or infinite")
    if broken:
        data = np.where(finite, data, np.median(data[finite])).astype(np.float32)
    _refuse_flat(path, data)
    return Micrograph(data=data, pixel_size_A=float(size_A), broken=broken)


def _refuse_flat(path: Path, data: np.ndarray) -> None:
    low, high = float(data.min()), float(data.max())
    if low == high:
        raise ParticleFileError(f"{path}: all pixels are {low:g}: an empty micrograph")
    for what, value in (("darkest", low), ("brightest", high)):
        share = float((data == value).mean())
        if share > MOST_SATURATED:
            raise ParticleFileError(
                f"{path}: {share:.0%} of the pixels have the {what} value, {value:g}: saturated, or mostly empty"
            )


def _mrc(path: Path) -> tuple[np.ndarray, float]:
    header = read_header(path)
    if header.nz != 1:
        raise ParticleFileError(
            f"{path}: {header.nz} images of {header.nx} x {header.ny} pixels: a movie or a stack; expected the sum of "
            "a movie, corrected for motion"
        )
    raw = np.fromfile(path, header.dtype, header.nx * header.ny, offset=header.data_offset)
    return raw.reshape(header.ny, header.nx).astype(np.float32), header.pixel_size_A


def _picture(path: Path) -> tuple[np.ndarray, float]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ParticleFileError(f"{path}: pictures are read with Pillow, which is not installed; convert to MRC") from (
            error
        )
    Image.MAX_IMAGE_PIXELS = None  # micrographs are larger than what Pillow takes for an attack
    try:
        with Image.open(path) as image:
            frames, mode = getattr(image, "n_frames", 1), image.mode
            if frames != 1:
                raise ParticleFileError(f"{path}: {frames} frames: a movie; expected its sum, corrected for motion")
            if mode not in GREY:
                raise ParticleFileError(f"{path}: a picture of kind {mode}; expected grey levels of one channel")
            return np.asarray(image).astype(np.float32), 0.0
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ParticleFileError(f"{path}: no picture can be read ({error}); copy or convert it again") from error
