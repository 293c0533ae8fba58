"""STAR files as RELION 3.0 to 5 and their neighbours write them, read and written without loss.

A file is a sequence of blocks (``data_name``); a block is a loop (``loop_``, column names, one row per line) or a list
of name-value pairs. Values are separated by white space and may stand in single or double quotes; ``#`` after white
space starts a comment. Rows are lines, as in RELION, so that a missing value is found in its line instead of shifting
the rest of the table.
"""

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vitreous.particles.atomic import atomic_path
from vitreous.particles.errors import ParticleFileError, require_file
from vitreous.particles.table import Column, Table, concatenate_bytes, pack_bytes

__all__ = ["StarFile", "read_star", "write_star"]

StarFile = dict[str, Table]

_ROWS_AT_ONCE = 32768
_LOOKED_AT = 1 << 16  # bytes by which the encoding is told
_TOKEN = re.compile(rb"""\s*(?:(?P<comment>\#.*)|"(?P<double>.*?)"(?=\s|$)|'(?P<single>.*?)'(?=\s|$)
                         |(?P<plain>[^\s"'\#]\S*))""", re.VERBOSE)  # fmt: skip
# What would be misread without quotes: nothing at all, reserved first characters and words, white space.
_NEEDS_QUOTES = re.compile(rb"(?mi)^$|^[_#;'\"$]|^(?:data|loop|save|stop|global)_|[ \t\r\v\f]")


def read_star(path: str | Path) -> StarFile:
    """All blocks of a STAR file in order: block name (without ``data_``) -> :class:`Table`.

    Raises FileNotFoundError, or ParticleFileError naming the file and line: not a STAR file, binary data, a row with
    the wrong number of values, a column or block that occurs twice, a directory.
    """
    path = require_file(path, "a STAR file")
    with path.open("rb") as file:
        return _parse(path, _lines(file))


def write_star(path: str | Path, blocks: StarFile) -> None:
    """Write blocks atomically; columns that were read from a file keep their text. A loop has one line per row.

    Raises ParticleFileError for a value that STAR cannot hold (a line break, or both kinds of quote before a space).
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for name, table in blocks.items():
            header = name.encode("utf-8", "surrogateescape")
            if len(header.split()) > 1 or header != header.strip():
                raise ParticleFileError(f"{path}: {name!r} cannot be the name of a block")
            # RELION 3.1 and later mark their own dialect, the one with an optics table, by this comment.
            file.write(b"\n# version 30001\n\n" if "optics" in blocks else b"\n")
            file.write(b"data_" + header + b"\n\n")
            (_write_loop if table.loop else _write_pairs)(file, table, f"{path}, block {name!r}")
            file.write(b"\n")


def _lines(file: BinaryIO) -> Iterable[bytes]:
    """Lines of UTF-8; of UTF-16 with its mark, of files with a byte-order mark, and with the line ends of old Macs."""
    start = file.read(_LOOKED_AT)
    file.seek(0)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return file.read().decode("utf-16", "replace").encode("utf-8").splitlines(keepends=True)
    if start.startswith(codecs.BOM_UTF8):
        file.seek(len(codecs.BOM_UTF8))
    if b"\r" in start and b"\n" not in start and b"\0" not in start:
        return file.read().replace(b"\r", b"\n").splitlines(keepends=True)
    return file


@dataclass
class _Block:
    """A block while it is being read; ``loop`` is None until its form is known."""

    name: str
    line: int
    loop: bool | None = None
    names: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)  # the same names: there are files with tens of thousands
    rows: list[list[bytes]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    chunks: list[list[np.ndarray]] = field(default_factory=list)

    def pack(self) -> None:
        """Turn the collected rows into compact columns; Python objects for every value would fill the memory."""
        if self.rows:
            self.chunks.append([pack_bytes(tokens) for tokens in zip(*self.rows, strict=True)])
            self.rows.clear()

    def table(self, path: Path) -> Table:
        self.pack()
        if self.chunks:
            raws = [concatenate_bytes(parts) for parts in zip(*self.chunks, strict=True)]
        else:
            raws = [pack_bytes([]) for _ in self.names]
        columns = {name: Column(raw) for name, raw in zip(self.names, raws, strict=True)}
        return Table(columns=columns, loop=bool(self.loop), path=path, lines=np.array(self.lines, dtype=np.int64))


def _parse(path: Path, lines: Iterable[bytes]) -> StarFile:
    blocks: StarFile = {}
    block: _Block | None = None
    for number, line in enumerate(lines, 1):
        tokens = _tokens(line, path, number)
        if not tokens:
            continue
        kind = _kind(line, tokens, block)
        if kind == "data":
            _close(block, blocks, path)
            block = _open(tokens[0][5:].decode("utf-8", "surrogateescape"), blocks, path, number)
        elif block is None:
            raise ParticleFileError(
                f"{path}:{number}: not a STAR file: expected a line such as 'data_particles', found {_show(line)}"
            )
        elif kind == "loop":
            _begin_loop(block, path, number)
        elif kind == "name":
            _add_name(block, tokens, path, number)
        else:
            _add_row(block, tokens, path, number)
    _close(block, blocks, path)
    if not blocks:
        raise ParticleFileError(f"{path}: not a STAR file: no line such as 'data_particles' in it")
    return blocks


def _tokens(line: bytes, path: Path, number: int) -> list[bytes]:
    if b"\0" in line:
        raise ParticleFileError(f"{path}:{number}: binary data; expected a STAR file, which is text")
    if line.startswith(b";"):
        raise ParticleFileError(f"{path}:{number}: text over several lines (';') is not read; quote it on one line")
    if b'"' not in line and b"'" not in line and b"#" not in line:
        return line.split()
    tokens, position, line = [], 0, line.rstrip()
    while position < len(line):
        match = _TOKEN.match(line, position)
        if match is None:
            raise ParticleFileError(f"{path}:{number}: quotation mark without its partner in {_show(line[position:])}")
        if match["comment"] is not None:
            break
        tokens.append(match[match.lastgroup or "plain"])
        position = match.end()
    return tokens


def _kind(line: bytes, tokens: list[bytes], block: _Block | None) -> str:
    """What a line is: ``data``, ``loop``, ``name`` or ``row``."""
    first = tokens[0]
    if first[:1] not in (b"_", b"d", b"l") or line.lstrip()[:1] in (b'"', b"'"):
        return "row"
    in_wide_loop = block is not None and block.loop and len(block.names) == len(tokens) > 1
    if first.startswith(b"data_") and not in_wide_loop:
        return "data"
    if first == b"loop_" and not in_wide_loop:
        return "loop"
    return "name" if first.startswith(b"_") else "row"


def _open(name: str, blocks: StarFile, path: Path, number: int) -> _Block:
    if name in blocks:
        raise ParticleFileError(f"{path}:{number}: block data_{name} occurs twice")
    return _Block(name=name, line=number)


def _close(block: _Block | None, blocks: StarFile, path: Path) -> None:
    if block is None:
        return
    if block.loop and not block.names:
        raise ParticleFileError(f"{path}:{block.line}: loop_ of block data_{block.name} has no columns")
    blocks[block.name] = block.table(path)


def _begin_loop(block: _Block, path: Path, number: int) -> None:
    if block.loop is not None:
        raise ParticleFileError(f"{path}:{number}: second table in block data_{block.name}; expected a new data_ line")
    block.loop = True


def _add_name(block: _Block, tokens: list[bytes], path: Path, number: int) -> None:
    name = tokens[0][1:].decode("utf-8", "surrogateescape")
    if block.loop is None:
        block.loop = False
    if not name:
        raise ParticleFileError(f"{path}:{number}: a name is missing after the underscore")
    if name in block.known:
        raise ParticleFileError(f"{path}:{number}: column {name} occurs twice in block data_{block.name}")
    if block.loop and block.lines:
        raise ParticleFileError(f"{path}:{number}: column name {name} after the first row of block data_{block.name}")
    if len(tokens) > (1 if block.loop else 2):
        expected = "none in a loop_" if block.loop else "one"
        raise ParticleFileError(f"{path}:{number}: {len(tokens) - 1} values after {name}; expected {expected}")
    block.names.append(name)
    block.known.add(name)
    if not block.loop:
        value = tokens[1] if len(tokens) == 2 else b""
        if not block.chunks:
            block.chunks = [[]]
        block.chunks[0].append(pack_bytes([value]))
        block.lines = [block.line]


def _add_row(block: _Block, tokens: list[bytes], path: Path, number: int) -> None:
    if not block.loop:
        raise ParticleFileError(
            f"{path}:{number}: expected 'loop_' or a name that starts with an underscore, found {tokens[0][:60]!r}"
        )
    if len(tokens) != len(block.names):
        raise ParticleFileError(
            f"{path}:{number}: {len(tokens)} values in a row of block data_{block.name}, which has "
            f"{len(block.names)} columns"
        )
    block.rows.append(tokens)
    block.lines.append(number)
    if len(block.rows) == _ROWS_AT_ONCE:
        block.pack()


def _write_loop(file: BinaryIO, table: Table, where: str) -> None:
    file.write(b"loop_\n")
    file.writelines(b"_%s #%d\n" % (_name(name, where), i) for i, name in enumerate(table.names, 1))
    for start in range(0, len(table), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        columns = [_quoted(Column(c.raw[part]), name, where) for name, c in table.columns.items()]
        rows = zip(*columns, strict=True)
        while lines := list(islice(rows, 4096)):
            file.write(b"\n".join(map(b" ".join, lines)) + b"\n")


def _write_pairs(file: BinaryIO, table: Table, where: str) -> None:
    for name, column in table.columns.items():
        if len(column) != 1:
            raise ParticleFileError(f"{where}: {name} has {len(column)} values; name-value pairs have one")
        file.write(b"_%-40s %s\n" % (_name(name, where), _quoted(column, name, where)[0]))


def _name(name: str, where: str) -> bytes:
    header = name.encode("utf-8", "surrogateescape")
    if header.split() != [header]:
        raise ParticleFileError(f"{where}: {name!r} cannot be the name of a column")
    return header


def _quoted(column: Column, name: str, where: str) -> list[bytes]:
    tokens = column.tokens()
    if not column.is_text:
        return tokens
    joined = b"\n".join(tokens)
    if joined.count(b"\n") != max(len(tokens) - 1, 0) or b"\0" in joined:
        raise ParticleFileError(f"{where}: a value of {name} holds a line break or a zero byte")
    if not _NEEDS_QUOTES.search(joined):
        return tokens
    return [_quote(token, name, where) if _NEEDS_QUOTES.search(token) else token for token in tokens]


def _quote(token: bytes, name: str, where: str) -> bytes:
    for mark in (b'"', b"'"):
        if not re.search(mark + rb"\s", token):
            return mark + token + mark
    raise ParticleFileError(f"{where}: {name} holds {token[:60]!r}, in which both kinds of quote precede a space")


def _show(line: bytes) -> str:
    text = line.strip().decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 60 else text[:57] + "...")
