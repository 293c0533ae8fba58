"""A STAR file that names the images of a stack of averages, in RELION's form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from vitreous.particles import Table, image_name, write_star

__all__ = ["write_stack_table"]


def write_stack_table(
    path: str | Path,
    stack: str,
    shape: tuple[int, ...],
    pixel_size_A: float,
    columns: Mapping[str, ArrayLike],
    *,
    optics_columns: Mapping[str, float] | None = None,
) -> None:
    """Write ``path`` for the images of ``stack`` of shape (n, L, L), with further columns (n,) each.

    ``optics_columns`` are further columns of the only optics group.
    """
    count, box = shape[0], shape[-1]
    optics: dict[str, list[Any]] = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnImagePixelSize": [pixel_size_A],
        "rlnImageSize": [box],
        "rlnImageDimensionality": [2],
        **{name: [value] for name, value in (optics_columns or {}).items()},
    }
    names: dict[str, ArrayLike] = {
        "rlnImageName": [image_name(i, stack) for i in range(count)],
        "rlnOpticsGroup": [1] * count,
    }
    write_star(path, {"optics": Table.from_arrays(optics), "particles": Table.from_arrays({**names, **columns})})
