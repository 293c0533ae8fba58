"""K-means with alignment at low signal-to-noise ratio: which classes collapse, which freeze, and what prevents it.

Scores (plain correlation, correlation coefficient, distance), averages with or without the image's own part of the
data, free and equal groups; and maximum likelihood (`class2d`).
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import sticks
from benchmarks.tables import markdown_table
from vitreous.averages.class2d import Class2D, class2d
from vitreous.averages.mra import MRA, mra
from vitreous.particles import read_particles, read_star
from vitreous.quality.class_truth import pair_angle_deg

METHODS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("correlation, own average (naive)", {"score": "correlation", "leave_out": False}),
    ("correlation, leave-out", {"score": "correlation"}),
    ("correlation, own average, equal (EQK)", {"score": "correlation", "leave_out": False, "equal_groups": True}),
    ("correlation, leave-out, equal", {"score": "correlation", "equal_groups": True}),
    ("coefficient, own average", {"leave_out": False}),
    ("coefficient, leave-out (default)", {}),
    ("coefficient, leave-out, equal", {"equal_groups": True}),
    ("distance, leave-out", {"score": "distance"}),
)
LIKELIHOOD = "maximum likelihood (`class2d`)"
EARLY = slice(1, 4)  # passes in which a classification that is alive still moves


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py and metrics.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(sticks.REPORTED[:2]), help="of the data")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.02], choices=[0.1, 0.02])
    parser.add_argument("--particles", type=int, default=2000, help="the first so many of the data")
    parser.add_argument("--classes", type=int, default=20)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per seed, SNR and method."""
    torch.set_num_threads(1)
    rows = []
    for seed in options.seeds:
        data = sticks.ribosomes(options.sticks, work, seed)
        for snr in options.snr:
            for name, changes in (*METHODS, (LIKELIHOOD, None)):
                row = {"seed": seed, "snr": snr, "method": name}
                rows.append(row | _one(data, snr, options.particles, options.classes, changes))
                print(rows[-1], flush=True)
    return {"particles": options.particles, "classes": options.classes, "rows": rows}


def _one(data: Path, snr: float, count: int, classes: int, changes: dict[str, Any] | None) -> dict[str, Any]:
    every = read_particles(data / f"particles_snr{snr}.star")
    particles = every.subset(np.arange(len(every)) < count)
    passes: list[dict[str, Any]] = []
    start = time.process_time()
    if changes is None:
        found = class2d(particles, Class2D(classes=classes), on_step=passes.append)
    else:
        found = mra(particles, MRA(classes=classes, **changes), on_step=passes.append)
    spent = time.process_time() - start
    share = found.population / found.population.sum()
    views = viewing_directions(data, count)
    return {
        "largest": round(float(share.max()), 4),
        "alive": int((share > 0.1 / classes).sum()),
        "moving": round(float(np.mean([p["changed_fraction"] for p in passes[EARLY]])), 3),
        "passes": len(passes),
        "pair_deg": round(pair_angle_deg(torch.from_numpy(views), found.class_number - 1), 2),
        "cpu_s": round(spent, 1),
    }


def viewing_directions(data: Path, count: int) -> np.ndarray:
    """True viewing directions (count, 3) of the first particles of a benchmark data set."""
    truth = next(iter(t for t in read_star(data / "truth.star").values() if "rlnAngleTilt" in t))
    rot, tilt = (np.deg2rad(truth.numbers(f"rlnAngle{name}")[:count]) for name in ("Rot", "Tilt"))
    return np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], 1)


def table(figures: dict[str, Any]) -> str:
    """Means over seeds; of the classes that are alive the fewest."""
    rows = []
    for snr in dict.fromkeys(r["snr"] for r in figures["rows"]):
        for method in dict.fromkeys(r["method"] for r in figures["rows"]):
            mine = [r for r in figures["rows"] if (r["snr"], r["method"]) == (snr, method)]
            mean = {name: np.mean([r[name] for r in mine]) for name in mine[0] if name not in ("method", "seed")}
            rows.append((
                snr, method, f"{100 * mean['largest']:.1f} %", min(r["alive"] for r in mine),
                f"{100 * mean['moving']:.0f} %", f"{mean['pair_deg']:.1f}",
                f"{mean['passes']:.0f}", f"{mean['cpu_s']:.0f}",
            ))  # fmt: skip
    header = ("SNR", "method", "largest class", "classes alive", "moving", "spread (deg)", "passes", "CPU s")
    seeds = len({r["seed"] for r in figures["rows"]})
    text = (
        f"{figures['particles']:,} particles of the 70S ribosome, 64 px, K = {figures['classes']} (an equal share is "
        f"{100 / figures['classes']:g} %), {seeds} seed{'s' if seeds > 1 else ''}: means, and the fewest "
        "classes alive. A class is alive with more than a tenth of an equal share. Moving: share of the particles that "
        "changed class in the second to the fourth pass. Spread: mean angle between viewing directions in a class."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
