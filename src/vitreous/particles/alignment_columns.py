"""Classes and poses of a result, or of another set, as columns for particles."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vitreous.particles.images import ImageFiles, file_of
from vitreous.particles.table import Table

__all__ = ["ALIGNMENT_COLUMNS", "alignment_columns"]

ALIGNMENT_COLUMNS = (
    "rlnClassNumber",
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
    "rlnIsFlip",
    "rlnRandomSubset",
)


class _Particles(Protocol):
    """What is needed of a particle set."""

    @property
    def path(self) -> Path: ...
    @property
    def table(self) -> Table: ...
    @property
    def images(self) -> ImageFiles: ...


def alignment_columns(particles: _Particles, found: Any) -> dict[str, Any]:
    """Columns by name, each (n,), of n particles.

    found: a result, whose particles, like those of another set, are found by the names of their images; or alignments
    or poses, which belong to the particles in their order. Raises ValueError where particles are missing, TypeError for
    what has no poses.
    """
    if callable(getattr(found, "particles", None)):
        found = found.particles()
    if isinstance(getattr(found, "images", None), ImageFiles):
        table = found.table.take(_rows_of_names(particles, found))
        columns = {name: table[name] for name in ALIGNMENT_COLUMNS if name in table}
        if columns:
            return columns
    for part in (found, getattr(found, "alignments", None), getattr(found, "poses", None)):
        if callable(getattr(part, "columns", None)):
            return dict(part.columns())  # type: ignore[union-attr]
    raise TypeError(f"expected something with poses or classes of particles, found {type(found).__name__}")


def _rows_of_names(particles: _Particles, others: _Particles) -> np.ndarray:
    """Where the particles stand among others, by the names of their images."""
    mine, theirs = (_frame_and_file(one.images) for one in (particles, others))
    place = {name: row for row, name in enumerate(theirs)}
    rows = np.array([place.get(name, -1) for name in mine], dtype=np.int64)
    if (rows < 0).any():
        raise ValueError(
            f"{others.path}: {int((rows < 0).sum()):,} of {len(mine):,} particles are not among its {len(theirs):,}, "
            f"by the names of their images, such as that of particle {int(np.argmin(rows)) + 1}"
        )
    return rows


def _frame_and_file(images: ImageFiles) -> list[tuple[int, str]]:
    files = [Path(file_of(name)).name for name in images.names]
    return [(frame, files[code]) for frame, code in zip(images.frame.tolist(), images.code.tolist(), strict=True)]
