"""Image names that lead to the same files from another place."""

from pathlib import Path

import numpy as np

from vitreous.particles.images import ImageFiles, file_of, search_folders
from vitreous.particles.table import Table

__all__ = ["with_names_from"]


def with_names_from(path: Path, table: Table, images: ImageFiles, project: Path | None) -> Table:
    """The table of particles as it is written to ``path``: names that would not be found from there are absolute."""
    if images.held is not None:
        return table
    folders, moved = search_folders(path, project), {}
    for code in np.unique(images.code).tolist():
        found, name = images.paths[code], images.names[code]
        file = file_of(name)
        first = next((f / file for f in folders if (f / file).exists()), None) if found is not None else None
        if found is not None and (first is None or not first.samefile(found)):
            moved[code] = str(found.resolve()) + name.removeprefix(file)
    if not moved:
        return table
    names = table.text("rlnImageName")
    for row in np.flatnonzero(np.isin(images.code, list(moved))):
        number, at, _ = names[row].partition("@")
        names[row] = number + at + moved[images.code[row]] if at else moved[images.code[row]]
    return table.with_columns({"rlnImageName": names})
