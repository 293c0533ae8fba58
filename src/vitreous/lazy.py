"""Public names of a package that are imported when they are first used; its stub is the only list of them."""

import ast
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["attach"]


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__`` (PEP 562), ``__dir__`` and ``__all__`` of a package from the ``.pyi`` next to its ``file``.

    The stub has lines ``from home import name as name``, and ``name: type`` for what the package has itself.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    others = [
        node.target.id for node in stub.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    homes = {alias.asname or alias.name: (node.module or "", alias.name) for node in imports for alias in node.names}

    def get(name: str) -> Any:
        if name not in homes:
            close = get_close_matches(name, names, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}{meant}")
        home, there = homes[name]
        value = getattr(import_module(home), there)
        if name in vars(sys.modules[package]):  # a room of that name, which its import has put there
            return vars(sys.modules[package])[name]
        setattr(sys.modules[package], name, value)
        return value

    names = sorted([*homes, *others])
    return get, lambda: names, names
