"""Where particles were found: tables with micrographs and coordinates, cryoSPARC's, files of single micrographs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.micrographs.listing import ListedMicrograph, located
from vitreous.particles import ParticleFileError, StarFile, Table, read_star
from vitreous.particles.cryosparc import read_locations
from vitreous.particles.errors import require_file
from vitreous.particles.optics_groups import group_index, synthesise_optics

__all__ = ["Coordinates", "coordinates_of_job", "read_coordinates"]

X, Y, NAME, FILE = "rlnCoordinateX", "rlnCoordinateY", "rlnMicrographName", "rlnMicrographCoordinates"


@dataclass(frozen=True, kw_only=True, eq=False)
class Coordinates:
    """Particles in micrographs, a row each."""

    table: Table  # with rlnMicrographName, rlnCoordinateX, rlnCoordinateY
    optics: Table | None = None  # that the table's groups are of
    box_px: int | None = None  # side that .box files state
    pixel_size_A: Mapping[str, float] | None = None  # of micrographs by name, where the table says

    @property
    def coordinate_px(self) -> np.ndarray:
        """(n, 2) x and y from the centre of the first pixel of the micrograph."""
        return np.stack([self.table.numbers(X), self.table.numbers(Y)], axis=1)

    def origin_A(self) -> np.ndarray:
        """(n, 2) shifts that centre the boxes which the table is of, in Angstrom; zeros where it has none.

        Raises ParticleFileError for shifts in pixels (RELION 3.0) of an unknown size.
        """
        table = self.table
        if "rlnOriginXAngst" in table and "rlnOriginYAngst" in table:
            return np.stack([table.numbers("rlnOriginXAngst"), table.numbers("rlnOriginYAngst")], axis=1)
        if "rlnOriginX" not in table or "rlnOriginY" not in table:
            return np.zeros((len(table), 2))
        optics, group = (self.optics, None) if self.optics is not None else synthesise_optics(table)
        if "rlnImagePixelSize" not in optics:
            raise ParticleFileError(
                f"{table.path}: rlnOriginX is in pixels of the boxes, and the file has no rlnImagePixelSize"
            )
        size_A = optics.numbers("rlnImagePixelSize")[group_index(table, optics) if group is None else group]
        return np.stack([table.numbers("rlnOriginX"), table.numbers("rlnOriginY")], axis=1) * size_A[:, None]


def coordinates_of_job(path: Path) -> Coordinates:
    """The picks of a ``pick`` job from its ``picks.star``."""
    return _of_table(read_star(path), path)


def read_coordinates(
    paths: Sequence[Path], micrographs: Sequence[ListedMicrograph] | None, *, project: Path | None = None
) -> Coordinates:
    """Coordinates from one STAR table or .cs file, RELION's list of coordinate files, or files of single micrographs.

    The latter, STAR or .box, belong to the micrograph whose name theirs is, or begins with before an underscore
    (``m1_autopick.star``). Raises ParticleFileError for files without coordinates, for several tables, and for a file
    that belongs to none of the ``micrographs``.
    """
    first = paths[0]
    if first.suffix.lower() == ".cs":
        return _of_cryosparc(paths)
    if first.suffix.lower() == ".star":
        blocks = read_star(first)
        listed = next((t for t in blocks.values() if FILE in t and NAME in t), None)
        if listed is not None:
            files = [located(name, first, project) for name in listed.text(FILE)]
            return _joined(_of_files(files), listed.text(NAME).tolist(), first)
        if any(NAME in t and X in t for t in blocks.values()):
            if len(paths) > 1:
                raise ParticleFileError(
                    f"{first} names micrographs for its coordinates, and {len(paths) - 1} more file(s) were given; "
                    "expected one such table"
                )
            return _of_table(blocks, first)
    if micrographs is None:
        raise ParticleFileError(
            f"{first}: coordinates without {NAME}: give the micrographs that they are in (--micrographs)"
        )
    return _joined(_of_files(paths), [_owner(path, micrographs).name for path in paths], first)


def _of_table(blocks: StarFile, path: Path) -> Coordinates:
    table = next((t for name, t in blocks.items() if name != "optics" and NAME in t), None)
    if table is None or len(table) == 0:
        raise ParticleFileError(f"{path}: no coordinates: no block has rows with the column {NAME}")
    for name in (X, Y):
        table.numbers(name, "cutting boxes out of micrographs")
    optics = blocks.get("optics")
    sizes = None
    if "rlnMicrographPixelSize" in table:
        sizes = table.numbers("rlnMicrographPixelSize")
    elif optics is not None and "rlnMicrographPixelSize" in optics:
        sizes = optics.numbers("rlnMicrographPixelSize")[group_index(table, optics)]
    known = None if sizes is None else dict(zip(table.text(NAME).tolist(), sizes.tolist(), strict=True))
    return Coordinates(table=table, optics=optics, pixel_size_A=known)


def _of_cryosparc(paths: Sequence[Path]) -> Coordinates:
    if len(paths) > 1:
        raise ParticleFileError(f"{paths[0]} is a cryoSPARC file, and {len(paths) - 1} more were given; expected one")
    table = read_locations(paths[0])
    if not len(table):
        raise ParticleFileError(f"{paths[0]}: no coordinates")
    return Coordinates(table=table)


def _of_files(paths: Sequence[Path]) -> list[tuple[Table, int | None]]:
    return [_box(path) if path.suffix.lower() == ".box" else (_coordinate_table(path), None) for path in paths]


def _coordinate_table(path: Path) -> Table:
    blocks = read_star(path)
    table = next((t for t in blocks.values() if X in t and Y in t), None)
    if table is None:
        names = [name for t in blocks.values() for name in t.names]
        raise ParticleFileError(f"{path}: no coordinates: expected columns {X} and {Y}, found {', '.join(names)}")
    return table


def _box(path: Path) -> tuple[Table, int | None]:
    """x and y of the corner with the lowest ones, width and height, one box a line (EMAN)."""
    rows = []
    for number, line in enumerate(require_file(path, "a .box file").read_text().splitlines(), 1):
        try:
            values = [float(word) for word in line.split()[:4]]
        except ValueError:
            values = []
        if line.strip() and len(values) != 4:
            raise ParticleFileError(f"{path}:{number}: {line[:60]!r}; expected x, y, width and height of a box")
        rows += [values] if line.strip() else []
    boxes = np.array(rows).reshape(-1, 4)
    side = int(boxes[0, 2]) if len(boxes) else None
    return Table.from_arrays({X: boxes[:, 0] + boxes[:, 2] // 2, Y: boxes[:, 1] + boxes[:, 3] // 2}), side


def _joined(found: Sequence[tuple[Table, int | None]], names: Sequence[str], path: Path) -> Coordinates:
    """One table of several, with the columns that all of them have."""
    filled = [(table, name) for (table, _), name in zip(found, names, strict=True) if len(table)]
    if not filled:
        raise ParticleFileError(f"{path}: no coordinates in {len(found)} file(s)")
    shared = [name for name in filled[0][0].names if all(name in table for table, _ in filled)]
    columns = {
        name: np.concatenate([table.text(name) for table, _ in filled]) for name in shared if name not in (X, Y, NAME)
    }
    place = {name: np.concatenate([table.numbers(name) for table, _ in filled]) for name in (X, Y)}
    owner = [name for table, name in filled for _ in range(len(table))]
    sides = [side for _, side in found if side is not None]
    return Coordinates(
        table=Table.from_arrays({NAME: owner, **place, **columns}), box_px=sides[0] - sides[0] % 2 if sides else None
    )


def _owner(path: Path, micrographs: Sequence[ListedMicrograph]) -> ListedMicrograph:
    fitting = [m for m in micrographs if path.stem == m.stem or path.stem.startswith(m.stem + "_")]
    if not fitting:
        raise ParticleFileError(
            f"{path}: none of the {len(micrographs):,} micrographs has this name, or its beginning before an underscore"
        )
    return max(fitting, key=lambda m: len(m.stem))
