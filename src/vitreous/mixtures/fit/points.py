"""Clouds of points from files: atoms of a model, tables of coordinates, NumPy arrays."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.particles import read_array, read_arrays
from vitreous.simulate import read_atoms

__all__ = ["POINT_SUFFIXES", "PointCloud", "read_points"]

_ATOMS = (".cif", ".mmcif", ".pdb", ".ent")
_TABLES = (".csv", ".txt", ".tsv", ".xyz")
_ARRAYS = (".npy", ".npz")
POINT_SUFFIXES = (*_ATOMS, *_TABLES, *_ARRAYS)
_ARRAY_NAME = "points"


@dataclass(frozen=True, kw_only=True, eq=False)
class PointCloud:
    """``points_A`` (n, 3) x, y, z; ``times`` (n,) whole numbers: how often every point counts."""

    points_A: np.ndarray
    times: np.ndarray

    def __post_init__(self) -> None:
        points = np.asarray(self.points_A, dtype=np.float64)
        times = np.asarray(self.times)
        if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0 or not np.isfinite(points).all():
            raise ValueError(f"PointCloud.points_A: expected finite (n, 3), found shape {points.shape}")
        if times.shape != points.shape[:1] or times.dtype.kind not in "iu" or times.min() < 1:
            raise ValueError(f"PointCloud.times: expected whole numbers >= 1 ({len(points)},), found {times.shape}")
        object.__setattr__(self, "points_A", points)
        object.__setattr__(self, "times", times.astype(np.int64))

    def __len__(self) -> int:
        return len(self.points_A)

    @property
    def centre_A(self) -> np.ndarray:
        """Centre of mass, (3,)."""
        return np.average(self.points_A, axis=0, weights=self.times)

    def centred(self) -> "PointCloud":
        """The same with its centre of mass at the origin."""
        return PointCloud(points_A=self.points_A - self.centre_A, times=self.times)


def read_points(path: str | Path) -> PointCloud:
    """Points from a model (.cif, .pdb, .ent, also .gz), a table (.csv, .txt, .tsv, .xyz) or an array (.npy, .npz).

    Every heavy atom counts as often as it has electrons, times its occupancy; waters are left out. A table has three
    columns x, y, z in Angstrom, separated by commas, semicolons or white space; what follows # is left out, and one
    line of names may come first. An array is (n, 3); an .npz holds one array, or one called "points".

    Raises FileNotFoundError, and ValueError naming line and column, or row, of what cannot be used.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected points: {', '.join(POINT_SUFFIXES)}.")
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in _ATOMS:
        return _from_atoms(path)
    points = _from_table(path) if suffix in _TABLES else _from_array(path)
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{path}: {bad.sum()} of {len(points)} points have a coordinate that is NaN or infinite, the first of "
            f"them point {int(np.flatnonzero(bad)[0]) + 1}; remove them."
        )
    return PointCloud(points_A=points, times=np.ones(len(points), np.int64))


def _from_atoms(path: Path) -> PointCloud:
    atoms = read_atoms(path)
    if not (np.isfinite(atoms.positions_A).all() and np.isfinite(atoms.weights).all()):
        raise ValueError(f"{path}: an atom has a coordinate or an occupancy that is NaN or infinite; remove it.")
    times = np.rint(atoms.weights).astype(np.int64)
    present = times > 0
    if not present.any():
        raise ValueError(f"{path}: all occupancies are 0, so no atom counts.")
    return PointCloud(points_A=atoms.positions_A[present], times=times[present])


def _from_table(path: Path) -> np.ndarray:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not a text file; expected three columns x, y, z in Angstrom.") from error
    rows: list[list[float]] = []
    names_may_come = True
    for number, line in enumerate(lines, start=1):
        words = [word for word in re.split(r"\s*[,;]\s*|\s+", line.partition("#")[0].strip()) if word]
        if not words:
            continue
        if names_may_come and not any(_is_number(word) for word in words):
            names_may_come = False
            continue
        names_may_come = False
        if len(words) != 3:
            raise ValueError(
                f"{path}, line {number}: expected three columns x, y, z in Angstrom, found {len(words)}; remove what "
                "is not a coordinate."
            )
        rows.append([_number(path, number, column, word) for column, word in enumerate(words, start=1)])
    if not rows:
        raise ValueError(f"{path}: holds no points; expected three columns x, y, z in Angstrom.")
    return np.array(rows)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _number(path: Path, line: int, column: int, word: str) -> float:
    if not _is_number(word):
        raise ValueError(f"{path}, line {line}, column {column}: expected a number, found {word!r}.")
    if not np.isfinite(float(word)):
        raise ValueError(f"{path}, line {line}, column {column}: {word} is no coordinate; remove the point.")
    return float(word)


def _from_array(path: Path) -> np.ndarray:
    array = _only_array(path, read_arrays(path)) if path.suffix.lower() == ".npz" else read_array(path)
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "fiu" or len(array) == 0:
        raise ValueError(
            f"{path}: expected an array of numbers (n, 3) x, y, z in Angstrom, found {array.dtype} of shape "
            f"{array.shape}."
        )
    return array.astype(np.float64)


def _only_array(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    names = list(arrays)
    if _ARRAY_NAME in names or len(names) == 1:
        return arrays[_ARRAY_NAME if _ARRAY_NAME in names else names[0]]
    raise ValueError(f"{path}: expected one array, or one called {_ARRAY_NAME}, found {', '.join(names) or 'none'}.")
