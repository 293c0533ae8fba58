"""A room imports only rooms above it; nothing above the jobs talks to the user or to other processes."""

import ast
from pathlib import Path

import pytest

import vitreous

ROOT = Path(vitreous.__file__).parent
METHODS = {"averages", "micrographs", "mixtures", "structures"}  # side by side: none imports another
FLOORS: list[set[str]] = [
    *(
        {name}
        for name in (
            "version",
            "lazy",
            "compiled",
            "require",
            "words",
            "pictures",
            "conventions",
            "randomness",
            "processes",
            "rotations",
            "fourier",
            "optics",
            "particles",
            "quality",
            "simulate",
        )
    ),
    *({name} for name in ("matching", "alignment", "iterate", "volumes", "models")),
    METHODS,
    *({name} for name in ("jobs", "face", "cli")),
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
ABOVE_JOBS = {room for room, level in FLOOR.items() if level < FLOOR["jobs"]}
FORBIDDEN = ("argparse", "cyclopts", "rich", "torch.distributed")
FILES = sorted(ROOT.rglob("*.py"))
OUTSIDE = {"__init__", "__main__"}  # files of the package itself, in no room


def room_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.Module) -> set[str]:
    """Full names of all modules that are imported, and of the names that are imported from them."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room is meant"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_every_room_has_its_floor():
    rooms = {p.name.removesuffix(".py") for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert rooms - OUTSIDE - {"testing"} <= set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_upwards_and_science_is_silent(path):
    room, tree = room_of(path), ast.parse(path.read_text(encoding="utf-8"))
    names = imported(tree)
    assert "vitreous" not in names, "the package itself imports everything: take the name from its home"
    others = {name.split(".")[1] for name in names if name.startswith("vitreous.")} & (set(FLOOR) | {"testing"})
    if room in OUTSIDE:
        return
    if room == "testing":
        assert not others & {"jobs", "cli"}
        return
    assert "testing" not in others
    assert {other for other in others - {room} if FLOOR[other] >= FLOOR[room]} == set()
    if room in ABOVE_JOBS:
        assert {name for name in names if name.startswith(FORBIDDEN)} == set()
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        assert [call.lineno for call in calls if isinstance(call, ast.Name) and call.id in ("print", "input")] == []
