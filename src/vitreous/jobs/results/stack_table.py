"""A STAR file that names the images of a stack of averages, in RELION's form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from vitreous.particles import Table, image_name, write_star

__all__ = ["write_stack_table"]


def write_stack_table(
    path: str | Path, stack: str, shape: tuple[int, ...], pixel_size_A: float, columns: Mapping[str, ArrayLike]
) -> None:
    """Write ``path`` for the images of ``stack`` of shape (n, L, L), with further columns (n,) each."""
    count, box = shape[0], shape[-1]
    optics: dict[str, list[Any]] = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnImagePixelSize": [pixel_size_A],
        "rlnImageSize": [box],
        "rlnImageDimensionality": [2],
    }
    names: dict[str, ArrayLike] = {
        "rlnImageName": [image_name(i, stack) for i in range(count)],
        "rlnOpticsGroup": [1] * count,
    }
    write_star(path, {"optics": Table.from_arrays(optics), "particles": Table.from_arrays({**names, **columns})})
