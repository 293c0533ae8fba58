"""The 1024 bytes at the start of an MRC file (MRC2014), read with suspicion and written by the book."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.particles.errors import ParticleFileError
from vitreous.particles.foreign import refuse_foreign, unpacked

__all__ = ["HEADER_BYTES", "MAX_SIDE", "MrcHeader", "build_header", "read_compressed_header", "read_header"]

HEADER_BYTES = 1024
_DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_UNSUPPORTED = {3: "complex int16", 4: "complex float32", 101: "4-bit integers", 16: "RGB"}
MAX_SIDE = 1 << 20  # pixels; more is garbage
_MAX_IMAGES = 1 << 31
_IMOD_STAMP = 1146047817  # 'IMOD', in the bytes 152..155 of files written by IMOD

_FIELDS = np.dtype(
    [
        ("nx", "i4"), ("ny", "i4"), ("nz", "i4"), ("mode", "i4"),
        ("nstart", "i4", 3), ("mx", "i4"), ("my", "i4"), ("mz", "i4"),
        ("cella", "f4", 3), ("cellb", "f4", 3), ("mapcrs", "i4", 3),
        ("dmin", "f4"), ("dmax", "f4"), ("dmean", "f4"), ("ispg", "i4"), ("nsymbt", "i4"),
        ("extra1", "V8"), ("exttyp", "S4"), ("nversion", "i4"), ("extra2", "V40"),
        ("imod_stamp", "i4"), ("imod_flags", "i4"), ("extra3", "V36"),
        ("origin", "f4", 3), ("map", "S4"), ("machst", "u1", 4), ("rms", "f4"),
        ("nlabl", "i4"), ("label", "S80", 10),
    ]
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MrcHeader:
    """What the header says that matters here."""

    nx: int
    ny: int
    nz: int
    dtype: np.dtype  # of the pixels in the file, with its byte order
    data_offset: int  # bytes before the first pixel
    pixel_size_A: float  # 0.0 where the header does not say
    voxel_size_A: tuple[float, float, float]  # along the file's axes x, y, z
    axis_order: tuple[int, int, int]  # which of x, y, z (1, 2, 3) runs along columns, rows, sections
    space_group: int = 0  # 0: images; 1: a volume, as some programs say of images too; 401: volumes
    origin_A: tuple[float, float, float]  # ORIGIN, along x, y, z
    start_px: tuple[int, int, int]  # NXSTART, NYSTART, NZSTART, along x, y, z

    @property
    def is_volume(self) -> bool:
        """A cube that says that it is a volume: neither alone would tell it from a stack of images."""
        return self.nx == self.ny == self.nz > 1 and self.space_group in (1, 401)

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return self.nx * self.ny * self.dtype.itemsize

    def origin(self, pixel_size_A: float) -> tuple[float, float, float]:
        """Where the first voxel is (x, y, z in Angstrom): ORIGIN, or the start indices where that is zero."""
        if any(self.origin_A):
            return self.origin_A
        x, y, z = self.start_px
        return x * pixel_size_A, y * pixel_size_A, z * pixel_size_A


def read_header(path: Path) -> MrcHeader:
    """Read and judge the header of an MRC file; ParticleFileError names the file and what is wrong.

    The byte order is the one that gives sensible numbers; the machine stamp and the MAP string, which many programs
    leave out, only decide where both orders do. Mode 0 is signed (MRC2014) unless an IMOD header or the density
    range says that it is not.
    """
    with path.open("rb") as file:
        raw = file.read(HEADER_BYTES)
    return _judged(path, raw, path.stat().st_size)


def read_compressed_header(path: Path) -> MrcHeader:
    """:func:`read_header` of a file that gzip has compressed; how long it is unpacked is not known here."""
    return _judged(path, unpacked(path, HEADER_BYTES), None)


def _judged(path: Path, raw: bytes, size: int | None) -> MrcHeader:
    if len(raw) < HEADER_BYTES:
        if size is not None:
            refuse_foreign(path)
        raise ParticleFileError(f"{path}: not an MRC file: {len(raw)} bytes; the header alone has {HEADER_BYTES}")
    order, h = _byte_order(path, raw, size)
    mode = int(h["mode"])
    kind = "u1" if mode == 0 and _mode_0_is_unsigned(h) else _DTYPES[mode]
    voxel = (_voxel(h["cella"][0], h["mx"]), _voxel(h["cella"][1], h["my"]), _voxel(h["cella"][2], h["mz"]))
    columns, rows, sections = (int(a) for a in h["mapcrs"])
    axes = (columns, rows, sections) if {columns, rows, sections} == {1, 2, 3} else (1, 2, 3)
    header = MrcHeader(
        nx=int(h["nx"]),
        ny=int(h["ny"]),
        nz=int(h["nz"]),
        dtype=np.dtype(order + kind),
        data_offset=HEADER_BYTES + int(h["nsymbt"]),
        space_group=int(h["ispg"]),
        pixel_size_A=voxel[0],
        voxel_size_A=voxel,
        axis_order=axes,
        origin_A=_origin(h),
        start_px=_start(h, axes),
    )
    if size is not None:
        _check_complete(path, header, size)
    return header


def build_header(
    *,
    shape: tuple[int, int, int],
    dtype: np.dtype,
    pixel_size_A: float,
    is_volume: bool,
    minimum: float,
    maximum: float,
    mean: float,
    rms: float,
    origin_A: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> bytes:
    """The header of a little-endian float32 or float16 file of shape (nz, ny, nx): a stack of images or a volume.

    NXSTART and its like are 0, as RELION writes them; ``origin_A`` (x, y, z of the first voxel) is ORIGIN.
    """
    nz, ny, nx = shape
    h = np.zeros((), dtype=_FIELDS.newbyteorder("<"))
    h["nx"], h["ny"], h["nz"] = nx, ny, nz
    h["mode"] = {4: 2, 2: 12}[dtype.itemsize]
    h["mx"], h["my"], h["mz"] = nx, ny, nz if is_volume else 1
    h["cella"] = [n * pixel_size_A for n in (nx, ny, nz if is_volume else 1)]
    h["cellb"] = 90.0
    h["mapcrs"] = 1, 2, 3
    h["origin"] = origin_A
    h["dmin"], h["dmax"], h["dmean"], h["rms"] = minimum, maximum, mean, rms
    h["ispg"] = 1 if is_volume else 0
    h["nversion"] = 20141
    h["map"] = b"MAP "
    h["machst"] = 0x44, 0x44, 0, 0
    h["nlabl"] = 1
    h["label"][0] = b"vitreous"
    return h.tobytes()


def _byte_order(path: Path, raw: bytes, size: int | None) -> tuple[str, np.void]:
    headers = {
        "<": np.frombuffer(raw, dtype=_FIELDS.newbyteorder("<"))[0],
        ">": np.frombuffer(raw, dtype=_FIELDS.newbyteorder(">"))[0],
    }
    sensible = [order for order, h in headers.items() if _is_sensible(h)]
    if not sensible:
        if size is not None:
            refuse_foreign(path)
        raise ParticleFileError(_why_not(path, headers))
    if len(sensible) == 2:
        stamp = raw[212]
        stamped = {0x44: "<", 0x11: ">"}.get(stamp)
        fitting = [o for o in sensible if size is not None and _data_bytes(headers[o]) == size - HEADER_BYTES]
        sensible = fitting if len(fitting) == 1 else [stamped or "<"]
    return sensible[0], headers[sensible[0]]


def _is_sensible(h: np.void) -> bool:
    return (
        int(h["mode"]) in _DTYPES
        and 0 < int(h["nx"]) <= MAX_SIDE
        and 0 < int(h["ny"]) <= MAX_SIDE
        and 0 < int(h["nz"]) <= _MAX_IMAGES
        and int(h["nsymbt"]) >= 0
    )


def _data_bytes(h: np.void) -> int:
    pixel = np.dtype(_DTYPES[int(h["mode"])]).itemsize
    return int(h["nsymbt"]) + int(h["nx"]) * int(h["ny"]) * int(h["nz"]) * pixel


def _why_not(path: Path, headers: dict[str, np.void]) -> str:
    h = headers[">"] if int(headers[">"]["mode"]) in (*_DTYPES, *_UNSUPPORTED) else headers["<"]
    if int(h["mode"]) in _UNSUPPORTED and 0 < int(h["nx"]) <= MAX_SIDE:
        return f"{path}: MRC mode {int(h['mode'])} ({_UNSUPPORTED[int(h['mode'])]}) is not read; convert to mode 2"
    return (
        f"{path}: not an MRC file: the header says {int(h['nx'])} x {int(h['ny'])} x {int(h['nz'])} pixels, mode "
        f"{int(h['mode'])}, {int(h['nsymbt'])} bytes of extended header; expected positive sizes and mode "
        f"{', '.join(map(str, _DTYPES))}"
    )


def _mode_0_is_unsigned(h: np.void) -> bool:
    if int(h["imod_stamp"]) == _IMOD_STAMP:
        return not int(h["imod_flags"]) & 1
    # A density above 127 cannot come from signed bytes: written before MRC2014 settled the matter.
    return bool(127 < float(h["dmax"]) <= 255 and float(h["dmin"]) >= 0)


def _check_complete(path: Path, header: MrcHeader, size: int) -> None:
    expected = header.data_offset + header.nz * header.image_bytes
    if size < expected:
        whole = max(0, size - header.data_offset) // header.image_bytes
        raise ParticleFileError(
            f"{path}: truncated: the header promises {header.nz} images of {header.nx} x {header.ny} pixels "
            f"({expected} bytes), the file has {size} bytes, {whole} whole images; copy it again"
        )


def _voxel(cell: float, intervals: int) -> float:
    size = float(cell) / int(intervals) if int(intervals) > 0 else 0.0
    # The header holds the cell in float32: digits beyond the sixth are noise (5.36 became 5.3599998).
    return float(f"{size:.6g}") if np.isfinite(size) and size > 0 else 0.0


def _origin(h: np.void) -> tuple[float, float, float]:
    """ORIGIN; files from before 2000, which have no MAP string, have something else in these bytes."""
    x, y, z = (float(f"{float(value):.6g}") for value in h["origin"])
    known = bytes(h["map"]).startswith(b"MAP") and np.isfinite([x, y, z]).all()
    return (x, y, z) if known else (0.0, 0.0, 0.0)


def _start(h: np.void, axes: tuple[int, int, int]) -> tuple[int, int, int]:
    """NXSTART and its like count columns, rows and sections: put in the order x, y, z. Those of garbage are 0."""
    x, y, z = (int(h["nstart"][axes.index(axis)]) for axis in (1, 2, 3))
    return (x, y, z) if max(abs(x), abs(y), abs(z)) <= MAX_SIDE else (0, 0, 0)
