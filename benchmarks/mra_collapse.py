"""K-means with alignment at low signal-to-noise ratio: which classes collapse, which freeze, and what prevents it.

Every combination of score (plain correlation, correlation coefficient), of averages with or without the image's own
part of the data, and of free or equal groups; and maximum likelihood (`class2d`), on the benchmark data of `class2d-quality`.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import program, sticks
from benchmarks.child import run_child
from benchmarks.tables import markdown_table

METHODS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("correlation, own average (naive)", ("--score", "correlation", "--no-leave-out")),
    ("correlation, leave-out", ("--score", "correlation")),
    ("correlation, own average, equal groups (EQK)", ("--score", "correlation", "--no-leave-out", "--equal-groups")),
    ("correlation, leave-out, equal groups", ("--score", "correlation", "--equal-groups")),
    ("coefficient, own average", ("--no-leave-out",)),
    ("coefficient, leave-out (default)", ()),
    ("coefficient, leave-out, equal groups", ("--equal-groups",)),
    ("distance, leave-out", ("--score", "distance")),
)
LIKELIHOOD = "maximum likelihood (`class2d`)"
EARLY = slice(1, 4)  # passes in which a classification that is alive still moves


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py and metrics.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(sticks.REPORTED[:2]), help="of the data")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.02], choices=[0.1, 0.02])
    parser.add_argument("--classes", type=int, default=50)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per seed, SNR and method."""
    rows = []
    for seed in options.seeds:
        data = sticks.ribosomes(options.sticks, work, seed)
        for snr in options.snr:
            for name, choice in (*METHODS, (LIKELIHOOD, None)):
                folder = work / f"{seed}-{snr}-{len(rows)}"
                rows.append({"seed": seed, "snr": snr, "method": name}
                            | _one(options, data, folder, snr, choice))  # fmt: skip
                print(rows[-1], flush=True)
    return {"classes": options.classes, "rows": rows}


def _one(
    options: argparse.Namespace, data: Path, folder: Path, snr: float, choice: tuple[str, ...] | None
) -> dict[str, Any]:
    particles = data / f"particles_snr{snr}.star"
    if choice is None:
        cost = program.class2d(particles, folder, classes=options.classes)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [*program.PROGRAM, "mra", particles, "-o", folder, "--threads", "1", "--classes",
                                     str(options.classes), *choice]  # fmt: skip
        cost = run_child(command, folder.with_suffix(".log"), threads=1)
    share = np.array(program.class_figures(folder)["populations"], float)
    share /= share.sum()
    passes = program.history(folder)
    score = sticks.score_class2d(options.sticks, data, folder / "run_data.star", folder / "run_classes.mrcs")
    return {
        "largest": round(float(share.max()), 4),
        "alive": int((share > 0.1 / options.classes).sum()),
        "moving": round(float(np.mean([p["changed_fraction"] for p in passes[EARLY]])), 3),
        "passes": len(passes),
        "pair_deg": score["pair_deg"],
        "pair_fold_deg": score["pair_fold_deg"],
        "cpu_s": round(cost.cpu_s, 1),
    }


def table(figures: dict[str, Any]) -> str:
    """Means over seeds; of the classes that are alive the fewest."""
    rows = []
    for snr in dict.fromkeys(r["snr"] for r in figures["rows"]):
        for method in dict.fromkeys(r["method"] for r in figures["rows"]):
            mine = [r for r in figures["rows"] if (r["snr"], r["method"]) == (snr, method)]
            mean = {name: np.mean([r[name] for r in mine]) for name in mine[0] if name not in ("method", "seed")}
            rows.append((
                snr, method, f"{100 * mean['largest']:.1f} %", min(r["alive"] for r in mine),
                f"{100 * mean['moving']:.0f} %", f"{mean['pair_deg']:.1f}", f"{mean['pair_fold_deg']:.1f}",
                f"{mean['passes']:.0f}", f"{mean['cpu_s']:.0f}",
            ))  # fmt: skip
    header = ("SNR", "method", "largest class", "classes alive", "moving", "spread (deg)", "mirrors folded", "passes",
              "CPU s")  # fmt: skip
    seeds = len({r["seed"] for r in figures["rows"]})
    text = (
        f"5,000 particles of the 70S ribosome, 64 px, K = {figures['classes']} (an equal share is "
        f"{100 / figures['classes']:g} %), {seeds} seed{'s' if seeds > 1 else ''}: means, and the fewest classes alive. A "
        "class is alive with more than a tenth of an equal share. Moving: share of the particles that changed class in "
        "the second to the fourth pass. Spread: mean angle between viewing directions in a class."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
