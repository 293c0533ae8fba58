"""Pages of the public names: the list is that of ``vitreous/__init__.pyi``, the words are the docstrings.

Behind them, for developers, a page of every room of the package with the names of its ``__all__``.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from types import ModuleType

import vitreous
from vitreous.particles import from_arrays

__all__ = ["api_pages", "room_pages", "rooms"]

PAGES = {  # page -> (title, what is on it)
    "api/methods.md": (
        "Methods",
        "Functions that compute, their settings, and their results. Particles in, arrays out; no files are written.",
    ),
    "api/jobs.md": (
        "Jobs",
        "Functions that do what the commands do: they write a folder with files, a record and a report, and they "
        "resume.",
    ),
    "api/data.md": ("Data", "Particles, maps, files, simulation: what goes into methods and comes out of them."),
}
METHODS = ("face", "averages", "mixtures", "structures", "micrographs", "models", "volumes", "alignment")
MADE = ("vitreous.face.calls", "vitreous.jobs.function")  # homes of functions that are made when they are imported
FUNCTIONS_OF_ROOMS = {"particles": from_arrays}  # what explains a room that is a function
LINE = 88


def api_pages() -> dict[str, str]:
    """Address -> Markdown."""
    named: dict[str, list[str]] = {page: [] for page in PAGES}
    for name in vitreous.__all__:
        if not name.startswith("__"):
            named[_page_of(name)].append(name)
    return {
        page: "\n".join([f"# {title}", "", words, "", *(_entry(name) for name in sorted(named[page], key=str.lower))])
        for page, (title, words) in PAGES.items()
    }


def rooms() -> list[ModuleType]:
    """Every package of the package that lists its public face in ``__all__``, and the conventions."""
    found = [importlib.import_module("vitreous.conventions")]
    for info in pkgutil.walk_packages(vitreous.__path__, "vitreous."):
        if info.ispkg:
            module = importlib.import_module(info.name)
            if getattr(module, "__all__", None):
                found.append(module)
    return found


def room_pages() -> dict[str, str]:
    """Address -> Markdown: a page of links, and a page of every room."""
    pages, links = {}, []
    for module in rooms():
        name, first = module.__name__, (inspect.getdoc(module) or "").splitlines()[0]
        parts = [f"# {name}", "", first, ""]
        for one in sorted(module.__all__, key=str.lower):
            value = getattr(module, one)
            if inspect.isclass(value) or inspect.isfunction(value):
                parts.append(f"::: {value.__module__}.{value.__qualname__}\n    options:\n      heading: {one}\n")
        pages[f"rooms/{name}.md"] = "\n".join(parts)
        links.append(f"- [`{name}`](../rooms/{name}.md): {first}")
    words = "Every room of the package and its public names, for those who write methods."
    pages["api/rooms.md"] = "\n".join(["# Rooms of the package", "", words, "", *links, ""])
    return pages


def _page_of(name: str) -> str:
    value = getattr(vitreous, name)
    home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    room = home.split(".")[1:2]
    if name.startswith("run_") or room == ["jobs"]:
        return "api/jobs.md"
    return "api/methods.md" if room and room[0] in METHODS else "api/data.md"


def _entry(name: str) -> str:
    """What mkdocstrings reads from the source; of functions that are made when they are imported, what they say."""
    value = getattr(vitreous, name)
    if isinstance(value, ModuleType):  # a room that is a function, too
        return _made(name, value)
    if not inspect.isclass(value) and getattr(value, "__module__", None) in MADE:
        return _made(name, value)
    return f"::: {value.__module__}.{value.__qualname__}\n    options:\n      heading: vt.{name}\n"


def _made(name: str, function: Callable[..., object] | ModuleType) -> str:
    """Signature and docstring of a function, as it stands."""
    signature = f"{name}{inspect.signature(function)}"
    if len(signature) > LINE:
        arguments = (str(p) for p in inspect.signature(function).parameters.values())
        signature = "\n".join([f"{name}(", *(f"    {a}," for a in arguments), ")"])
    words = inspect.getdoc(FUNCTIONS_OF_ROOMS.get(name, function)) or ""
    return f"## vt.{name}\n\n```python\n{signature}\n```\n\n```text\n{words}\n```\n"
