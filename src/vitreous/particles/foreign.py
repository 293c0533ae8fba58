"""Files of other programs that are not read here: recognised, and answered with what to do."""

import gzip
import zlib
from pathlib import Path

from vitreous.particles.errors import ParticleFileError

__all__ = ["GZIP", "refuse_foreign", "unpacked"]

GZIP = b"\x1f\x8b"  # what a compressed file begins with

_STACK = (
    "convert it, for instance by `e2proc2d.py {name} {stem}.mrcs` of EMAN2, or a map by `e2proc3d.py {name} {stem}.mrc`"
)
_BY_SUFFIX = {
    ".hdf": f"an HDF file of EMAN2: {_STACK}",
    ".h5": f"an HDF file: {_STACK}",
    ".hed": f"an IMAGIC stack: {_STACK}",
    ".img": f"an IMAGIC stack: {_STACK}",
    ".spi": f"a SPIDER stack: {_STACK}",
    ".stk": f"a SPIDER stack: {_STACK}",
    ".lst": "a list of EMAN2: convert it by `e2proclst.py {name} --create {stem}.mrcs`, or give the stack",
    ".csg": "a cryoSPARC result group: give the .cs file that it names, and its passthrough file (--passthrough)",
    ".db": "a database of cisTEM: export the particles from it as a RELION stack and .star file",
    ".par": "a parameter file of Frealign or cisTEM: give the .star file that cisTEM exports beside it",
    ".tif": "a TIFF file: convert it to .mrcs, for instance by `tif2mrc` of IMOD",
    ".tiff": "a TIFF file: convert it to .mrcs, for instance by `tif2mrc` of IMOD",
    ".gz": "a compressed file: unpack it by `gunzip {name}`",
    ".bz2": "a compressed file: unpack it by `bunzip2 {name}`",
    ".zip": "a compressed file: unpack it by `unzip {name}`",
}
_BY_CONTENT = {
    b"\x89HDF\r\n\x1a\n": ".hdf",
    b"SQLite format 3": ".db",
    GZIP: ".gz",
    b"PK\x03\x04": ".zip",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


def refuse_foreign(path: Path) -> None:
    """ParticleFileError, which says what the file is and what to do, for a file that is not read here.

    What a file is its first bytes say or, where they do not, the end of its name.
    """
    with path.open("rb") as file:
        start = file.read(16)
    suffix = next((kind for magic, kind in _BY_CONTENT.items() if start.startswith(magic)), path.suffix.lower())
    if suffix in _BY_SUFFIX:
        words = _BY_SUFFIX[suffix].format(name=path.name, stem=path.stem)
        raise ParticleFileError(f"{path}: {words}")


def unpacked(path: Path, most: int) -> bytes:
    """The first ``most`` bytes of a file that gzip has compressed, or all if it has fewer.

    No more is unpacked, whatever the file would grow to. Raises ParticleFileError for a damaged file.
    """
    try:
        with gzip.open(path) as file:
            return file.read(most)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ParticleFileError(f"{path}: the compressed file is damaged ({error}); copy it again") from error
