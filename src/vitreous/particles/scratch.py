"""Arrays in files that are mapped into memory, with their room on the disk taken first."""

import ctypes
import errno
import mmap
import os
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["release", "release_free", "scratch_array"]

_ZEROS = bytes(1 << 20)


def scratch_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.ndarray:
    """A new file, mapped for reading and writing; OSError names the file and the bytes where the disk is too small.

    A mapped file without its blocks is a promise: where the disk is full, writing to the memory ends the process with
    SIGBUS, without a word. So the blocks are there before anything is written.
    """
    size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    try:
        with path.open("wb") as file:
            _reserve(file.fileno(), size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"{path}: {size:,} bytes are needed for prepared images and cannot be had "
            f"({os.strerror(error.errno or 0)}); free the disk, choose another folder, or allow more memory (--memory)",
        ) from error
    return np.memmap(path, dtype, "r+", shape=shape)


def release(array: object) -> None:
    """Let the system have the memory of a mapped array back; it stays in the file, and is mapped again when it is read.

    Pages of a file that have been touched count as memory of the process until they are given back. Arrays that are not
    mapped are left alone, as are all where the system has no such call.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def release_free() -> None:
    """Let the system have the memory back that has been freed between arrays that are still in use.

    Arrays of up to 32 MB lie on glibc's heap, which gives back its end alone. Where arrays grow from pass to pass, each
    generation is too large for the holes that the last one has left, and the holes add up to more than what is in use.
    Does nothing where the C library has no such call.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> "ctypes._NamedFuncPointer | None":
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None


def _reserve(handle: int, size: int) -> None:
    try:
        os.posix_fallocate(handle, 0, size)
        return
    except AttributeError:  # not on this system
        pass
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
    for start in range(0, size, len(_ZEROS)):
        os.write(handle, _ZEROS[: size - start])
