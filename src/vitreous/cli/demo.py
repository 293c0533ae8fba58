"""``vitreous demo``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vitreous.cli.common import typed_command
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.demo import run_demo

__all__ = ["demo"]


def demo(
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))] = Path("demo"),
    particles: Annotated[int, Parameter(name=("--particles", "-n"))] = 3000,
    classes: int = 30,
    seed: int = 0,
    model: bool = True,
    threads: Annotated[int | None, Parameter(name=("--threads", "--j"))] = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Simulate particles, go all the way to a refined map, and compare the results with the truth.

    Parameters
    ----------
    output
        Folder for the results; made when it is not there.
    particles
        How many to simulate.
    classes
        Number of class averages.
    seed
        Of everything random.
    model
        Go on from the class averages to models and a refined map.
    threads
        Processor threads; all when not given.
    overwrite
        Remove the results of an earlier demo in the folder and start again.
    json
        One line of JSON per event on standard output; text for humans goes to standard error.
    """
    run_demo(
        output,
        particles=particles,
        classes=classes,
        seed=seed,
        model=model,
        options=RunOptions(threads=threads, overwrite=overwrite, resume=not overwrite, json=json),
        command=typed_command(),
    )
