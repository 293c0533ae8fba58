"""The command line program as a measured child, and the figures that it leaves in its folder."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import Cost, run_child
from vitreous.particles import read_star

__all__ = ["class2d", "class_figures", "history", "job", "simulate"]

PROGRAM = (sys.executable, "-m", "vitreous.cli")


def simulate(folder: Path, **settings: Any) -> Path:
    """``vitreous simulate -o folder --name value ...``, once: the particle file."""
    particles = folder / "particles.star"
    if not particles.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        run_child([*PROGRAM, "simulate", "-o", folder, *_options(settings)], folder.with_suffix(".log"))
    return particles


def class2d(particles: Path, folder: Path, *, threads: int = 1, **settings: Any) -> Cost:
    """``vitreous class2d particles -o folder --name value ...`` in a new folder, with its cost."""
    return job("class2d", particles, folder, threads=threads, **settings)


def job(name: str, particles: Path, folder: Path, *, threads: int = 1, **settings: Any) -> Cost:
    """``vitreous name particles -o folder --name value ...`` in a new folder, with its cost."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    options = _options({"threads": threads, **settings})
    command: list[str | Path] = [*PROGRAM, name, particles, "-o", folder, *options]
    return run_child(command, folder.with_suffix(".log"), threads=threads)


def history(folder: Path) -> list[dict[str, Any]]:
    """The iterations that a job has recorded."""
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def class_figures(folder: Path) -> dict[str, Any]:
    """Populations and resolutions of the final classes and whether a signal was found."""
    model = read_star(folder / "run_model.star")
    classes = model["model_classes"]
    resolution = classes.numbers("rlnEstimatedResolution")
    population = classes.numbers("vtrPopulation").astype(int)
    resolved = resolution[(resolution < 999) & (population > 0)]
    return {
        "populations": population.tolist(),
        "resolved_classes": len(resolved),
        "best_resolution_A": round(float(resolved.min()), 1) if len(resolved) else None,
        "median_resolution_A": round(float(np.median(resolved)), 1) if len(resolved) else None,
        "found_signal": bool(model["model_general"].numbers("vtrFoundSignal")[0]),
    }


def _options(settings: dict[str, Any]) -> list[str]:
    options = []
    for name, value in settings.items():
        options += [f"--{name.replace('_', '-')}", str(value)]
    return options
