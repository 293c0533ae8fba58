"""From a random start to a refined map, in a process of its own with one thread: what it found, and what it cost.

``python -m benchmarks.random_starts STAR COUNT SEED FOLDER`` is that process; :func:`random_start` starts it, unless
the folder holds the same run of the same sources already, so that measurements which share runs do them once.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.child import run_child
from benchmarks.record import REPOSITORY
from vitreous.particles import Volume, read_particles, read_volume, write_volume
from vitreous.structures import Poses
from vitreous.structures.abinitio import Abinitio, abinitio
from vitreous.structures.refine import Refine, refine

__all__ = ["CASES", "Run", "has_run", "random_start"]

CASES = ((0.1, 2000), (0.1, 5000), (0.02, 5000))  # SNR, particles


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What one start came to; figures: of ``result.json``, with the cost of the process."""

    figures: dict[str, Any]
    first: Poses
    refined: Poses
    sigma_deg: np.ndarray  # (n, 3) of two tilts and the in-plane angle
    volume: Volume


def has_run(folder: Path) -> bool:
    """Whether a folder holds a run of these sources."""
    done, sources = folder / "result.json", _sources()
    return done.is_file() and json.loads(done.read_text())["sources"] == sources and "+" not in sources


def random_start(star: Path, count: int, seed: int, folder: Path) -> Run:
    """The first ``count`` particles of a file from a random start to a map."""
    done = folder / "result.json"
    if not has_run(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        words = [sys.executable, "-m", "benchmarks.random_starts", star.resolve(), str(count), str(seed), folder]
        cost = run_child(words, folder / "run.log", cwd=REPOSITORY, threads=1)
        found = json.loads((folder / "found.json").read_text())
        done.write_text(json.dumps({"sources": _sources(), **found, **cost.figures()}))
    saved = np.load(folder / "poses.npz")
    first, refined = (
        Poses(particle=np.arange(count), volume=np.zeros(count, int), rotation=saved[f"{name}_g"],
              origin_A=saved[f"{name}_o"])
        for name in ("first", "refined")
    )  # fmt: skip
    figures = {name: value for name, value in json.loads(done.read_text()).items() if name != "sources"}
    volume = read_volume(folder / "map.mrc")
    return Run(figures=figures, first=first, refined=refined, sigma_deg=saved["sigma_deg"], volume=volume)


def _sources() -> str:
    """The state of the package that is measured; with a plus where it is not what git has."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout

    return git("rev-parse", "HEAD:src").strip() + "+" * bool(git("status", "--porcelain", "--", "src").strip())


def _work(star: Path, count: int, seed: int, folder: Path) -> None:
    torch.set_num_threads(1)
    particles = read_particles(star).subset(np.arange(count))
    steps: list[dict[str, Any]] = []
    began = time.process_time()
    first = abinitio(particles, Abinitio(seed=seed, starts=1), on_step=_noted(steps, "abinitio"))
    between = time.process_time()
    found = refine(particles, Refine(seed=seed), poses=first.poses, threads=1, on_step=_noted(steps, "refine"))
    ended = time.process_time()
    (folder / "steps.json").write_text(json.dumps(steps))
    np.savez(
        folder / "poses.npz",
        first_g=first.poses.rotation,
        first_o=first.poses.origin_A,
        refined_g=found.poses.rotation,
        refined_o=found.poses.origin_A,
        sigma_deg=np.stack([found.sigma_direction_deg, found.sigma_direction_deg, found.sigma_psi_deg], 1),
    )
    write_volume(folder / "map.mrc", found.full)
    start = first.starts[0]
    figures = {
        "abinitio_cpu_s": round(between - began, 1),
        "refine_cpu_s": round(ended - between, 1),
        "abinitio_passes": start.passes,
        "settled": bool(start.settled),
        "evidence": round(float(start.evidence), 2),
        "claimed_A": round(found.resolution_A, 2) if np.isfinite(found.resolution_A) else None,
    }
    (folder / "found.json").write_text(json.dumps(figures))


def _noted(steps: list[dict[str, Any]], method: str) -> Callable[[dict[str, Any]], None]:
    """Keeps what every pass says, and the CPU time of the process after it."""
    return lambda info: steps.append({"method": method, "cpu_s": time.process_time(), **info})


if __name__ == "__main__":
    _work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
