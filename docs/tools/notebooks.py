"""Notebooks: sources are Python files with cells (``# %%``, ``# %% [markdown]``), as Jupyter and editors open them.

They are run from top to bottom when the site is built. Each becomes a page, and an ``.ipynb`` with its results. A
kernel would bring forty packages; an interpreter of its own names is enough for cells that run in their order.
"""

import ast
import contextlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Cell", "NotebookError", "as_ipynb", "as_markdown", "read_cells", "run_cells"]

MARK = re.compile(r"^# %%(?: \[(markdown)\])?.*$")


class NotebookError(RuntimeError):
    """A cell that failed, with its place in the file."""


@dataclass
class Cell:
    """A piece of a notebook: text or code, where it begins, and what came out of it."""

    kind: str  # "markdown" or "code"
    source: str
    line: int  # of its first line in the file, from 1
    printed: str = ""
    shown: list[Any] = field(default_factory=list)  # values with _repr_html_ or repr


def read_cells(path: Path) -> list[Cell]:
    """The cells of a file."""
    return [cell for cell in _cells(path.read_text(encoding="utf-8")) if cell.source]


def _cells(text: str) -> Iterator[Cell]:
    kind, lines, begin = "", [], 0
    for number, line in enumerate([*text.splitlines(), "# %%"], start=1):
        mark = MARK.match(line)
        if not mark:
            lines.append(line)
            continue
        if kind:
            words = [re.sub(r"^# ?", "", one) for one in lines] if kind == "markdown" else lines
            yield Cell(kind=kind, source="\n".join(words).strip("\n"), line=begin + 1)
        kind, lines, begin = mark[1] or "code", [], number


def run_cells(cells: list[Cell], name: str) -> None:
    """Run the code cells in one namespace, and keep what they print, show and end with. Raises NotebookError."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        if cell.kind != "code":
            continue
        names["display"] = cell.shown.append
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                value = _value_of(cell, name, names)
        except Exception as error:
            raise NotebookError(f"{name}, cell at line {cell.line}: {type(error).__name__}: {error}") from error
        cell.printed = printed.getvalue()
        if value is not None:
            cell.shown.append(value)


def _value_of(cell: Cell, name: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, where that is an expression."""
    tree = ast.parse("\n" * (cell.line - 1) + cell.source, filename=name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    if last is None or cell.source.rstrip().endswith(";"):
        return None
    return eval(compile(ast.Expression(last.value), name, "eval"), names)


def as_markdown(cells: list[Cell], results: dict[str, str]) -> str:
    """A page; HTML that was shown goes into ``results``, to be put where its name stands when the page is HTML."""
    parts = []
    for cell in cells:
        if cell.kind == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        if cell.printed.strip():
            parts.append(f"```text\n{cell.printed.rstrip()}\n```")
        for value in cell.shown:
            html = _html(value)
            if html is None:
                parts.append(f"```text\n{value!r}\n```")
            else:
                mark = f"result-{len(results)}"
                results[mark] = html
                parts.append(f'<div id="{mark}"></div>')
    return "\n\n".join(parts) + "\n"


def as_ipynb(cells: list[Cell]) -> str:
    """The notebook with its results, in the form 4.5 that Jupyter reads."""
    found = []
    for number, cell in enumerate(cells, start=1):
        one: dict[str, Any] = {"cell_type": cell.kind, "id": f"cell-{number}", "metadata": {}}
        one["source"] = cell.source.splitlines(keepends=True)
        if cell.kind == "code":
            one |= {"execution_count": number, "outputs": list(_outputs(cell, number))}
        found.append(one)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book = {"cells": found, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _outputs(cell: Cell, number: int) -> Iterator[dict[str, Any]]:
    if cell.printed:
        yield {"output_type": "stream", "name": "stdout", "text": cell.printed.splitlines(keepends=True)}
    for value in cell.shown:
        html = _html(value)
        data = {"text/plain": repr(value)} | ({} if html is None else {"text/html": html})
        yield {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}


def _html(value: Any) -> str | None:
    """What a notebook would show of a value, if it has a form for that."""
    if hasattr(value, "_repr_html_"):
        html: str = value._repr_html_()
        return html
    return None
