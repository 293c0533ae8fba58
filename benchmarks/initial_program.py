"""``vitreous initial`` as a measured child, and how good the model is that it leaves."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import Cost, run_child
from benchmarks.program import PROGRAM
from vitreous.particles import read_star, read_volume
from vitreous.quality import compare_maps
from vitreous.rotations import Agreement, compare_poses, symmetry_matrices

__all__ = ["WITHIN_DEG", "command", "model_figures", "poses_figures", "stage_seconds"]

WITHIN_DEG = 20.0  # a pose is right when it is nearer than this to the truth, all aligned with one rotation
ALL_RIGHT = 1.0 - 1e-9


def command(name: str, file: Path, folder: Path, *, threads: int, options: list[str]) -> Cost:
    """``vitreous NAME file -o folder options`` in a new folder, with its cost."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    words: list[str | Path] = [*PROGRAM, name, file, "-o", folder, "--threads", str(threads), *options]
    return run_child(words, folder.with_suffix(".log"))  # how many threads libraries get is the program's own choice


def model_figures(folder: Path, truth: Path) -> dict[str, Any]:
    """Agreement of the model with a map, at the better hand, and how many restarts agree with each other."""
    found, _ = compare_maps(read_volume(folder / "initial.mrc"), read_volume(truth))
    table = next(iter(read_star(folder / "initial_restarts.star").values()))
    agreeing = table.numbers("vtrAgreeingFraction")
    return {
        "correlation": round(found.correlation, 4),
        "resolution_A": round(found.resolution_A, 1) if np.isfinite(found.resolution_A) else None,
        "other_hand_correlation": round(found.mirrored_correlation, 4),
        "restarts": len(agreeing),
        "restarts_agreeing": int((agreeing >= 0.9).sum()),
    }


def poses_figures(folder: Path, rotations: np.ndarray, symmetry: str) -> dict[str, Any]:
    """Poses of all restarts, and those of the refined model, against the truth (n, 3, 3): shares that are right."""
    group = symmetry_matrices(symmetry).numpy()

    def right(found: np.ndarray) -> Agreement:
        return compare_poses(found, rotations, group=group, within_deg=WITHIN_DEG)

    with np.load(sorted((folder / "checkpoints").glob("it*.npz"))[-1]) as state:
        restarts = [state[key] for key in sorted(state) if key.startswith("restarts.") and key.endswith(".rotations")]
        refined = next(state[key] for key in state if key.startswith("refined.") and key.endswith(".rotations"))
    shares = [right(poses).fraction for poses in restarts]
    return {
        "poses_right_by_restart": [round(share, 3) for share in shares],
        "restarts_right": sum(share > ALL_RIGHT for share in shares),
        "poses_right_refined": round(right(refined).fraction, 3),
    }


def stage_seconds(folder: Path, *, restarts: int, threads: int) -> dict[str, float]:
    """Wall seconds of the stages; of a restart: those of its own thread while all threads have work."""
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    spent = {stage: sum(line["seconds"] for line in lines if line["stage"] == stage) for stage in _STAGES}
    return {
        "restart_s": round(spent["initial"] * min(threads, restarts) / restarts, 1),
        "refinement_s": round(spent["refinement"], 1),
    }


_STAGES = ("initial", "refinement")
