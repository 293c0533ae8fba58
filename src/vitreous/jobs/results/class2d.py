"""The files of a finished 2D classification, read back: what the report and the selection start from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.particles import StarFile, Table, open_stack, read_arrays, read_star

__all__ = [
    "CLASSIFICATIONS",
    "FILES",
    "NO_RESOLUTION_A",
    "SELECTION_FILES",
    "Class2DFolder",
    "Examples",
    "open_class2d_folder",
    "read_examples",
    "write_examples",
]

CLASSIFICATIONS = ("class2d", "mra")  # jobs that write these files
NO_RESOLUTION_A = 999.0  # what RELION writes for a class without resolution
EXAMPLES = "examples.npz"
SELECTION_FILES = (  # what `select` adds to the folder of any 2D job
    "selected.star", "excluded.star", "class_averages.star", "backup_selection.star", "class_selection.star",
)  # fmt: skip
FILES = (
    "run_it[0-9][0-9][0-9]_classes.mrcs",
    *(f"run_it[0-9][0-9][0-9]_{kind}.star" for kind in ("data", "model", "optimiser", "sampling")),
    "run_classes.mrcs",
    "run_class_halves.mrcs",
    "run_data.star",
    "run_model.star",
    "run_optimiser.star",
    "run_sampling.star",
    EXAMPLES,
    "RELION_OUTPUT_NODES.star",
    *SELECTION_FILES,
)
NEEDED = ("run_classes.mrcs", "run_model.star", "run_data.star")


@dataclass(frozen=True, kw_only=True)
class Class2DFolder:
    """K classes of box L, n particles."""

    path: Path
    averages: np.ndarray  # (K, L, L)
    halves: np.ndarray | None  # (K, 2, L, L), None when they were not kept
    model: StarFile
    data: StarFile

    @property
    def general(self) -> Table:
        """One row of figures about the whole model."""
        return self.model["model_general"]

    @property
    def classes(self) -> Table:
        """One row per class."""
        return self.model["model_classes"]

    @property
    def class_number(self) -> np.ndarray:
        """(n,) from 1; 0 for refused particles."""
        return self.data["particles"].numbers("rlnClassNumber").astype(int)

    @property
    def population(self) -> np.ndarray:
        """(K,) particles whose most probable class it is."""
        return np.bincount(self.class_number, minlength=len(self.averages) + 1)[1 : len(self.averages) + 1]

    @property
    def resolution_A(self) -> np.ndarray:
        """(K,), inf where nothing was found."""
        column = self.classes.numbers("rlnEstimatedResolution")
        return np.where(column >= NO_RESOLUTION_A, np.inf, column)


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Some particles, rotated and shifted onto their class average. m images of box L."""

    images: np.ndarray  # (m, L, L)
    class_number: np.ndarray  # (m,) from 1
    particle: np.ndarray  # (m,) row in run_data.star, from 1

    def of(self, number: int) -> list[tuple[np.ndarray, int]]:
        """Image and particle number of the examples of one class."""
        mine = np.flatnonzero(self.class_number == number)
        return [(self.images[i], int(self.particle[i])) for i in mine]


def open_class2d_folder(folder: str | Path) -> Class2DFolder:
    """Read the results in a job folder.

    Raises
    ------
    JobFolderError
        When a file is missing: the folder is not that of a finished 2D classification.
    """
    path = Path(folder)
    missing = [name for name in NEEDED if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished 2D classification")
    averages = _read_stack(path / "run_classes.mrcs")
    halves = path / "run_class_halves.mrcs"
    return Class2DFolder(
        path=path,
        averages=averages,
        halves=_read_stack(halves).reshape(-1, 2, *averages.shape[1:]) if halves.is_file() else None,
        model=read_star(path / "run_model.star"),
        data=read_star(path / "run_data.star"),
    )


def write_examples(folder: str | Path, examples: Examples) -> None:
    """Keep example particles for the report (``examples.npz``, half precision)."""
    np.savez_compressed(
        Path(folder) / EXAMPLES,
        images=examples.images.astype(np.float16),
        class_number=examples.class_number,
        particle=examples.particle,
    )


def read_examples(folder: str | Path) -> Examples | None:
    """The example particles of a job folder, or None."""
    path = Path(folder) / EXAMPLES
    if not path.is_file():
        return None
    arrays = read_arrays(path)
    return Examples(**{name: arrays[name] for name in ("images", "class_number", "particle")})


def _read_stack(path: Path) -> np.ndarray:
    stack = open_stack(path)
    return stack.read(np.arange(len(stack)))
