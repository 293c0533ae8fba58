"""A table of named columns that forgets nothing: numbers where they are asked for, the original text when written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vitreous.particles.errors import ParticleFileError
from vitreous.words import folded

__all__ = ["Column", "Table"]


@dataclass(frozen=True, eq=False)
class Column:
    """One column, held as the bytes of the file until its values are asked for.

    ``raw`` is an array of bytes (fixed width, or objects where a fixed width would waste memory) for a column that
    came from text, and an array of numbers for one that was computed.
    """

    raw: np.ndarray

    @classmethod
    def from_tokens(cls, tokens: Sequence[bytes]) -> "Column":
        """A column of text as it stands in a file."""
        return cls(pack_bytes(tokens))

    @classmethod
    def from_values(cls, values: ArrayLike) -> "Column":
        """A column from a one-dimensional array of numbers, booleans or strings (ValueError otherwise)."""
        array = _as_array(values)
        if array.ndim != 1:
            raise ValueError(f"a column has one dimension; found an array of shape {array.shape}")
        if array.dtype.kind in "OUS":
            return cls(pack_bytes([_encode(v) for v in array.tolist()]))
        if array.dtype.kind == "b":
            array = array.astype(np.int64)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"a column holds numbers or text; found an array of type {array.dtype}")
        return cls(array.copy())

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def is_text(self) -> bool:
        """Whether the column is held as text (which may spell numbers)."""
        return self.raw.dtype.kind in "SO"

    @cached_property
    def values(self) -> np.ndarray:
        """int64 (uint64 if it must be), float64, or an object array of str: the first of these that fits every row."""
        if self.raw.dtype.kind in "iu":
            return self.raw.astype(np.uint64 if self.raw.dtype == np.uint64 else np.int64)
        if self.raw.dtype == np.float64:
            return self.raw
        if self.raw.dtype.kind == "f":
            # The shortest decimal form of a float32 is what was meant (2.95, not 2.9500000476837).
            return np.array([float(token) for token in self.tokens()], dtype=np.float64)
        tokens = self.raw.tolist()
        return _numbers(tokens) if _could_be_numbers(tokens) else _decode(tokens)

    def tokens(self) -> list[bytes]:
        """The text of every row: the original, or the shortest decimal form that reads back as the same number."""
        if self.is_text:
            return self.raw.tolist()
        if self.raw.dtype.kind in "iu":
            return [b"%d" % v for v in self.raw.tolist()]
        if self.raw.dtype == np.float64:
            return [repr(v).encode() for v in self.raw.tolist()]
        return [str(v).encode() for v in self.raw]

    def take(self, index: np.ndarray) -> "Column":
        """The rows in ``index`` (integers or a boolean mask)."""
        return Column(self.raw[index])


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """Named columns of equal length, in order; names are without the leading underscore (``rlnDefocusU``).

    ``table[name]`` are the values, ``table.text(name)`` the text. Columns are parsed when first asked for, and what
    is never touched is written back exactly as it was read. ``loop`` remembers the form (loop or name-value pairs);
    ``path`` and ``lines`` say where every row came from.
    """

    columns: dict[str, Column]
    loop: bool = True
    path: Path | None = None
    lines: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of one table have different lengths: {lengths}")

    @classmethod
    def from_arrays(cls, columns: Mapping[str, ArrayLike], *, loop: bool = True) -> "Table":
        """A table from one-dimensional arrays (or sequences) of numbers or strings."""
        return cls(columns={name: Column.from_values(values) for name, values in columns.items()}, loop=loop)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> np.ndarray:
        """A copy of the values of a column: int64, uint64, float64 or object (str)."""
        return self._column(name, "").values.copy()

    def text(self, name: str, purpose: str = "") -> np.ndarray:
        """The text of a column as an object array of str; ``purpose`` completes the message if it is missing."""
        return _decode(self._column(name, purpose).tokens())

    def numbers(self, name: str, purpose: str = "") -> np.ndarray:
        """A column as float64; ParticleFileError names the column if it is missing and the row if it is no number."""
        column = self._column(name, purpose)
        if column.values.dtype.kind == "O":
            row = next(i for i, token in enumerate(column.tokens()) if not _could_be_numbers([token]))
            found = column.tokens()[row].decode("utf-8", "replace")
            raise ParticleFileError(f"{self.where(row)}: {name} is {found!r}; expected a number")
        return column.values.astype(np.float64)

    def where(self, row: int) -> str:
        """``file:line`` of a row, or what can be said about it."""
        name = str(self.path) if self.path is not None else "table"
        return f"{name}:{self.lines[row]}" if self.lines is not None else f"{name}, row {row + 1}"

    def take(self, index: np.ndarray) -> "Table":
        """The rows in ``index`` (integers or a boolean mask), in that order."""
        index = np.asarray(index)
        lines = None if self.lines is None else self.lines[index]
        return replace(self, columns={n: c.take(index) for n, c in self.columns.items()}, lines=lines)

    def with_columns(self, columns: Mapping[str, ArrayLike]) -> "Table":
        """A table with columns replaced in place or added at the end; a single value is repeated in every row."""
        new = dict(self.columns)
        for name, values in columns.items():
            array = _as_array(values)
            if array.ndim == 0 and self.columns:
                array = np.full(len(self), array)
            if self.columns and array.shape != (len(self),):
                raise ValueError(f"column {name}: expected {len(self)} values, found shape {array.shape}")
            new[name] = Column.from_values(array)
        return replace(self, columns=new)

    def without(self, names: Iterable[str]) -> "Table":
        """A table without these columns (absent ones are ignored)."""
        dropped = set(names)
        return replace(self, columns={n: c for n, c in self.columns.items() if n not in dropped})

    def to_pandas(self) -> Any:
        """The values as a pandas DataFrame; ImportError, with what to install, where there is no pandas."""
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install pandas") from error
        return DataFrame({name: self[name] for name in self.names})

    def __repr__(self) -> str:
        names = ", ".join(self.names)
        return "\n".join(folded(f"Table of {len(self):,} rows: {names}", lines=3))

    def _column(self, name: str, purpose: str) -> Column:
        if name in self.columns:
            return self.columns[name]
        where = str(self.path) if self.path is not None else "table"
        needed = f", needed for {purpose}" if purpose else ""
        raise ParticleFileError(f"{where}: no column {name}{needed}; columns are: {', '.join(self.names) or 'none'}")


def pack_bytes(tokens: Sequence[bytes]) -> np.ndarray:
    """Tokens as a fixed-width bytes array, or as objects if one long token would blow the width up."""
    width = max(map(len, tokens), default=1) or 1
    if width * len(tokens) > 4096 + 8 * sum(map(len, tokens)) or any(t.endswith(b"\0") for t in tokens):
        return _objects(tokens)
    return np.array(tokens, dtype=f"S{width}")


def concatenate_bytes(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join arrays made by :func:`pack_bytes`, with the same care for width."""
    if len(parts) == 1:
        return parts[0]
    rows = sum(map(len, parts))
    size = sum(p.nbytes for p in parts)
    if any(p.dtype.kind == "O" for p in parts) or max(p.itemsize for p in parts) * rows > 4096 + 8 * size:
        return _objects([token for p in parts for token in p.tolist()])
    return np.concatenate(parts)


def _as_array(values: ArrayLike) -> np.ndarray:
    # NumPy gives every string the width of the longest, which one long string turns into gigabytes.
    if isinstance(values, list | tuple) and values and isinstance(values[0], str):
        return _objects(values)
    return np.asarray(values)


def _objects(items: Sequence[object]) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _encode(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _decode(tokens: Sequence[bytes]) -> np.ndarray:
    return _objects([token.decode("utf-8", "surrogateescape") for token in tokens])


def _could_be_numbers(tokens: Sequence[bytes]) -> bool:
    # Python also reads 1_000 as a number; no other program does.
    try:
        for token in tokens:
            float(token)
    except ValueError:
        return False
    return not any(b"_" in token for token in tokens)


def _numbers(tokens: Sequence[bytes]) -> np.ndarray:
    try:
        integers = [int(token) for token in tokens]
    except ValueError:
        return np.array([float(token) for token in tokens], dtype=np.float64)
    low, high = min(integers, default=0), max(integers, default=0)
    if low >= -(2**63) and high < 2**63:
        return np.array(integers, dtype=np.int64)
    if low >= 0 and high < 2**64:
        return np.array(integers, dtype=np.uint64)
    return np.array([float(token) for token in tokens], dtype=np.float64)
