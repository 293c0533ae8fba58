"""What the commands have in common: the line as it was typed, and what is said when a job is stopped."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitreous.iterate import Interrupted
from vitreous.words import SaidElsewhereError, first_process

__all__ = ["said_by_the_first", "saying_how_to_go_on", "typed_command"]


def typed_command() -> str:
    """The command line as it was typed, for the records of a job."""
    return shlex.join(["vitreous", *sys.argv[1:]])


@contextmanager
def said_by_the_first() -> Iterator[None]:
    """What is wrong with the settings is wrong in all processes that torchrun starts; the first one says it."""
    try:
        yield
    except ValueError as error:
        if first_process():
            raise
        raise SaidElsewhereError(str(error)) from error


@contextmanager
def saying_how_to_go_on(output: Path) -> Iterator[None]:
    """When the job within is stopped, say how it continues; it ends as KeyboardInterrupt."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        if first_process():
            print(f"stopped; the same command with --resume goes on in {output}", file=sys.stderr)
        raise KeyboardInterrupt from stop
