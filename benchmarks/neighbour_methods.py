"""Programs that find neighbours or denoise, each as a measured child on a particle file."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.child import Cost, run_child
from benchmarks.record import REPOSITORY

__all__ = ["DENOISE", "NEIGHBOURS", "Method", "add_peer_option", "available", "run_method", "stages_of"]

Method = Callable[[argparse.Namespace, Path, Path, int], list[str | Path]]  # options, star, folder, K -> command
PEER = "ASPIRE_PYTHON"


def _ours(what: str, **settings: Any) -> Method:
    def command(options: argparse.Namespace, star: Path, folder: Path, k: int) -> list[str | Path]:
        more = settings if what == "denoise" else {"neighbours": k, **settings}
        return [sys.executable, "-m", "benchmarks.vitreous_neighbours", what, star, folder, json.dumps(more)]

    return command


def _aspire(what: str) -> Method:
    def command(options: argparse.Namespace, star: Path, folder: Path, k: int) -> list[str | Path]:
        place = ("env", "-C", folder, f"PYTHONPATH={REPOSITORY}")  # it writes its logs to where it runs
        return [*place, options.aspire_python, "-m", "benchmarks.peers.aspire_neighbours", what, star, folder, str(k)]

    return command


NEIGHBOURS: dict[str, Method] = {
    "vitreous": _ours("neighbours"),
    "vitreous, 1 run": _ours("neighbours", runs=1),
    "vitreous, 4 runs": _ours("neighbours", runs=4),
    "vitreous, published chain": _ours("published"),
    "vitreous, published chain without VDM": _ours("published without VDM"),
    "vitreous, bispectrum only": _ours("bispectrum only"),
    "vitreous, exhaustive chain": _ours("exhaustive"),
    "ASPIRE": _aspire("neighbours"),
    "ASPIRE, its CWF first": _aspire("denoised-neighbours"),
}
DENOISE: dict[str, Method] = {"vitreous": _ours("denoise"), "ASPIRE": _aspire("denoise")}


def add_peer_option(parser: argparse.ArgumentParser) -> None:
    """Where ASPIRE is."""
    default = os.environ.get(PEER)
    parser.add_argument("--aspire-python", default=default, help=f"interpreter that has ASPIRE; default: ${PEER}")


def available(options: argparse.Namespace, names: list[str]) -> list[str]:
    """Those that can run here; says plainly which cannot."""
    if options.aspire_python and shutil.which(options.aspire_python):
        return names
    missing = [name for name in names if name.startswith("ASPIRE")]
    if missing:
        print(
            f"not measured: {', '.join(missing)}: no interpreter that has ASPIRE (pip install aspire==0.14.3 in an "
            f"environment of its own, then --aspire-python PATH or {PEER}=PATH)",
            flush=True,
        )
    return [name for name in names if name not in missing]


def run_method(method: Method, options: argparse.Namespace, star: Path, folder: Path, k: int) -> Cost:
    """Run it with one thread in a new folder; what it found lies there afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = method(options, star.resolve(), folder.resolve(), k)
    return run_child(command, folder / "run.log", cwd=REPOSITORY, threads=1)


def stages_of(folder: Path) -> list[dict[str, Any]]:
    """The stages that it has counted."""
    return json.loads((folder / "stages.json").read_text())
