"""Files that are either complete or absent: written beside their place, synchronised, renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["append_text", "atomic_path", "write_bytes_atomic", "write_text_atomic"]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; on success it is synchronised to disk and renamed to ``path``.

    On an exception the temporary file is removed and an older file at ``path`` is left as it was. The folder must
    exist (FileNotFoundError otherwise). An OSError of the writing, which as a rule does not know what it was about (the
    disk is full), names ``path``.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _finish(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno is None:
            raise OSError(f"{path}: {error}") from error
        if error.filename in (None, str(temporary), temporary):
            error.filename = str(path)
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_bytes_atomic(path: str | Path, data: bytes) -> None:
    """Write ``data``, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def append_text(path: str | Path, text: str) -> None:
    """Add ``text`` as UTF-8 to the end of a file, which is made when it is not there; an OSError names it."""
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        error.filename = str(path)
        raise


def _finish(temporary: Path, path: Path) -> None:
    handle = os.open(temporary, os.O_RDWR)
    try:
        # mkstemp makes files private; what users share follows their umask or the file that is replaced.
        os.fchmod(handle, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
