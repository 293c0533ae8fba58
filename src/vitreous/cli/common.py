"""What the commands have in common: the line as it was typed, and what is said when a job is stopped."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitreous.iterate import Interrupted

__all__ = ["saying_how_to_go_on", "typed_command"]


def typed_command() -> str:
    """The command line as it was typed, for the records of a job."""
    return shlex.join(["vitreous", *sys.argv[1:]])


@contextmanager
def saying_how_to_go_on(output: Path) -> Iterator[None]:
    """When the job within is stopped, say how it continues; it ends as KeyboardInterrupt."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped; the same command with --resume goes on in {output}", file=sys.stderr)
        raise KeyboardInterrupt from stop
