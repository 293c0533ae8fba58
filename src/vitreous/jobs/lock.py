"""A folder belongs to one living process at a time."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["FolderInUseError", "holder", "locked"]

NAME = ".lock"


class FolderInUseError(ValueError):
    """Another process is working in the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock file, which names this process; the lock of a dead process is taken over.

    Raises
    ------
    FolderInUseError
        When a living process holds it, or one on another host of which nothing can be known.
    """
    path = folder / NAME
    mine = json.dumps(_this_process())
    _acquire(path, mine)
    try:
        yield
    finally:
        if path.is_file() and path.read_text() == mine:
            path.unlink()


def holder(folder: Path) -> str | None:
    """Who works in the folder ("process 123 on host"), or None when nobody who lives does."""
    owner = _read(folder / NAME)
    return f"process {owner['pid']} on {owner['host']}" if owner and _may_live(owner) else None


def _acquire(path: Path, mine: str) -> None:
    for _ in range(2):
        try:
            with path.open("x") as file:
                file.write(mine)
            return
        except FileExistsError:
            who = holder(path.parent)
            if who:
                raise FolderInUseError(
                    f"{path.parent} is in use by {who}; choose another folder, or remove {path} "
                    "when you know that this process is gone"
                ) from None
            path.unlink(missing_ok=True)
    raise FolderInUseError(f"{path.parent} was taken by another process just now; choose another folder")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        owner = json.loads(path.read_text())
        return owner if {"pid", "host", "born"} <= set(owner) else None
    except (OSError, ValueError, TypeError):
        return None


def _this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "born": _born(os.getpid())}


def _may_live(owner: dict[str, Any]) -> bool:
    if owner["host"] != socket.gethostname():
        return True
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return bool(owner["born"] == _born(owner["pid"]))


def _born(pid: int) -> str | None:
    """Start time of a process in clock ticks where /proc tells: numbers of processes are used again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
