"""``history.jsonl``: one line of figures per iteration."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.particles import append_text, write_text_atomic

__all__ = ["append_history", "read_history", "rewind_history", "to_json"]

NAME = "history.jsonl"


def append_history(folder: str | Path, info: Mapping[str, Any]) -> None:
    """Add one iteration's figures."""
    append_text(Path(folder) / NAME, to_json(info) + "\n")


def read_history(folder: str | Path) -> list[dict[str, Any]]:
    """All iterations in order; lines that are none, such as one that a killed run has left unfinished, do not count."""
    path = Path(folder) / NAME
    entries: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and type(entry.get("iteration", 0)) is int:
            entries.append(entry)
    return entries


def rewind_history(folder: str | Path, iteration: int) -> None:
    """Forget the iterations after ``iteration``: a resumed run computes them again."""
    kept = [entry for entry in read_history(folder) if entry.get("iteration", 0) <= iteration]
    write_text_atomic(Path(folder) / NAME, "".join(to_json(entry) + "\n" for entry in kept))


def to_json(info: Mapping[str, Any]) -> str:
    """One line of strict JSON; NumPy numbers become plain ones, NaN and infinity become null."""
    return json.dumps(_plain(dict(info)), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
