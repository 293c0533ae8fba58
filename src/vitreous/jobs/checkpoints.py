"""Checkpoints: one npz per iteration, atomic, the last two kept."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vitreous.iterate import state_from_arrays, state_to_arrays
from vitreous.particles import atomic_path, read_arrays

__all__ = ["load_newest", "save_checkpoint"]

S = TypeVar("S")

FOLDER = "checkpoints"
KEPT = 2
DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError)
NAME = re.compile(r"it(\d+)\.npz")


def save_checkpoint(folder: str | Path, state: Any) -> Path:
    """Write ``checkpoints/it######.npz`` in the job folder and remove all but the last two.

    The file appears under its name only when it is complete and on the disk. Without pickle: any NumPy reads it.
    """
    directory = Path(folder) / FOLDER
    directory.mkdir(parents=True, exist_ok=True)
    arrays = state_to_arrays(state)
    path = directory / f"it{state.iteration:06d}.npz"
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    for _, old in _by_iteration(directory)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def load_newest(folder: str | Path, cls: type[S], *, say: Callable[[str], object]) -> S | None:
    """The newest readable state of the job folder, or None; ``say`` hears of every file that is skipped.

    Reading verifies the checksum of every array, so a torn or altered file is never taken for a state.
    """
    for number, path in reversed(_by_iteration(Path(folder) / FOLDER)):
        try:
            state = state_from_arrays(cls, read_arrays(path))
            if state.iteration != number:  # type: ignore[attr-defined]
                raise ValueError(f"it holds iteration {state.iteration}")  # type: ignore[attr-defined]
            return state
        except DAMAGED as error:
            say(f"{path} cannot be used ({str(error) or type(error).__name__}); going back to the one before")
    return None


def _by_iteration(directory: Path) -> list[tuple[int, Path]]:
    found = [(NAME.fullmatch(path.name), path) for path in directory.glob("it*.npz")]
    return sorted((int(match.group(1)), path) for match, path in found if match)
