"""Stacks of images and volumes in MRC files: images read by calls that return errors, written as a stream."""

import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from vitreous.particles.atomic import atomic_path
from vitreous.particles.errors import ParticleFileError, require_file
from vitreous.particles.foreign import GZIP, unpacked
from vitreous.particles.mrc_header import HEADER_BYTES, MrcHeader, build_header, read_compressed_header, read_header
from vitreous.particles.volume import Volume

__all__ = [
    "MrcStack",
    "MrcStackWriter",
    "open_stack",
    "read_images",
    "read_stack",
    "read_volume",
    "stack_in_memory",
    "write_mrc_stack",
    "write_volume",
]

_BLOCK_BYTES = 1 << 24
_MOST_AT_ONCE = 1 << 30  # bytes that one call reads
_MOST_COMPRESSION = 1032  # times that deflate makes anything smaller


@dataclass(frozen=True, kw_only=True, eq=False)
class MrcStack:
    """An open stack. Its images are read when they are asked for; a file that has shrunk since is an error."""

    path: Path
    header: MrcHeader
    file: "_OpenFile | _Memory"

    @property
    def box_px(self) -> int:
        """Side of the images."""
        return self.header.nx

    def __len__(self) -> int:
        return self.header.nz

    def read(self, indices: np.ndarray | Sequence[int]) -> np.ndarray:
        """Images (counted from 0), float32 (m, L, L); ParticleFileError for an index beyond the stack."""
        indices = np.asarray(indices, dtype=np.int64)
        out = np.empty((len(indices), self.box_px, self.box_px), dtype=np.float32)
        self.read_into(out, np.arange(len(indices)), indices)
        return out

    def read_into(self, out: np.ndarray, rows: np.ndarray, indices: np.ndarray) -> None:
        """Write the images ``indices`` to ``out[rows]``, neighbours in the file by one call.

        ParticleFileError for an index beyond the stack, and for a file that ends before what its header promised: one
        that was cut short while it was read would end the process through a memory map.
        """
        outside = (indices < 0) | (indices >= len(self))
        if outside.any():
            raise ParticleFileError(
                f"{self.path}: image {indices[outside][0] + 1} is beyond the stack, which has {len(self)} images"
            )
        order = np.argsort(indices, kind="stable")  # in the order of the file, because disks prefer it
        runs = np.split(order, np.flatnonzero(np.diff(indices[order]) != 1) + 1) if len(order) else []
        most = max(1, _BLOCK_BYTES // max(1, self.header.image_bytes))
        for run in runs:
            for start in range(0, len(run), most):
                piece = run[start : start + most]
                self._read_run(out, rows[piece], int(indices[piece[0]]))

    def _read_run(self, out: np.ndarray, rows: np.ndarray, first: int) -> None:
        """Images ``first`` and those behind it to ``out[rows]``."""
        side, header = self.box_px, self.header
        at = header.data_offset + first * header.image_bytes
        together = _is_run(rows)
        if together and header.dtype == out.dtype and out.flags.c_contiguous:
            self._fill(out[rows[0] : rows[-1] + 1], at)
            return
        raw = np.empty((len(rows), side, side), dtype=header.dtype)
        self._fill(raw, at)
        out[rows] = raw

    def _fill(self, array: np.ndarray, at: int) -> None:
        missing = self.file.fill(memoryview(array.reshape(-1).view(np.uint8).data), at)
        if missing:
            raise ParticleFileError(
                f"{self.path}: {missing:,} bytes are missing at the end, which were there when the file was opened: it "
                "was cut short or is being written; copy it again"
            )


class _OpenFile:
    """A file that is open for reading at any place, by any thread, and closes when nobody needs it any more."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def fill(self, buffer: memoryview, at: int) -> int:
        """Read into the whole buffer; returns how many bytes of it were not there."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self._handle, [buffer[done : done + _MOST_AT_ONCE]], at + done)
            if count == 0:
                break
            done += count
        return len(buffer) - done

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            os.close(self._handle)


class _Memory:
    """Pixels in memory, read as those of a file are."""

    def __init__(self, images: np.ndarray) -> None:
        self._bytes = memoryview(images.reshape(-1).view(np.uint8).data)

    def fill(self, buffer: memoryview, at: int) -> int:
        """Copy into the whole buffer; nothing is ever missing."""
        buffer[:] = self._bytes[at : at + len(buffer)]
        return 0


def stack_in_memory(images: np.ndarray, pixel_size_A: float, name: str) -> MrcStack:
    """Images (n, L, L), float32 and contiguous, as the stack of a file ``name`` that is not there yet."""
    count, side, _ = images.shape
    header = MrcHeader(
        nx=side,
        ny=side,
        nz=count,
        dtype=images.dtype,
        data_offset=0,
        pixel_size_A=pixel_size_A,
        voxel_size_A=(pixel_size_A,) * 3,
        axis_order=(1, 2, 3),
        origin_A=(0.0, 0.0, 0.0),
        start_px=(0, 0, 0),
    )
    return MrcStack(path=Path(name), header=header, file=_Memory(images))


def open_stack(path: str | Path) -> MrcStack:
    """Open an MRC or MRCS file as a stack of square images (modes 0, 1, 2, 6, 12; either byte order).

    Raises FileNotFoundError, or ParticleFileError for a file that is not MRC, is truncated, or has other images.
    """
    path = require_file(path, "an MRC stack")
    header = read_header(path)
    if header.nx != header.ny:
        raise ParticleFileError(f"{path}: images are {header.nx} x {header.ny} pixels; particle images must be square")
    return MrcStack(path=path, header=header, file=_OpenFile(path))


def read_images(path: str | Path, indices: np.ndarray | Sequence[int]) -> np.ndarray:
    """Images of one stack, counted from 0: float32 (m, L, L). Errors as :func:`open_stack` and ``MrcStack.read``."""
    return open_stack(path).read(indices)


def read_stack(path: str | Path) -> np.ndarray:
    """All images of a stack: (n, L, L)."""
    stack = open_stack(path)
    return stack.read(np.arange(len(stack)))


class MrcStackWriter:
    """Write a stack block by block in constant memory; it appears under its name only when the ``with`` block ends.

    Pixels are float32, or float16 (mode 12, half the size, RELION 4 and later) with ``dtype=np.float16``.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.mrcs"
    >>> with MrcStackWriter(path, box_px=8, pixel_size_A=2.0) as writer:
    ...     writer.append(np.zeros((3, 8, 8)))
    ...     writer.append(np.ones((1, 8, 8)))
    >>> len(open_stack(path))
    4
    """

    def __init__(self, path: str | Path, *, box_px: int, pixel_size_A: float, dtype: type = np.float32) -> None:
        self.path = Path(path)
        self.box_px = box_px
        self.pixel_size_A = pixel_size_A
        self.count = 0
        self._dtype = np.dtype(dtype).newbyteorder("<")
        if self._dtype.kind != "f" or self._dtype.itemsize not in (2, 4):
            raise ValueError(f"MRC stacks are written as float32 or float16, not {np.dtype(dtype)}")
        self._statistics = _Statistics()

    def __enter__(self) -> "MrcStackWriter":
        self._context = atomic_path(self.path)
        self._file = self._context.__enter__().open("wb")
        self._file.seek(HEADER_BYTES)
        return self

    def append(self, images: np.ndarray) -> None:
        """Append (m, L, L) images, any real type; ValueError for another shape or values that float16 cannot hold."""
        images = np.asarray(images)
        if images.ndim != 3 or images.shape[1:] != (self.box_px, self.box_px):
            raise ValueError(f"expected images of shape (m, {self.box_px}, {self.box_px}), found {images.shape}")
        if self._dtype.itemsize == 2 and np.any(np.abs(images) > np.finfo(np.float16).max):
            raise ValueError(f"{self.path}: values beyond 65504 do not fit float16; write float32 or normalise first")
        images = np.ascontiguousarray(images, dtype=self._dtype)
        self._statistics.add(images)
        self._file.write(images.data.cast("B") if images.size else b"")
        self.count += len(images)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = error
        try:
            if kind is None:
                self._finish()
                self._file.close()
        except BaseException as raised:  # noqa: BLE001 raised again below
            failure = raised
        with suppress(OSError):  # what is left in the buffer of a file that is removed
            self._file.close()
        if failure is None:
            self._context.__exit__(None, None, None)
            return
        self._context.__exit__(type(failure), failure, failure.__traceback__)
        if failure is not error:
            raise failure

    def _finish(self) -> None:
        if self.count == 0:
            raise ValueError(f"{self.path}: no images were written; an MRC stack holds at least one")
        self._file.seek(0)
        shape = (self.count, self.box_px, self.box_px)
        self._file.write(_header(shape, self._dtype, self.pixel_size_A, False, self._statistics))
        self._file.flush()
        os.fsync(self._file.fileno())


def write_mrc_stack(path: str | Path, images: np.ndarray, pixel_size_A: float, *, dtype: type = np.float32) -> None:
    """Write (n, L, L) images as an MRC stack, atomically."""
    images = np.asarray(images)
    if images.ndim != 3 or images.shape[1] != images.shape[2] or len(images) == 0:
        raise ValueError(f"expected images of shape (n, L, L), found {images.shape}")
    with MrcStackWriter(path, box_px=images.shape[1], pixel_size_A=pixel_size_A, dtype=dtype) as writer:
        step = max(1, _BLOCK_BYTES // (4 * images[0].size))
        for start in range(0, len(images), step):
            writer.append(images[start : start + step])


def read_volume(path: str | Path, *, pixel_size_A: float | None = None) -> Volume:
    """Read a map, also a compressed one (.map.gz); its axes are put in the order [z, y, x] whatever their order in it.

    ``pixel_size_A`` overrules the header and is asked for (ParticleFileError) where the header has none or has
    different ones along x, y and z. The origin is ORIGIN of the header or, where that is zero, NXSTART, NYSTART and
    NZSTART voxels, as ChimeraX has it. The symmetry is C1: the file does not say.
    """
    path = require_file(path, "an MRC map")
    if _is_compressed(path):
        header = read_compressed_header(path)
        data = _unpacked_map(path, header)
    else:
        header = read_header(path)
        data = np.array(_map(path, header)[0], dtype=np.float32)
    # Axis k of `data` (sections, rows, columns) runs along axis_order[2 - k].
    data = np.ascontiguousarray(np.transpose(data, [2 - header.axis_order.index(axis) for axis in (3, 2, 1)]))
    if pixel_size_A is None:
        pixel_size_A = _isotropic_voxel(path, header)
    return Volume(data=data, pixel_size_A=pixel_size_A, origin_A=header.origin(pixel_size_A))


def write_volume(path: str | Path, volume: Volume) -> None:
    """Write a map as float32 with its voxel size and its origin, atomically."""
    data = np.ascontiguousarray(volume.data, dtype="<f4")
    statistics = _Statistics()
    for section in data:
        statistics.add(section)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_header(data.shape, data.dtype, volume.pixel_size_A, True, statistics, volume.origin_A))
        file.write(data.data.cast("B"))


class _Statistics:
    """Minimum, maximum, mean and standard deviation of the finite values of a stream."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.minimum, self.maximum = np.inf, -np.inf

    def add(self, block: np.ndarray) -> None:
        """Include a block of any shape."""
        values = block[np.isfinite(block)].astype(np.float64)
        if values.size == 0:
            return
        # Chan, Golub and LeVeque 1983: pairwise merging keeps the digits that sums of squares lose.
        mean, total = values.mean(), self.count + values.size
        difference = mean - self.mean
        self.squares += np.square(values - mean).sum() + difference**2 * self.count * values.size / total
        self.mean += difference * values.size / total
        self.count = total
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))


def _header(
    shape: tuple[int, ...],
    dtype: np.dtype,
    pixel_size_A: float,
    is_volume: bool,
    statistics: _Statistics,
    origin_A: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> bytes:
    known = statistics.count > 0
    return build_header(
        shape=(shape[0], shape[1], shape[2]),
        dtype=dtype,
        pixel_size_A=pixel_size_A,
        is_volume=is_volume,
        origin_A=origin_A,
        minimum=statistics.minimum if known else 0.0,
        maximum=statistics.maximum if known else 0.0,
        mean=statistics.mean,
        rms=float(np.sqrt(statistics.squares / statistics.count)) if known else 0.0,
    )


def _map(path: Path, header: MrcHeader) -> tuple[np.ndarray, mmap.mmap]:
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    shape = (header.nz, header.ny, header.nx)
    return np.ndarray(shape, header.dtype, buffer=pages, offset=header.data_offset), pages


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


def _unpacked_map(path: Path, header: MrcHeader) -> np.ndarray:
    """The values of a compressed map; no more is unpacked than its header promises, nothing if that cannot be there."""
    expected = header.data_offset + header.nz * header.image_bytes
    found = path.stat().st_size * _MOST_COMPRESSION
    raw = unpacked(path, expected) if expected <= found else b""
    if len(raw) < expected:
        raise ParticleFileError(
            f"{path}: truncated: the header promises {header.nz} sections of {header.nx} x {header.ny} voxels "
            f"({expected} bytes), which the compressed file does not hold; copy it again"
        )
    values = np.frombuffer(raw, header.dtype, offset=header.data_offset)
    return values.reshape(header.nz, header.ny, header.nx).astype(np.float32)


def _is_run(indices: np.ndarray) -> bool:
    return bool(indices[-1] - indices[0] == len(indices) - 1 and (np.diff(indices) == 1).all())


def _isotropic_voxel(path: Path, header: MrcHeader) -> float:
    x, y, z = header.voxel_size_A
    if x <= 0:
        raise ParticleFileError(f"{path}: the header has no pixel size; give pixel_size_A")
    if max(abs(x - y), abs(x - z)) > 0.001 * x:
        raise ParticleFileError(f"{path}: voxels are {x:g} x {y:g} x {z:g} A; give pixel_size_A or resample the map")
    return x
