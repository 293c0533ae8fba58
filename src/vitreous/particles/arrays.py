"""NumPy's files, .npy and .npz, read without trust: no pickle, no more memory than the file has bytes for."""

import math
import warnings
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from vitreous.particles.errors import ParticleFileError, require_file

__all__ = ["read_array", "read_arrays"]

MOST_TIMES, MOST_BYTES = 200, 1 << 30  # a compressed file may grow by so much, or to so many bytes


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, by name; checksums are verified.

    Raises FileNotFoundError, and ParticleFileError, which names the file, for what is no such archive, is damaged,
    holds Python objects, or would expand to many times its size.
    """
    path = require_file(path, "a NumPy archive (.npz)")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if size > max(MOST_BYTES, MOST_TIMES * path.stat().st_size):
                raise ValueError(f"it expands to {size:,} bytes")
            return {e.filename.removesuffix(".npy"): _entry(archive, e) for e in entries}
    except Exception as error:  # a damaged archive or header fails in any way that zlib, zipfile or a parser can fail
        raise ParticleFileError(f"{path}: no arrays can be read ({_first_line(error)})") from error


def read_array(path: str | Path) -> np.ndarray:
    """The array of an .npy file. Raises what :func:`read_arrays` does."""
    path = require_file(path, "a NumPy array (.npy)")
    try:
        with path.open("rb") as file:
            return _array(file, path.stat().st_size)
    except Exception as error:  # the header is a Python literal, which fails in many ways
        raise ParticleFileError(f"{path}: no array can be read ({_first_line(error)})") from error


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as file:
        try:
            return _array(file, entry.file_size)
        except Exception as error:
            raise ValueError(f"{entry.filename}: {_first_line(error)}") from error


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of a file of ``size`` bytes; nothing is allocated before these are known to be enough."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's and Python's own, about the literal that is evaluated
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects; expected numbers")
    needed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if any(n < 0 for n in shape) or needed != there:
        raise ValueError(f"the header promises {dtype} of shape {shape}, {needed:,} bytes, found {there:,}")
    content = file.read()  # to the end, where an archive verifies its checksum
    if len(content) != needed:
        raise ValueError(f"it ends after {len(content):,} of {needed:,} bytes")
    return np.frombuffer(bytearray(content), dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
