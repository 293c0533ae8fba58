"""``job.json``: what was run, with which settings, versions and seed, and how it ended."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

import numpy as np

from vitreous.particles import write_text_atomic
from vitreous.version import __version__

__all__ = ["Manifest", "Run", "differing_settings", "new_manifest", "now", "read_manifest", "write_manifest"]

NAME = "job.json"
KINDS: Mapping[str, type | UnionType] = {
    "task": str,
    "settings": dict,
    "seed": int,
    "content": dict,
    "summary": dict,
    "versions": dict,
    "machine": dict,
}
RUN_KINDS: Mapping[str, type | UnionType] = {"command": str, "started": str, "ended": str | None, "status": str}
M = TypeVar("M")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One start of the job: a job that was interrupted and resumed has several."""

    command: str
    started: str  # ISO 8601 with the time zone
    ended: str | None = None
    status: str = "running"  # running, finished, failed, aborted


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``job.json``."""

    task: str  # "class2d"
    settings: dict[str, Any]
    seed: int
    inputs: tuple[str, ...] = ()
    content: dict[str, str] = field(default_factory=dict)  # digests of the inputs and their images when the job began
    files: tuple[str, ...] = ()  # patterns of the results in the folder: what belongs to the job and may be replaced
    summary: dict[str, Any] = field(default_factory=dict)  # figures about the data and the result, for the report
    messages: tuple[str, ...] = ()  # plain sentences for the user
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()

    @property
    def status(self) -> str:
        """How the latest run ended, or "running" (which is also what a killed run leaves behind)."""
        return self.runs[-1].status if self.runs else "running"

    def started(self, command: str) -> "Manifest":
        """With one more run, on the versions and the machine of this process."""
        run = Run(command=command, started=now())
        return replace(self, runs=(*self.runs, run), versions=_versions(), machine=_machine())

    def ended(self, status: str) -> "Manifest":
        """With the latest run ended now."""
        return replace(self, runs=(*self.runs[:-1], replace(self.runs[-1], status=status, ended=now())))


def new_manifest(
    task: str,
    settings: Mapping[str, Any],
    *,
    seed: int,
    inputs: Sequence[str | Path] = (),
    files: Sequence[str] = (),
    content: Mapping[str, str] | None = None,
) -> Manifest:
    """A manifest before its first run. ``settings`` must be JSON-able; paths in it become strings."""
    plain = json.loads(json.dumps(dict(settings), default=_plain))
    return Manifest(
        task=task,
        settings=plain,
        seed=seed,
        inputs=tuple(str(p) for p in inputs),
        content=dict(content or {}),
        files=tuple(files),
    )


def read_manifest(folder: str | Path) -> Manifest | None:
    """The manifest of a job folder, or None where there is none.

    Raises
    ------
    ValueError
        When the file is there and is not a manifest.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        runs = tuple(_checked(Run(**run), RUN_KINDS) for run in content.pop("runs"))
        content.pop("status")
        for name in ("inputs", "files", "messages"):
            content[name] = tuple(map(_text, content.get(name, ())))
        return _checked(Manifest(**content, runs=runs), KINDS)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = " ".join(str(error).split()) or type(error).__name__  # names in the file may hold line breaks
        raise ValueError(
            f"{path} is damaged, or not a job manifest of this program ({why}); choose another folder"
        ) from error


def _checked(value: M, kinds: Mapping[str, type | UnionType]) -> M:
    """The value, if its fields are of these kinds; TypeError names the first that is not."""
    for name, kind in kinds.items():
        found = getattr(value, name)
        if not isinstance(found, kind) or isinstance(found, bool):
            raise TypeError(f"{name} is {found!r:.60}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"found {value!r:.60}, expected text")
    return value


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Replace ``job.json`` atomically."""
    content = {"status": manifest.status, **asdict(manifest)}
    write_text_atomic(Path(folder) / NAME, json.dumps(content, indent=2, default=_plain) + "\n")


def differing_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The settings that differ, as "name: before -> after, ..."; empty when they agree."""
    plain = json.loads(json.dumps(dict(after), default=_plain))
    names = [name for name in {**before, **plain} if before.get(name) != plain.get(name)]
    return ", ".join(f"{name}: {before.get(name)} -> {plain.get(name)}" for name in names)


def now() -> str:
    """The time, to the second, with the time zone."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be kept in {NAME}")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "vitreous": __version__}
    for package in ("numpy", "torch", "scipy", "mrcfile"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _machine() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
    }
