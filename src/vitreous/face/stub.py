"""The stub of :mod:`vitreous.face.tasks`, made from the table of jobs.

``python -m vitreous.face.stub`` writes it; ``ruff check --fix`` and ``ruff format`` bring it into its form.

Each function has the name of its job, its input, the kinds of its settings, and what ``result.value`` is: what the
method returns, or what is read from the files where the job leaves all that it finds in files.
"""

from dataclasses import fields
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from vitreous.face import tasks
from vitreous.face.result import IN_FILES
from vitreous.jobs.task import Task
from vitreous.jobs.tasks.table import TASKS, task_of

__all__ = ["stub_text"]

AS_READ = (*IN_FILES, "denoise", "initial")  # of the last two, what the method returns is completed
HEAD = '''"""What the functions of :mod:`vitreous.face.tasks` take and return, written by :mod:`vitreous.face.stub`."""

'''
GIVEN = "str | Path | ParticleSet | Volume | np.ndarray | Result[Any] | Sequence[str | Path | Volume | np.ndarray]"
ALWAYS = (
    ("collections.abc", "Sequence"),
    ("pathlib", "Path"),
    ("typing", "Any"),
    ("vitreous.face.result", "Result"),
    ("vitreous.particles", "ParticleSet"),
    ("vitreous.particles", "Volume"),
)


def stub_text() -> str:
    """The content of the stub, before it is formatted."""
    names = {task: name for name, task in tasks.NAMES.items() if not name.startswith("neighbors")}
    needed, lines = set(ALWAYS), []
    for name in sorted(set(TASKS) - {"run"}):
        task, function = task_of(name), names.get(name, name)
        value = _value(name, task)
        for kind in (*task.methods.values(), *_classes(value)):
            needed.add((kind.__module__, kind.__name__))
        settings = " | ".join(kind.__name__ for kind in task.methods.values())
        first = fields(task.source)[0].name
        lines.append(
            f"def {function}({first}: Given, settings: {settings} | None = None, *, quiet: bool = False, "
            f"**keywords: Any) -> Result[{_written(value)}]: ..."
        )
    imports = "\n".join(f"from {home} import {name}" for home, name in sorted(needed))
    return (
        f"{HEAD}{imports}\nimport numpy as np\n\nGiven = {GIVEN}\n\nNAMES: dict[str, str]\n\n"
        + "\n".join(lines)
        + "\n\nneighbors = neighbours\n"
    )


def _value(name: str, task: Task[Any, Any, Any, Any]) -> Any:
    """The type of ``result.value``."""
    if name in AS_READ:
        module, _, reader = TASKS[name].reader.partition(":")
        return get_type_hints(getattr(import_module(module), reader))["return"]
    prepare = task.prepare.func if isinstance(task.prepare, partial) else task.prepare
    value = get_args(get_type_hints(prepare)["return"])
    return value[1] if len(value) == 2 and not isinstance(value[1], ModuleType) else Any


def _classes(hint: Any) -> list[type]:
    """The classes in a type."""
    inner = [kind for part in get_args(hint) for kind in _classes(part)]
    origin = getattr(hint, "__origin__", hint)
    return [*inner, origin] if isinstance(origin, type) and origin.__module__.startswith("vitreous") else inner


def _written(hint: Any) -> str:
    """A type as it is written in a stub."""
    inside = ", ".join(map(_written, get_args(hint)))
    if isinstance(hint, type) or hasattr(hint, "__origin__"):
        name = getattr(hint, "__origin__", hint).__name__
        return f"{name}[{inside}]" if inside else str(name)
    return " | ".join(map(_written, get_args(hint))) if get_args(hint) else "Any"


if __name__ == "__main__":
    Path(tasks.__file__).with_suffix(".pyi").write_text(stub_text(), encoding="utf-8")
