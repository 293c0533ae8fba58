"""Write docs/reference.md: the public names of every room with their signatures and docstrings."""

import importlib
import inspect
import pkgutil
import re
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import vitreous

PAGE = Path(__file__).with_name("reference.md")
HEAD = """# Reference

Written by `docs/make_reference.py` from the docstrings; do not edit.
"""


def rooms() -> list[ModuleType]:
    """Every module of the package, two levels deep, that lists its public face in ``__all__`` of a package."""
    found = [importlib.import_module("vitreous.conventions")]
    for info in pkgutil.walk_packages(vitreous.__path__, "vitreous."):
        if info.ispkg:
            module = importlib.import_module(info.name)
            if getattr(module, "__all__", None):
                found.append(module)
    return found


def room_section(module: ModuleType) -> str:
    """A room: its docstring, then its public names in alphabetical order."""
    head = f"## {module.__name__}\n\n{(inspect.getdoc(module) or '').splitlines()[0]}\n"
    return "\n".join([head, *(entry(name, getattr(module, name)) for name in sorted(module.__all__, key=str.lower))])


def entry(name: str, value: Any) -> str:
    """One public name."""
    if isinstance(value, ModuleType):
        return f"### {name}\n\n{(inspect.getdoc(value) or '').splitlines()[0]}\n"
    if inspect.isclass(value) and is_dataclass(value):
        return f"### {name}\n\n{code(field_lines(name, value))}\n{text(value)}{methods(value)}"
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"### {name}\n\n{code([signature(name, value)])}\n{text(value)}"
    shown = repr(value)
    return f"### {name}\n\n{code([f'{name} = {shown}' if len(shown) < 100 else name])}\n"


def signature(name: str, value: Any) -> str:
    """``name(arguments) -> result`` on one line, or one argument per line where that is long."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    line = f"{name}{found}"
    if len(line) <= 110:
        return line
    lines, keyword_only = [f"{name}("], False
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            lines.append("    *,")
        shown = re.sub(r"<function (\w+) at 0x\w+>", r"\1", str(parameter))
        lines.append(f"    {shown},")
    return "\n".join([*lines, f") -> {inspect.formatannotation(found.return_annotation)}"])


def field_lines(name: str, value: type) -> list[str]:
    """A dataclass with the types and defaults of its fields."""
    return [f"class {name}", *(f"    {f.name}: {inspect.formatannotation(f.type)}{default(f)}" for f in fields(value))]


def default(field: Field) -> str:
    """`` = value`` where there is one."""
    if field.default is not MISSING:
        return f" = {field.default!r}"
    return " = ..." if field.default_factory is not MISSING else ""


def methods(value: type) -> str:
    """Public methods and properties with the first line of their docstrings."""
    lines = []
    for name, member in vars(value).items():
        documented = inspect.getdoc(member)
        if not name.startswith("_") and documented and not isinstance(member, str | int | float | tuple):
            lines.append(f"- `{name}`: {documented.splitlines()[0]}")
    return "\n".join(lines) + "\n" if lines else ""


def code(lines: list[str]) -> str:
    """A code block."""
    return "\n".join(["```", *lines, "```"]) + "\n"


def text(value: Any) -> str:
    """The docstring, as it stands."""
    documented = inspect.getdoc(value)
    return code(documented.splitlines()) + "\n" if documented else ""


if __name__ == "__main__":
    PAGE.write_text("\n".join([HEAD, *map(room_section, rooms())]))
    print(PAGE)
