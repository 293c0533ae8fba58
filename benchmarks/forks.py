"""The command line in a copy of this process: what is imported and compiled once serves every run."""

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch

from vitreous.cli import main

__all__ = ["Ended", "in_a_fork", "in_this_process"]

ASK_S = 0.02  # how often a copy is asked whether it has ended
UNCLEAN = 70  # status of one that an exception has ended which the command line does not know


@dataclass(frozen=True, kw_only=True)
class Ended:
    """status: of the run, negative for a signal; said: the last line on standard error; out: standard output."""

    status: int
    said: str
    out: str
    seconds: float

    @property
    def clean(self) -> bool:
        """Well, or with a sentence."""
        return self.status == 0 or (self.status == 1 and self.said.startswith("vitreous: "))


def in_this_process(words: Sequence[str], folder: Path) -> Ended:
    """Run a command in ``folder``; what it compiles is there for the copies that follow."""
    torch.set_num_threads(1)
    start, before = time.perf_counter(), Path.cwd()
    os.chdir(folder)
    try:
        with _kept() as (out, err):
            status = _status(words)
            sys.stdout.flush()
            sys.stderr.flush()
            return Ended(status=status, said=_last(err), out=out.read_text(), seconds=time.perf_counter() - start)
    finally:
        os.chdir(before)


def in_a_fork(
    words: Sequence[str],
    folder: Path,
    *,
    kill: tuple[float, int] | None = None,
    first: Callable[[], None] = lambda: None,
    during: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a command in a copy of this process.

    kill: after so many seconds, by this signal; first: done in the copy before the command; during: done here as soon
    as the copy works.
    """
    start = time.perf_counter()
    with _kept() as (out, err):
        pid = os.fork()
        if pid == 0:
            status = UNCLEAN
            try:
                os.chdir(folder)
                first()
                status = _status(words)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)
        during()
        status = _waited(pid, kill)
        return Ended(status=status, said=_last(err), out=out.read_text(), seconds=time.perf_counter() - start)


def _status(words: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        return main(list(words))
    except BaseException:  # noqa: BLE001 a copy must not go on with the work of its parent
        traceback.print_exc()
        return UNCLEAN


def _waited(pid: int, kill: tuple[float, int] | None) -> int:
    end = None if kill is None else time.perf_counter() + kill[0]
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if kill is not None and end is not None and time.perf_counter() > end:
            os.kill(pid, kill[1])
            end = None
        time.sleep(ASK_S)


class _kept:
    """Standard output and error go to files, whose paths are given, until the block ends."""

    def __enter__(self) -> tuple[Path, Path]:
        self._folder = tempfile.TemporaryDirectory()
        paths = Path(self._folder.name, "out"), Path(self._folder.name, "err")
        self._files = [path.open("w") for path in paths]
        self._to = [redirect_stdout(self._files[0]), redirect_stderr(self._files[1])]
        for each in self._to:
            each.__enter__()
        return paths

    def __exit__(self, *ended: object) -> None:
        for each, file in zip(self._to, self._files, strict=True):
            each.__exit__(None, None, None)
            file.close()
        self._folder.cleanup()


def _last(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
