"""What the commands have in common: arguments, options of running, and what is said when a job is stopped."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from vitreous.cli.options import memory_bytes, memory_text
from vitreous.iterate import Interrupted

__all__ = [
    "COMPUTED",
    "DIAMETER",
    "MEMORY",
    "RUN",
    "THREADS",
    "UNUSED",
    "Output",
    "Particles",
    "Passthrough",
    "PixelSize",
    "saying_how_to_go_on",
    "typed_command",
]

COMPUTED, RUN = Group("What is computed", sort_key=1), Group("How it is run", sort_key=2)
DIAMETER = {"particle_diameter_A": ("--particle_diameter",)}  # RELION's name
THREADS = {"threads": ("--j",)}  # RELION's name
MEMORY = Parameter(converter=memory_bytes, show_default=memory_text, metavar="SIZE")
UNUSED = Parameter(show=False)  # accepted, for scripts that give it to every command, but without meaning

Particles = Annotated[Path, Parameter(name=("--particles", "--i"))]
Output = Annotated[Path, Parameter(name=("--output", "-o", "--o"))]
Passthrough = Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="", show_default=False)]
PixelSize = Annotated[float | None, Parameter(name=("--pixel-size-A", "--angpix"))]


def typed_command() -> str:
    """The command line as it was typed, for the records of a job."""
    return shlex.join(["vitreous", *sys.argv[1:]])


@contextmanager
def saying_how_to_go_on(output: Path, *, verb: str = "goes on") -> Iterator[None]:
    """When the job within is stopped, say how it continues; it ends as KeyboardInterrupt."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped; the same command with --resume {verb} in {output}", file=sys.stderr)
        raise KeyboardInterrupt from stop
