"""A measurement as a JSON file: what was measured, on what, with what, by which command."""

import json
import os
import platform
import shlex
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["REPOSITORY", "Record", "commit", "new_record", "read_records", "write_record"]

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measurement. ``figures`` is what the measurement returned; everything else says where it comes from."""

    name: str
    command: str
    date: str
    commit: str  # "+ changes" is added when the working tree differs from it
    machine: dict[str, Any]
    versions: dict[str, str]
    seconds: float
    figures: dict[str, Any]


def new_record(name: str, arguments: list[str], figures: dict[str, Any], seconds: float) -> Record:
    """The record of a measurement that has just ended."""
    return Record(
        name=name,
        command=shlex.join(["python", "-m", "benchmarks", name, *arguments]),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        commit=commit(),
        machine=_machine(),
        versions=_versions(),
        seconds=round(seconds, 1),
        figures=figures,
    )


def write_record(folder: Path, record: Record) -> Path:
    """Write ``<name>.json``; an earlier one of this name is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.name}.json"
    path.write_text(json.dumps(asdict(record), indent=1, allow_nan=False) + "\n")
    return path


def read_records(folder: Path) -> dict[str, Record]:
    """All records of a folder by name."""
    records = [Record(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
    return {record.name: record for record in records}


def commit() -> str:
    """The commit of the working tree, with "+ changes" where it differs from it."""

    def git(*arguments: str) -> str:
        found = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        return found.stdout.strip()

    found = git("rev-parse", "--short=10", "HEAD") or "unknown"
    return f"{found} + changes" if git("status", "--porcelain", "--untracked-files=no") else found


def _machine() -> dict[str, Any]:
    pages, page_size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_GB": round(pages * page_size / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("vitreous", "numpy", "scipy", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
